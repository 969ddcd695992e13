"""The table of results."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Line:
    """A line of the table.

    Attributes:
        what: What was measured.
        found: What came out.
        aim: What it is to be.
        is_met: Whether it is; None where nothing is aimed at.
    """

    what: str
    found: str
    aim: str = ""
    is_met: bool | None = None


def at_least(what: str, value: float, aim: float) -> Line:
    """A ratio that is to be so high.

    Args:
        what: What was measured.
        value: The ratio.
        aim: The least.
    """
    return Line(what, f"{value:.2f} x", f"at least {aim:g} x", value >= aim)


def at_most(what: str, value: float, aim: float, unit: str) -> Line:
    """A figure that is to be so low.

    Args:
        what: What was measured.
        value: The figure.
        aim: The most.
        unit: Of both.
    """
    return Line(what, f"{value:,.4g} {unit}", f"at most {aim:,g} {unit}", value <= aim)


def markdown(lines: Iterable[Line]) -> str:
    """The table, as docs/speed.md and the terminal show it.

    Args:
        lines: Its lines.
    """
    rows = ["| what | measured | aim | |", "|---|---|---|---|"]
    signs = {None: "", True: "met", False: "**missed**"}
    rows += [f"| {line.what} | {line.found} | {line.aim} | {signs[line.is_met]} |" for line in lines]
    return "\n".join(rows)
