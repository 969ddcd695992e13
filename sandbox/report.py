"""What `python -m sandbox verify` prints: what is on a list, whether it equals the audience, and the jobs."""

from __future__ import annotations

import typing as t

COLUMNS = 6
COUNTERS = ("inserted", "updated", "ignored", "rejected", "error")


def comparison(audience: str, list_name: str, found: dict[str, t.Any]) -> t.Iterator[str]:
    """A comparison as text."""
    yield f"audience {audience:<31}list {list_name}"
    yield f"{found['members']:>10,} members with an address{'':6}{found['contacts']:>10,} contacts"
    if found["without_address"]:
        yield f"{found['without_address']:>10,} profiles without an address, which are not sent"
    if found["sample"]:
        yield ""
        names = list(found["sample"][0])[:COLUMNS]
        rows = [dict(zip(names, names, strict=True)), *found["sample"]]
        widths = {name: max(len(row[name]) for row in rows) for name in names}
        for row in rows:
            yield "    " + "  ".join(f"{row[name]:<{widths[name]}}" for name in names).rstrip()
        yield ""
    if is_equal(found):
        yield f"    EQUAL: {found['contacts']:,} members one by one, {found['values']:,} attribute values"
    else:
        counts = (f"{found[name]:,} {name}" for name in ("missing", "extra", "different") if found[name])
        yield f"    NOT EQUAL: {', '.join(counts)}"
        for example in found["examples"]:
            yield f"        {example}"


def is_equal(found: dict[str, t.Any]) -> bool:
    """Whether a comparison found no difference."""
    return not (found["missing"] or found["extra"] or found["different"])


def jobs(listed: t.Sequence[dict[str, t.Any]]) -> t.Iterator[str]:
    """The jobs as text."""
    yield "jobs"
    for job in listed:
        metadata, result = job.get("metadata", {}), job.get("result", {})
        name = metadata.get("importName") or metadata.get("name") or "(no name)"
        counts = ", ".join(f"{result[name]} {name}" for name in COUNTERS if int(result.get(name, 0)))
        rows = f"{result['totalRecords']} rows" if "totalRecords" in result else ""
        yield f"    {job['jobName']:<16}{name:<60}{job['status']:<11}{rows:>12}  {counts}".rstrip()
