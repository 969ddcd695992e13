"""The tap's two streams: audiences, and their members."""
