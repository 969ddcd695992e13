"""Audiences as Lytics has them."""

from __future__ import annotations

import re
import typing as t
from dataclasses import dataclass

_ID = re.compile(r"[0-9A-Za-z_-]+")
"""An audience's id becomes part of paths, of calls and of files."""


@dataclass(frozen=True)
class Audience:
    """An audience as Lytics has it (Lytics docs: segment).

    Attributes:
        table: What it holds: `user` for people.
        is_invalid: Whether its definition no longer works.
    """

    id: str
    slug: str
    name: str
    description: str | None = None
    size: int | None = None
    created: str | None = None
    updated: str | None = None
    table: str = "user"
    is_invalid: bool = False

    @classmethod
    def read(cls, answer: t.Any) -> Audience | None:
        """An audience of an answer, without its size; None if this is none."""
        if not isinstance(answer, dict) or not _ID.fullmatch(str(answer.get("id") or "")):
            return None
        id_ = str(answer["id"])
        slug = str(answer.get("slug_name") or id_)
        return cls(
            id=id_,
            slug=slug,
            name=str(answer.get("name") or slug),
            description=answer.get("description"),
            created=answer.get("created"),
            updated=answer.get("updated"),
            table=str(answer.get("table") or "user"),
            is_invalid=bool(answer.get("invalid")),
        )
