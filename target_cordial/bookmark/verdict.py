"""What the counts of a list and of its audience's members say when they are held against each other: rules of numbers alone."""

from __future__ import annotations

from dataclasses import dataclass

from lytics_to_cordial.limits import FEW, too_many
from lytics_to_cordial.progress import counted

_CURE = (
    "run once with --full-refresh, which sends everybody again, unless the reject files name them as rejected"
)
_AUDIT = "an audit names them, and nothing but a person or a mirror takes them off"


@dataclass(frozen=True)
class Counts:
    """What is known of an audience and of its lists at the end of a run.

    Attributes:
        label: The audience and its lists, for people.
        contacts: On the lists.
        members: Of the audience.
        surplus: More contacts than members after the last run; None after a run without a state.
        already_there: Enters of this run that did not make the list longer.
        only_adds: Whether exits are passed over, so that a surplus is meant.
    """

    label: str
    contacts: int
    members: int
    surplus: int | None
    already_there: int = 0
    only_adds: bool = False


@dataclass(frozen=True)
class Verdict:
    """What the counts say.

    Attributes:
        sentence: What is wrong; blank if nothing is.
        is_failure: Whether a person has to act.
        surplus: What to remember.
        is_missing: Whether somebody is missing.
    """

    sentence: str
    is_failure: bool
    surplus: int
    is_missing: bool = False


def judge(counts: Counts, max_percent: float) -> Verdict:
    """Hold contacts against members.

    Contacts that the pipeline never sent may be on a list; so many of them as there were in the last run are taken off first.
    An enter whose contact was on the list already makes one of them a member. The surplus to remember never falls for another
    reason: whoever is missing stays missing in every run, until a run without a state begins anew.
    """
    before = counts.surplus or 0
    expected = max(0, before - max(0, counts.already_there))
    missing = min(counts.members, max(0, counts.members + expected - counts.contacts))
    surplus = max(expected, counts.contacts - counts.members)
    grown = counts.contacts - counts.members - before
    if missing:
        is_failure = too_many(missing, counts.members, max_percent, is_grave=2 * missing > counts.members)
        sentence = f"{counts.label}: {missing:,} of {counted(counts.members, 'member')} {'are' if missing > 1 else 'is'} missing: {_CURE}."
        return Verdict(sentence, is_failure, surplus, is_missing=True)
    is_told = grown > 0 if counts.surplus is None else grown > FEW
    if is_told and not counts.only_adds:
        sentence = f"{counts.label}: {counted(grown, 'contact')} more than members and what was known before: {_AUDIT}."
        return Verdict(sentence, is_failure=False, surplus=surplus)
    return Verdict("", is_failure=False, surplus=surplus)


def too_few_contacts(label: str, rows: int, contacts: int, max_percent: float) -> Verdict:
    """Hold the contacts on a list against the contacts that a run without exits imported for it."""
    missing = max(0, rows - contacts)
    is_failure = too_many(missing, rows, max_percent, is_grave=2 * missing > rows)
    sentence = f"{label}: {counted(rows, 'contact')} {'were' if rows > 1 else 'was'} imported for it, and it holds {contacts:,}: look at the jobs in Cordial."
    return Verdict(sentence if missing else "", is_failure, 0, is_missing=missing > 0)
