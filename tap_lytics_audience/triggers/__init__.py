"""Trigger messages: whom to look at."""
