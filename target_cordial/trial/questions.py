"""The open questions that a trial can answer, and how each answer reads: what this account does, and which setting to choose."""

from __future__ import annotations

import typing as t
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from target_cordial.settings import Settings

Status: t.TypeAlias = t.Literal["ok", "note", "untried"]

QUESTIONS = {
    "list-name": "May the name of a list hold an underscore?",
    "attributes": "Does the list of attributes show all that are mapped?",
    "unknown": "What becomes of an address that Cordial does not know, in an import that may only update?",
    "new-contact": "Which subscribe status does a new contact get?",
    "status": "Does a known contact keep its subscribe status?",
    "text": "Do accents, quotes, commas and line breaks arrive as they were sent?",
    "number": "Does a number arrive?",
    "array": "How is an array read from a cell?",
    "dates": "How many digits of a second may a date have?",
    "backslash": "Does a backslash hide the quote behind it?",
    "null-marker": "Does the null marker leave an attribute as it is?",
    "empty-cell": "What does an empty cell do?",
    "case": "Are addresses that differ in case one contact?",
    "job-id": "What is the id of a job?",
    "children": "Is an import done by child jobs?",
    "counters": "Do jobs count their rows?",
    "listing": "How soon is a new job listed?",
    "times": "In which form may times of jobs be asked for?",
}
"""By the topic of their lines."""
_NOTHING = "Nothing to set."


@dataclass(frozen=True)
class Answer:
    """What an account answered.

    Attributes:
        topic: Which question, see `QUESTIONS`.
        answer: What it does, as a sentence.
        choice: Which setting to choose, as a sentence.
        status: `ok`: the defaults fit. `note`: somebody has to choose. `untried`: the trial cannot tell.
    """

    topic: str
    answer: str
    choice: str = _NOTHING
    status: Status = "ok"

    def __str__(self) -> str:
        return f"{QUESTIONS[self.topic]} {self.answer} {self.choice}"


def unanswered(topic: str, why: str, cure: str = "") -> Answer:
    """A question that the trial cannot answer."""
    return Answer(topic, f"Not known: {why}.", cure, "untried")


def list_name(name: str) -> Answer:
    """Of a list that was found or created."""
    if "_" in name:
        return Answer("list-name", "Yes.")
    return unanswered("list-name", "the list of the trial has none in its name")


def attributes(mapped: Collection[str], listed: Collection[str]) -> Answer:
    """Whether mapped attributes are listed."""
    if not mapped:
        return unanswered("attributes", "field_mapping maps none")
    missing = set(mapped) - set(listed)
    if not missing:
        return Answer("attributes", "Yes.")
    answer = f"No, {len(missing)} of {len(mapped)} are not in it, so that it may come in pages."
    return Answer("attributes", answer, f"{_NOTHING} What is missing is asked for by its key.")


def unknown_address(*, ignored: int | None, rejected: int | None) -> Answer:
    """Of an import of an address that Cordial did not know."""
    if ignored:
        return Answer("unknown", "It is counted as ignored.")
    if rejected:
        return Answer("unknown", "It is counted as rejected.", f"{_NOTHING} It counts as no loss.")
    return unanswered("unknown", "the job does not say")


def new_contact(status: str | None, settings: Settings, *, was_known: bool) -> Answer:
    """The subscribe status of a contact that the trial's first import made."""
    if was_known:
        return unanswered(
            "new-contact",
            "Cordial knew the contact already",
            "Try another address of yours, such as one with +trial before the @.",
        )
    if status is None:
        return unanswered("new-contact", "Cordial does not show it", "Look at the contact in Cordial.")
    answer = f"`{status}`, in an import {_asks(settings)}."
    wanted = settings.subscribe_status
    if wanted is not None:
        choice = (
            _NOTHING if status == wanted else f"subscribe_status asks for `{wanted}`: ask Cordial's support."
        )
        return Answer("new-contact", answer, choice, "ok" if status == wanted else "note")
    if status == "subscribed":
        return Answer("new-contact", answer)
    choice = "Such contacts get no campaigns: set subscribe_status to subscribed if all new contacts agreed to them."
    return Answer("new-contact", answer, choice, "note")


def known_contact(before: str | None, after: str | None, settings: Settings) -> Answer:
    """The subscribe status of a known contact before and after imports without a status."""
    if before is None or after is None:
        return unanswered("status", "Cordial does not show it")
    asked = "with `subscribe: false`" if settings.keep_subscribe_status else "without `subscribe: false`"
    if before != after:
        answer = f"No: it went from `{before}` to `{after}`, in imports {asked}."
        if settings.keep_subscribe_status:
            return Answer(
                "status",
                answer,
                "Do not run before Cordial's support has said how an import keeps it.",
                "note",
            )
        return Answer("status", answer, "Set keep_subscribe_status to true.", "note")
    if before == "none":
        return Answer("status", f"Yes: it stayed `none`, in imports {asked}.")
    other = "of which all sources say so" if before == "unsubscribed" else "which says nothing of `none`"
    return unanswered(
        "status",
        f"it stayed `{before}`, {other}, and the sources disagree on contacts whose status is `none`",
        "Try the address of such a contact.",
    )


def arrived(topic: str, *, is_same: bool) -> Answer:
    """Whether a value came back as it was sent."""
    if is_same:
        return Answer(topic, "Yes.")
    choice = "Look at the contact in Cordial before the first run; leave such fields out of field_mapping if it is wrong there."
    return Answer(topic, "No, it was read back as another value.", choice, "note")


def array(sent: Sequence[str], held: object) -> Answer:
    """What became of the items of an array."""
    if held == sent:
        return Answer("array", f"As JSON: {len(sent)} items came back as they were sent.")
    shape = f"{len(held)} items" if isinstance(held, list) else "no array"
    answer = f"Not as JSON: {len(sent)} items were sent as `[...]`, and {shape} came back."
    choice = "Map such fields to string attributes, or leave them out of field_mapping."
    return Answer("array", answer, choice, "note")


def dates(tries: Sequence[tuple[int, bool, int]]) -> Answer:
    """What became of dates, one of which was taken: digits that were sent, whether the row was taken, digits that came back."""
    sent, held = max((sent, held) for sent, is_taken, held in tries if is_taken)
    refused = [sent for sent, is_taken, _ in tries if not is_taken]
    answer = f"Cordial takes {sent}, of which {held} come back."
    if not refused:
        return Answer("dates", answer)
    answer += f" Rows with {' or '.join(map(str, refused))} are not taken."
    return Answer(
        "dates", answer, "Map such fields to string attributes, or cut them by stream_maps.", "note"
    )


def backslash(*, is_same: bool) -> Answer:
    """Whether a text arrived that a reader with a backslash escape would tear."""
    if is_same:
        return Answer("backslash", "No, it is an ordinary letter.")
    choice = "Values with a backslash before a quote, or at their end, cannot be sent: map no field that has some, or change them by stream_maps."
    return Answer("backslash", "Such a text does not arrive, as if it did.", choice, "note")


def null_marker(*, is_taken: bool, is_kept: bool) -> Answer:
    """Whether a row of null markers was taken, and attributes stayed as they were."""
    if not is_taken:
        return unanswered("null-marker", "Cordial did not take the row", "Run the trial again.")
    if is_kept:
        return Answer("null-marker", "Yes.")
    return Answer(
        "null-marker",
        "No: fields without a value change their attributes.",
        "Do not run before Cordial's support has said how nullMarker works.",
        "note",
    )


def empty_cell(*, is_taken: bool, emptied: Sequence[str], kept: Sequence[str]) -> Answer:
    """What became of attributes whose cells were empty."""
    if not is_taken:
        return Answer(
            "empty-cell", "Its row is not taken.", "Leave null_values at keep: clear would lose rows.", "note"
        )
    if not kept:
        return Answer("empty-cell", "It empties the attribute.", "null_values may be keep or clear.")
    some = f", except {', '.join(emptied)}" if emptied else ""
    answer = f"It leaves the attribute as it is{some}."
    return Answer("empty-cell", answer, "Leave null_values at keep: clear would empty nothing.", "note")


def case(*, is_one: bool | None) -> Answer:
    """Whether the contact is found by its address in capitals."""
    if is_one is None:
        return unanswered("case", "the address has no letters")
    if is_one:
        return Answer("case", "Yes, as far as reading shows.")
    choice = "Addresses are sent in small letters: bring those in Cordial that have capitals to small letters before the first run."
    return Answer("case", "No: by its address in capitals the contact is not found.", choice, "note")


def job_id(job_id: str, listed_field: str | None) -> Answer:
    """The form of a job's id, and where a list of jobs has it."""
    kind = "A number" if job_id.isdecimal() else "A text"
    if listed_field is None:
        return unanswered("job-id", f"{kind.lower()} when an import is begun, but the job is not listed")
    if not listed_field:
        choice = "A run that is killed could not follow its imports: ask Cordial's support for the field of the id."
        return Answer("job-id", f"{kind}; in a list of jobs it is in no known field.", choice, "note")
    return Answer("job-id", f"{kind}; in a list of jobs it is in the field `{listed_field}`.")


def children(count: int | None) -> Answer:
    """How many child jobs an import of one row had."""
    if count is None:
        return unanswered("children", "the job is not listed")
    if count:
        return Answer("children", f"Yes, {count} of them.", f"{_NOTHING} They are waited for.")
    return Answer("children", "Not an import of one row; one of many rows may be.")


def counters(*, is_counted: bool) -> Answer:
    """Whether the jobs told an outcome of their row."""
    if is_counted:
        return Answer("counters", "Yes.")
    choice = (
        "Rejected rows cannot be counted: compare the lists by `mode: audit`, which reads all contacts back."
    )
    return Answer("counters", "No.", choice, "note")


def listing(seconds: float | None, grace: float) -> Answer:
    """How long after its call a job was listed, at the latest; None if not within the grace that runs give."""
    if seconds is None:
        choice = f"Set poll_interval_seconds higher: a run gives up looking after 12 of them, {grace:g} s."
        return Answer("listing", f"Not within {grace:g} s.", choice, "note")
    return Answer("listing", f"At most {seconds:.1f} s after its call; another one may take longer.")


def times(form: str | None) -> Answer:
    """The form of times that Cordial took."""
    if form is None:
        choice = f"{_NOTHING} Runs list all jobs then, which takes longer in an account with many."
        return Answer("times", "In none of the two that are known.", choice, "note")
    return Answer("times", f"As {form}.")


def _asks(settings: Settings) -> str:
    if settings.subscribe_status is not None:
        return f"with the status `{settings.subscribe_status}`"
    return "with `subscribe: false`" if settings.keep_subscribe_status else "without `subscribe: false`"
