"""Lytics audience members and who entered or left, as a Singer tap."""
