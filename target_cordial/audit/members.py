"""All members that an input names, with the cells that the target would send: kept on disk until they are compared."""

from __future__ import annotations

import typing as t
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import msgspec

from lytics_to_cordial.database import Tables, csv_table
from lytics_to_cordial.errors import UserError
from target_cordial.audit.activity import Activity
from target_cordial.audit.whole import ExitsError, NotWholeError, Snapshot
from target_cordial.cordial.lists import ContactList
from target_cordial.delivery.delivery import Delivery
from target_cordial.delivery.importfile import Cells, quoted
from target_cordial.delivery.rejects import Reject, SkippedValue
from target_cordial.history.totals import Totals
from target_cordial.intake.fields import names_read, values_of
from target_cordial.intake.identifiers import contact_keys
from target_cordial.intake.lists import Lists
from target_cordial.readback.addresses import key_of, unify_domains
from target_cordial.readback.compare import load_members


class Members:
    """Takes rows in place of the delivery; states are nothing to it, and an exit is refused.

    Attributes:
        lists: The lists that members go on, in the order in which they came; None for contacts on no list. A list's place
            is its number in the table `members`.

    Args:
        delivery: Counts records and takes rejects.
        folder: For files with members; only the owner may enter it.
        identifier_field: The setting.
        activity: Gets each list as its first member comes.
    """

    def __init__(self, delivery: Delivery, folder: Path, identifier_field: str, activity: Activity) -> None:
        self.lists: list[ContactList | None] = []
        self._delivery = delivery
        self._folder = folder
        self._identifier_field = identifier_field
        self._activity = activity
        self._files: dict[ContactList | None, t.BinaryIO] = {}
        self._rejected = (folder / "rejected.csv").open("wb")

    @property
    def records(self) -> int:
        """How many records were read."""
        return self._delivery.records

    @records.setter
    def records(self, records: int) -> None:
        self._delivery.records = records

    @property
    def totals(self) -> Totals:
        """What was done so far."""
        return self._delivery.totals

    @property
    def rejects(self) -> int:
        """How many records cannot be sent."""
        return self._delivery.rejects.count

    def add_empty_lists(self, snapshot: Snapshot, lists: Lists | None) -> None:
        """Add the lists of which no record came that can be sent.

        Raises:
            NotWholeError: If it is not known which these are.
        """
        if lists is None:
            self.add_list(None)
            return
        for target_list in lists.named:
            self.add_list(target_list)
        for audience_id, audience in snapshot.items():
            if not audience.get("members"):
                self._add_named(
                    lists,
                    {
                        **{f"audience_{key}": audience.get(key) for key in audience},
                        "audience_id": audience_id,
                    },
                )
        if not self.lists and not lists.fields:
            self._add_named(lists, {})
        if not self.lists:
            raise NotWholeError(
                f"No record came, and list_name ({lists.account.template.text!r}) takes its names from records: nobody can tell which list to compare."
            )

    def _add_named(self, lists: Lists, values: dict[str, t.Any]) -> None:
        columns = {name: [values.get(name)] for name in (*lists.fields, "audience_id")}
        (target_list,) = lists.lists_for("", columns, {})
        if target_list is None:
            raise NotWholeError(
                f"The audience {values.get('audience_slug')!r} has no members, and without a record nobody can tell its list: put audience_name, "
                "audience_slug or audience_id in list_name alone."
            )
        self.add_list(target_list)

    def add_list(self, target_list: ContactList | None) -> t.BinaryIO:
        """Compare a list, also if it has no members.

        Raises:
            UserError: If Cordial has no such list.
        """
        if target_list not in self._files:
            if target_list is not None and target_list.id < 0:
                raise UserError(
                    f"Cordial has no list {target_list.name!r}, and an audit or a mirror creates none: correct list_name, or give the list "
                    "by its id."
                )
            if target_list is not None:
                self._activity.watch(target_list)
            self.lists.append(target_list)
            path = self._folder / f"members-{len(self.lists) - 1}.csv"
            self._files[target_list] = path.open("wb")
        return self._files[target_list]

    def enter(
        self,
        target_list: ContactList | None,
        keys: Sequence[str],
        rows: Sequence[Cells],
        *,
        position: int,  # noqa: ARG002 - nothing is acknowledged
        updates: int,  # noqa: ARG002
    ) -> None:
        """Keep members' rows."""
        del keys
        self.add_list(target_list).write(("\r\n".join(map(",".join, rows)) + "\r\n").encode())

    def exit(
        self, target_list: ContactList, keys: Sequence[str], *, position: int, again: bool = False
    ) -> None:
        """Refuse: who leaves is no member."""
        del target_list, keys, position, again
        raise ExitsError

    def reject(self, reject: Reject) -> None:
        """Report a record that cannot be sent; its contact is neither missing nor extra."""
        if reject.exit_from is not None:
            raise ExitsError
        self._delivery.reject(reject)
        field = self._identifier_field
        columns = {name: [reject.record.get(name, msgspec.UNSET)] for name in names_read(field)}
        (key,) = contact_keys(values_of(field, columns), ["exit"], is_address=False, field=field, rejects={})
        if key:
            self._rejected.write(quoted(key).encode() + b"\r\n")

    def count_values(self, values: Counter[str], skipped: Sequence[SkippedValue]) -> None:
        """Report the values that members are compared without."""
        self._delivery.count_values(values, skipped)

    def state(self, state: dict[str, t.Any]) -> None:
        """Nothing is acknowledged."""

    def hold(self) -> None:
        """Nothing is acknowledged."""

    def release(self) -> None:
        """Nothing is acknowledged."""

    def tick(self) -> None:
        """Nothing waits."""

    def load(self, tables: Tables, columns: int, null_marker: str) -> None:
        """Make the tables `members` (`list`, `address`, `key`, and cells `e0` ... of so many columns) and `rejected` (`key`).

        A member who came several times has the last cell of each column that is not the null marker.
        """
        for file in (*self._files.values(), self._rejected):
            file.close()
        # The last of several is known by its place.
        tables.run("SET preserve_insertion_order = true; CREATE TABLE rejected (key VARCHAR)")
        paths = [self._folder / f"members-{number}.csv" for number in range(len(self.lists))]
        load_members(tables, paths, columns)
        rejected = csv_table(self._folder / "rejected.csv", ["key"])
        tables.run(f"INSERT INTO rejected SELECT {key_of('key')} FROM {rejected}")
        unify_domains(tables, "rejected")
        last = "".join(
            f", coalesce(arg_max({cell}, place) FILTER ({cell} <> '{null_marker}'), '{null_marker}')"
            for cell in (f"e{number}" for number in range(columns))
        )
        tables.run(
            "CREATE TABLE repeated AS SELECT list, key FROM members GROUP BY ALL HAVING count(*) > 1;"
            f"CREATE TABLE once AS SELECT list, arg_max(address, place), key{last} FROM (SELECT *, rowid AS place FROM members) "
            "SEMI JOIN repeated USING (list, key) GROUP BY list, key;"
            "DELETE FROM members WHERE (list, key) IN (FROM repeated); INSERT INTO members FROM once;"
            "DROP TABLE repeated; DROP TABLE once; SET preserve_insertion_order = false"
        )
        for path in paths:
            path.unlink()
