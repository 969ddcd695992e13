"""Where a run is: what was read, and how many imports are open and done."""

from __future__ import annotations

import typing as t

if t.TYPE_CHECKING:
    from target_cordial.delivery.delivery import Delivery


def where_it_is(delivery: Delivery) -> str | None:
    """How far a run is; safe to ask from any thread.

    Args:
        delivery: The run's delivery.

    Returns:
        A sentence; None as long as no record came.
    """
    if not delivery.records:
        return None
    order = delivery.outbox.order
    read = f"{'All' if delivery.is_all_read else 'So far'} {delivery.records:,} records read"
    return f"{read}; imports: {delivery.totals.imports:,} done, {order.under_way} under way, {order.waiting} waiting."
