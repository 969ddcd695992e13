"""What both plugins do as processes: settings, signals, a private folder, and errors told in one sentence."""
