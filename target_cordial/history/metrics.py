"""What a run did, as the SDK's metrics."""

from __future__ import annotations

import typing as t

from singer_sdk import metrics
from singer_sdk.metrics import Metric, Status, Tag

from target_cordial.history.totals import Totals


def log_import(seconds: float, status: Status) -> None:
    """Log how long an import took, from upload to end."""
    _log("timer", Metric.JOB_DURATION, round(seconds, 3), {Tag.JOB_TYPE: "import", Tag.STATUS: status.value})


def log_records(totals: Totals, rejects: int) -> None:
    """Log how many rows were written to each list, and how many records were rejected, here and by Cordial."""
    for name in totals.lists:
        written = totals.rows_of(name) - totals.rejected_of[name]
        _log("counter", Metric.RECORD_COUNT, written, {"list": name, Tag.STATUS: Status.SUCCEEDED.value})
    rejected = rejects + totals.rejected
    _log("counter", Metric.RECORD_COUNT, rejected, {Tag.STATUS: Status.FAILED.value})


def _log(kind: str, metric: Metric, value: float, tags: dict[str, t.Any]) -> None:
    metrics.log(metrics.get_metrics_logger(), metrics.Point(kind, metric, value, tags))
