"""Lytics: its API, the account's fields, profiles, scans and look-ups."""
