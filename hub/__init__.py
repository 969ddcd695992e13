"""MeltanoHub definitions of both plugins."""
