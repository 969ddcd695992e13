"""The end of a run: what was counted is compared, and what a person has to settle is said."""

from __future__ import annotations

import logging
import typing as t
from collections import Counter
from collections.abc import Callable

from lytics_to_cordial.progress import counted
from target_cordial.bookmark.bookmarks import Bookmarks
from target_cordial.bookmark.verdict import Counts, Verdict, judge, too_few_contacts
from target_cordial.cordial.lists import Sizes
from target_cordial.history.totals import Totals
from target_cordial.settings import Settings

NOTHING_CAME = "nothing came"
INCOMPLETE = "incomplete"
LOOKS = 3
"""How often lists are counted before somebody counts as missing."""

logger = logging.getLogger("target-cordial")


def outcome_of(bookmarks: Bookmarks) -> str:
    """The outcome of a run that read all of its input and did its own work: `done`, unless the tap did not do all of its own."""
    if not bookmarks.has_input:
        return NOTHING_CAME
    run = bookmarks.tap_run
    return "done" if run is None or run.is_ended else INCOMPLETE


def members_by_list(bookmarks: Bookmarks) -> dict[str, int]:
    """The members of each audience that has one list, which is its own."""
    names: dict[str, list[str]] = {}
    for (owner, _), known in bookmarks.lists.items():
        names.setdefault(owner, []).append(known.name)
    own = [name for lists in names.values() for name in lists]
    run = bookmarks.tap_run
    audiences = {} if run is None else run.audiences
    return {
        lists[0]: members
        for owner, lists in names.items()
        if len(lists) == 1 and own.count(lists[0]) == 1 and owner in audiences
        if (members := audiences[owner].members) is not None
    }


def what_to_settle(
    bookmarks: Bookmarks,
    measure: Callable[[float], t.Mapping[str, Sizes]],
    totals: Totals,
    settings: Settings,
) -> list[str]:
    """Compare what was counted, and return what a person has to settle, in sentences; less is a warning.

    Args:
        bookmarks: Know the members of audiences, and keep their surplus.
        measure: Waits so many seconds, then gives the sizes of the run's lists by name.
        totals: What the run did.
        settings: The settings.
    """
    pauses = [0.0, *[settings.poll_interval_seconds] * (LOOKS - 1)]
    for pause in pauses:
        sizes = measure(pause)
        audiences = _audience_verdicts(bookmarks, sizes, totals, settings)
        verdicts = [*audiences.values(), *_import_verdicts(sizes, totals, settings)]
        # Whether a list's count is up to date as soon as an import is done is not documented.
        if not any(verdict.is_missing for verdict in verdicts):
            break
    for id_, verdict in audiences.items():
        bookmarks.remember_surplus(id_, verdict.surplus)
    for verdict in verdicts:
        if verdict.sentence and not verdict.is_failure:
            logger.warning("%s", verdict.sentence)
    return [verdict.sentence for verdict in verdicts if verdict.is_failure]


def _audience_verdicts(
    bookmarks: Bookmarks, sizes: t.Mapping[str, Sizes], totals: Totals, settings: Settings
) -> dict[str, Verdict]:
    """Hold the contacts on the lists of each audience against its members, as far as both are known."""
    verdicts = {}
    run = bookmarks.tap_run
    if run is None or not run.is_ended or settings.import_strategy != "upsert":
        return {}
    for id_, audience in run.audiences.items():
        names = {known.name for (owner, _), known in bookmarks.lists.items() if owner == id_}
        counts = [sizes[name].size_after for name in names]
        contacts = [count for count in counts if count is not None]
        if audience.members is not None and names and len(contacts) == len(names):
            counted_now = Counts(
                label=f"Audience {audience.label}, list {' and '.join(sorted(names))}",
                contacts=sum(contacts),
                members=audience.members,
                surplus=bookmarks.surplus_of(id_),
                already_there=sum(_already_there(name, sizes[name], totals) for name in names),
                only_adds=settings.list_action == "add",
            )
            verdicts[id_] = judge(counted_now, settings.max_reject_percent)
    return verdicts


def _import_verdicts(sizes: t.Mapping[str, Sizes], totals: Totals, settings: Settings) -> t.Iterator[Verdict]:
    """Hold the contacts on each list that nobody left against those that were imported for it."""
    # What updateOnly passes over is meant.
    max_percent = settings.max_reject_percent if settings.import_strategy == "upsert" else 100
    for name, size in sizes.items():
        if size.size_after is not None and not totals.by_list[name]["exits"]:
            # A contact may be in several files, but only once in each.
            rows = totals.most_rows_of[name] - totals.rejected_of[name]
            yield too_few_contacts(f"List {name}{_ignored(totals, name)}", rows, size.size_after, max_percent)


def exit_problems(failed: Counter[str], earlier: int, place: str) -> list[str]:
    """What is to say of exits that could not be done: of this run by list, whose reject report is at a place, and of earlier ones."""
    sentences = []
    if failed:
        names = ", ".join(sorted(failed))
        sentences.append(f"{counted(failed.total(), 'exit')} of {names} could not be done: see {place}.")
    if earlier:
        sentences.append(
            f"{counted(earlier, 'exit')} could not be done in earlier runs: see their reject files."
        )
    if sentences:
        sentences.append(
            "Take these contacts off by a mirror that ends equal, with the storage_url of this pipeline, or by hand, and then run once with "
            "TARGET_CORDIAL_ACCEPT_REJECTED_EXITS=true; until then every run says so."
        )
    return sentences


def _already_there(name: str, size: Sizes, totals: Totals) -> int:
    """Enters of this run that did not make a list longer, as far as its sizes tell."""
    if size.size_before is None or size.size_after is None:
        return 0
    rows = totals.by_list[name]
    enters = rows["enters"] - totals.arrived[name, "updates"] - totals.rejected_of[name]
    return max(0, enters - rows["exits"] - (size.size_after - size.size_before))


def _ignored(totals: Totals, name: str) -> str:
    ignored = totals.ignored_of[name]
    return f" ({counted(ignored, 'row')} passed over by Cordial, as import_strategy wants)" if ignored else ""
