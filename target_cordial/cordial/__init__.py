"""Cordial: its API."""
