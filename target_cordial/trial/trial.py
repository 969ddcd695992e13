"""`--check --trial`: one contact goes through Cordial as in a run, and what becomes of it answers what Cordial does not document."""

from __future__ import annotations

import re
import time
import typing as t
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from lytics_to_cordial.checklist import Checklist
from lytics_to_cordial.errors import UserError
from target_cordial.cordial.api import Cordial
from target_cordial.cordial.attributes import Attribute
from target_cordial.cordial.contacts import Contact
from target_cordial.cordial.errors import CordialError, UnansweredError
from target_cordial.cordial.lists import ContactList
from target_cordial.delivery.importfile import Cells, quoted, unquoted
from target_cordial.delivery.imports import ImportResult
from target_cordial.delivery.jobs import JOBS_PAGE, LOOKUPS, ImportFailedError
from target_cordial.intake.account_lists import AccountLists
from target_cordial.intake.cells import EMPTY
from target_cordial.intake.columns import Column, kinds_of
from target_cordial.intake.identifiers import contact_keys
from target_cordial.intake.list_names import ListTemplate
from target_cordial.readback.values import differing, value_of
from target_cordial.settings import Settings
from target_cordial.storage.storage import Storage
from target_cordial.trial import questions
from target_cordial.trial.contact import TrialContact
from target_cordial.trial.questions import Answer
from target_cordial.trial.values import columns_to_try, dates_with_fractions, plain_value, torn_text

NAME = "trial"
"""In a list's name, in place of what a record would say."""


@dataclass
class Trial:
    """Asks an account the open questions.

    Attributes:
        settings: As a run has them.
        cordial: The account.
        storage: Where Cordial fetches files from.
        folder: For the files on this machine.
        checklist: Takes a line for each question.
        columns: The mapped columns.
        attributes: All attributes of the account by key.
    """

    settings: Settings
    cordial: Cordial
    storage: Storage
    folder: Path
    checklist: Checklist
    columns: Sequence[Column]
    attributes: Mapping[str, Attribute]
    _can_empty: bool = field(default=False, init=False)

    def run(self, address: str) -> None:
        """Import the contact of an address in one way after the other, and leave it as it was, but for its existence."""
        with self.checklist.trying("trial"):
            key = self._key(address)
            before = self._before(key)
            target_list = self._list()
            contact = TrialContact(self.settings, self.cordial, self.storage, self.folder, key, target_list)
            tried = columns_to_try(self.columns)
            try:
                with self.checklist.trying("trial"):
                    self._ask(contact, tried, before)
                with self.checklist.trying("trial"):
                    self._put_back(contact, tried, before)
                with self.checklist.trying("trial"):
                    self._leave(contact)
            except BaseException:
                # To import it once more could take minutes, and what is under way could come after that.
                self.checklist.note("trial", contact.what_stays(tried))
                raise

    def _key(self, address: str) -> str:
        rejects: dict[int, t.Any] = {}
        is_address = self.settings.channel == "email"
        [key] = contact_keys([address], ["enter"], is_address=is_address, field="--trial", rejects=rejects)
        if rejects:
            raise UserError(f"--trial cannot take this contact: {rejects[0].reason}.")
        return key

    def _before(self, key: str) -> Contact | None:
        """The contact before the trial, if it may be used for one."""
        try:
            before = self.cordial.contacts.find(self.settings.channel, key)
        except UnansweredError:
            raise
        except CordialError as error:
            raise UserError(
                f"{error} The trial reads its contact back. With that it would tell: {' '.join(questions.QUESTIONS.values())}"
            ) from error
        if before is not None and before.lists:
            raise UserError(
                f"The contact of --trial is on {len(before.lists)} of the account's lists, and the trial overwrites attributes and takes it off "
                "a list: give another address of yours, such as one with +trial before the @, or take it off its lists first."
            )
        if before is None and self.settings.import_strategy == "updateOnly":
            raise UserError(
                "Cordial does not know the contact of --trial, and import_strategy is updateOnly: give an address of yours that Cordial "
                "knows and that is on no list, or try once with TARGET_CORDIAL_IMPORT_STRATEGY=upsert."
            )
        known = "which Cordial knows" if before is not None else "which is made, and stays in Cordial"
        self.checklist.note(
            "trial", f"one contact, {known}, is imported several times; this may take minutes"
        )
        return before

    def _list(self) -> ContactList | None:
        """The list of list_name; of a template one of its own, which stays in Cordial without contacts."""
        if self.settings.list_action == "none":
            return None
        template = ListTemplate(self.settings.list_name)
        rendered = template.render(dict.fromkeys(template.fields, NAME))
        # With this name alone, a refusal is the setting's and no record's.
        lists = AccountLists(self.cordial, ListTemplate(rendered), self.attributes)
        with self.checklist.trying("list-name"):
            target_list = lists.find_or_create(rendered, made_up_id=-1, is_filled=True)
            if target_list is not None:
                self._show(questions.list_name(target_list.name))
            return target_list
        return None

    def _ask(self, contact: TrialContact, tried: Sequence[Column], before: Contact | None) -> None:
        mapped = {column.attribute.key for column in self.columns}
        self._show(questions.attributes(mapped, self.cordial.attributes.all()))
        if before is None:
            result = contact.update([], (quoted(contact.key),))
            # It has no contact that could be lost, so a row that is not ignored was rejected.
            rejected = None if result.ignored is None else 1 - result.ignored
            self._show(questions.unknown_address(ignored=result.ignored, rejected=rejected))
        else:
            self._show(questions.unanswered("unknown", "Cordial knew the contact already"))
        values = {column: plain_value(column) for column in tried}
        for column in [column for column in tried if contact.cells({column: values[column]}) is None]:
            self.checklist.untried("trial", f"{column.header}: the trial has no value within its limits")
            del values[column]
        called_at = time.monotonic()
        plain, result = self._enter(contact, values)
        self._show(questions.new_contact(plain.status, self.settings, was_known=before is not None))
        self._compare(values, plain)
        self._ask_jobs(contact, result, called_at)
        self._ask_case(contact)
        columns = {column.attribute.type: column for column in reversed(list(values))}
        if "date" in columns:
            self._ask_dates(contact, columns["date"])
        if "string" in columns:
            self._ask_backslash(contact, columns["string"])
        self._ask_null_marker(contact, list(values))
        self._ask_empty_cell(contact, [column for column in values if not column.attribute.required])
        status = plain.status if before is None else before.status
        self._show(questions.known_contact(status, self._read(contact).status, self.settings))

    def _enter(self, contact: TrialContact, values: Mapping[Column, object]) -> tuple[Contact, ImportResult]:
        """Import values that nothing should be wrong with; the contact then, and the import."""
        cells = contact.cells(values) if values else (quoted(contact.key),)
        if cells is None:
            raise UserError(
                "The values of the trial do not go together: try it with fewer fields in field_mapping."
            )
        result = contact.enter(list(values), cells)
        target_list = contact.target_list
        found = contact.read(lambda it: target_list is None or it.is_on(target_list))
        if result.lost.count or found is None or not (target_list is None or found.is_on(target_list)):
            raise UserError(
                f"Cordial did not take a row of plain values, and an import of yours would fare no better (job {result.job_id}): look at the "
                f"job in {JOBS_PAGE}."
            )
        return found, result

    def _compare(self, values: Mapping[Column, object], held: Contact) -> None:
        """What became of the values of each type."""
        columns = {column.attribute.type: column for column in reversed(list(values))}
        for topic, kind in (("text", "string"), ("number", "number"), ("array", "array")):
            column = columns.get(kind)
            if column is None:
                self._show(questions.unanswered(topic, f"field_mapping maps nothing to a {kind} attribute"))
            elif kind == "array":
                items = t.cast("list[str]", values[column])
                self._show(questions.array(items, value_of(held, column.header)))
            else:
                is_same = _holds(held, {column: str(values[column])})
                self._show(questions.arrived(topic, is_same=is_same))
        for kind, topic in (("date", "dates"), ("string", "backslash")):
            if kind not in columns:
                self._show(questions.unanswered(topic, f"field_mapping maps nothing to a {kind} attribute"))

    def _ask_jobs(self, contact: TrialContact, result: ImportResult, called_at: float) -> None:
        """What the jobs of an import look like that began after a time."""
        outcomes = (result.inserted, result.updated, result.ignored)
        self._show(questions.counters(is_counted=sum(count or 0 for count in outcomes) > 0))
        ended_at = time.monotonic()
        grace = LOOKUPS * self.settings.poll_interval_seconds
        listed = contact.jobs.listed(contact.since)
        while not (own := [job for job in listed if job.import_name == result.name and not job.parent_id]):
            if time.monotonic() - ended_at > grace:
                break
            contact.jobs.pause()
            listed = contact.jobs.listed(contact.since)
        self._show(questions.listing(time.monotonic() - called_at if own else None, grace))
        self._show(questions.job_id(result.job_id, own[0].id_field if own else None))
        related = sum(job.parent_id == result.job_id for job in listed)
        self._show(questions.children(related if own else None))
        form = self.cordial.jobs.time_form
        self._show(questions.times(form and contact.since.strftime(form)))

    def _ask_case(self, contact: TrialContact) -> None:
        capitals = contact.key.upper()
        is_one = None
        if capitals != contact.key:
            is_one = self.cordial.contacts.find(self.settings.channel, capitals) is not None
        self._show(questions.case(is_one=is_one))

    def _ask_dates(self, contact: TrialContact, column: Column) -> None:
        tries = [(0, True, 0)]
        for text in dates_with_fractions():
            cells = contact.cells({column: text})
            digits = _digits(cells[-1]) if cells is not None else 0
            if cells is None or digits == tries[-1][0]:
                # The target cuts it.
                continue
            is_taken, found = self._update(contact, [column], cells)
            held = _digits(value_of(found, column.header))
            tries.append((digits, is_taken, held))
        self._show(questions.dates(tries))

    def _ask_backslash(self, contact: TrialContact, column: Column) -> None:
        """A run rejects such a text, so that it goes by itself, in a file with one row that it can tear."""
        text = torn_text(column)
        _, found = self._update(contact, [column], (quoted(contact.key), quoted(text)))
        self._show(questions.backslash(is_same=value_of(found, column.header) == text))

    def _ask_null_marker(self, contact: TrialContact, columns: Sequence[Column]) -> None:
        if not columns:
            self._show(questions.unanswered("null-marker", "field_mapping maps nothing"))
            return
        before = self._read(contact)
        cells = t.cast("Cells", contact.cells(dict.fromkeys(columns)))
        is_taken, found = self._update(contact, columns, cells)
        is_kept = all(value_of(before, c.header) == value_of(found, c.header) for c in columns)
        self._show(questions.null_marker(is_taken=is_taken, is_kept=is_kept))

    def _ask_empty_cell(self, contact: TrialContact, columns: Sequence[Column]) -> None:
        if not columns:
            self._show(questions.unanswered("empty-cell", "field_mapping maps nothing that may be empty"))
            return
        cells = t.cast("Cells", contact.cells(dict.fromkeys(columns), null_values="clear"))
        is_taken, found = self._update(contact, columns, cells)
        emptied = [c.header for c in columns if _holds(found, {c: ""})]
        kept = [c.header for c in columns if c.header not in emptied]
        self._can_empty = is_taken and not kept
        self._show(questions.empty_cell(is_taken=is_taken, emptied=emptied, kept=kept))

    def _update(self, contact: TrialContact, columns: Sequence[Column], cells: Cells) -> tuple[bool, Contact]:
        """Import a row of the known contact; whether Cordial took it, and the contact then."""
        wanted = {
            column: unquoted(cell)
            for column, cell in zip(columns, cells[1:], strict=True)
            if cell != contact.null_marker
        }
        try:
            result = contact.update(columns, cells)
        except ImportFailedError:
            # A file of one row may fail for the same reason as the row.
            return False, self._read(contact)
        found = contact.read(lambda it: bool(result.lost.count) or _holds(it, wanted))
        if found is None:
            raise _gone()
        return not result.lost.count, found

    def _read(self, contact: TrialContact) -> Contact:
        found = contact.read()
        if found is None:
            raise _gone()
        return found

    def _put_back(self, contact: TrialContact, columns: Sequence[Column], before: Contact | None) -> None:
        """Give the attributes of a contact that was known their earlier values."""
        found = contact.read()
        if found is None:
            return
        earlier = {column: before and value_of(before, column.header) for column in columns}
        changed = {column: value for column, value in earlier.items() if not _has(found, column, value)}
        writable = {
            column: value
            for column, value in changed.items()
            if (value not in EMPTY or (self._can_empty and not column.attribute.required))
            and contact.cells({column: value}, "clear") is not None
        }
        cells = contact.cells(writable, "clear") if writable else None
        if cells is not None:
            _, found = self._update(contact, list(writable), cells)
        left = [column.header for column, value in changed.items() if not _has(found, column, value)]
        if left:
            self.checklist.note("trial", f"values of the trial stay in the contact: {', '.join(left)}")
        else:
            self.checklist.ok("trial", "the contact's attributes are as they were")

    def _leave(self, contact: TrialContact) -> None:
        target_list = contact.target_list
        found = contact.read()
        if target_list is None or found is None or not found.is_on(target_list):
            return
        result = contact.leave()
        found = contact.read(lambda it: not it.is_on(target_list))
        if found is not None and found.is_on(target_list):
            raise UserError(
                f"The contact of --trial is still on the list {target_list.name} (job {result.job_id}): take it off in Cordial."
            )
        self.checklist.ok(
            "trial", f"the contact is off the list {target_list.name} again, and stays in Cordial"
        )

    def _show(self, answer: Answer) -> None:
        show = {"ok": self.checklist.ok, "note": self.checklist.note, "untried": self.checklist.untried}
        show[answer.status](answer.topic, str(answer))


def _gone() -> UserError:
    return UserError("The contact of --trial is gone from Cordial while the trial goes on: run it again.")


def _holds(contact: Contact, cells: Mapping[Column, str]) -> bool:
    row = {column.header: cell for column, cell in cells.items()}
    return not differing([(contact, row)], kinds_of(cells))


def _has(contact: Contact, column: Column, value: object) -> bool:
    held = value_of(contact, column.header)
    return held == value or (held in EMPTY and value in EMPTY)


def _digits(value: object) -> int:
    """How many digits of a second a date has."""
    fraction = re.search(r":\d\d\.(\d+)", str(value))
    return len(fraction[1]) if fraction is not None else 0
