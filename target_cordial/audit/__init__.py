"""Whether a list equals its members: compared, judged, and told."""
