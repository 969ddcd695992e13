"""What a run needs from its first record on."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

if t.TYPE_CHECKING:
    from target_cordial.delivery.delivery import Delivery
    from target_cordial.intake.lists import Lists
    from target_cordial.intake.rows import RowWriter


@dataclass
class Run:
    """What a run needs from its first record on.

    Attributes:
        delivery: Takes rows and exits.
        rows: Writes the cells of enters.
        lists: Finds lists; None if contacts go on none.
    """

    delivery: Delivery
    rows: RowWriter
    lists: Lists | None
