"""What runs did, for people and machines."""
