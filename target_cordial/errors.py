"""Errors that end a run with one sentence."""

from __future__ import annotations

from singer_process.errors import UserError, described

__all__ = ["UserError", "described"]
