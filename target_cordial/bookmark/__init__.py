"""The state: what it says of the tap's run, and what the target keeps in it of what was delivered, and how."""
