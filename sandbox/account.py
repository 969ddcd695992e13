"""The account at Cordial: attributes, lists, contacts and jobs, in a database file."""

from __future__ import annotations

import contextlib
import datetime as dt
import secrets
import sqlite3
import threading
import typing as t
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

FINAL_STATUSES = frozenset({"Done", "Failed"})
_decode = msgspec.json.Decoder().decode


def _encode(value: t.Any) -> str:
    return msgspec.json.encode(value).decode()


@dataclass(frozen=True)
class Contact:
    """A contact as it is now.

    Attributes:
        attributes: Value by attribute key; a geo attribute is an object of its parts.
        lists: Names of the lists that it is on.
        subscribe_status: subscribed, unsubscribed or none.
    """

    attributes: dict[str, t.Any] = field(default_factory=dict)
    lists: frozenset[str] = frozenset()
    subscribe_status: str = "subscribed"


class Account:
    """Reads and writes the database. Several threads may use it.

    Args:
        path: The database file; what it holds already stays.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.saved_audiences: dict[str, str] = {}
        """Rules that somebody saved in Cordial: each means the contacts of a list."""
        self.lock = threading.RLock()
        self.database = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self.database.executescript(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = OFF; PRAGMA cache_size = -64000;"
            "CREATE TABLE IF NOT EXISTS attributes (key TEXT PRIMARY KEY, body TEXT);"
            "CREATE TABLE IF NOT EXISTS lists (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT UNIQUE, enhanced INTEGER);"
            "CREATE TABLE IF NOT EXISTS contacts (address TEXT PRIMARY KEY, status TEXT, attributes TEXT);"
            "CREATE TABLE IF NOT EXISTS members (list INTEGER, address TEXT, PRIMARY KEY (list, address)) WITHOUT ROWID;"
            "CREATE TABLE IF NOT EXISTS jobs (number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT UNIQUE, body TEXT);"
        )

    def close(self) -> None:
        """Let go of the file."""
        with self.lock:
            self.database.close()

    @contextlib.contextmanager
    def transaction(self) -> t.Iterator[None]:
        """Make what happens inside one change of the file."""
        with self.lock:
            self.database.execute("BEGIN")
            try:
                yield
            finally:
                self.database.execute("COMMIT")

    def attributes(self) -> dict[str, dict[str, t.Any]]:
        """All attributes by key."""
        with self.lock:
            return {
                key: _decode(body) for key, body in self.database.execute("SELECT key, body FROM attributes")
            }

    def add_attribute(self, key: str, kind: str, name: str | None = None, **more: t.Any) -> bool:
        """Make an attribute."""
        body = {
            "key": key,
            "name": name or key,
            "type": kind,
            "index": False,
            "unique": False,
            "validators": {},
            "options": {},
            "ct": _stamp(),
            "lm": _stamp(),
            **more,
        }
        with self.lock:
            added = self.database.execute(
                "INSERT OR IGNORE INTO attributes VALUES (?, ?)", (key, _encode(body))
            )
            return added.rowcount == 1

    def change_attribute(self, key: str, **changes: t.Any) -> None:
        """Change an attribute."""
        with self.lock:
            body = {**self.attributes()[key], **changes, "lm": _stamp()}
            self.database.execute("UPDATE attributes SET body = ? WHERE key = ?", (_encode(body), key))

    def remove_attribute(self, key: str) -> None:
        """Delete an attribute."""
        with self.lock:
            self.database.execute("DELETE FROM attributes WHERE key = ?", (key,))

    def lists(self) -> dict[int, str]:
        """Names of all lists by id."""
        with self.lock:
            return dict(self.database.execute("SELECT id, name FROM lists ORDER BY id"))

    def is_enhanced(self, list_id: int) -> bool:
        """Whether a list records the day on which each contact joined."""
        with self.lock:
            row = self.database.execute("SELECT enhanced FROM lists WHERE id = ?", (list_id,)).fetchone()
            return bool(row and row[0])

    def add_list(self, name: str, *, enhanced: bool = True) -> int:
        """Make a list."""
        with self.lock:
            added = self.database.execute(
                "INSERT INTO lists (name, enhanced) VALUES (?, ?)", (name, int(enhanced))
            )
            return int(added.lastrowid or 0)

    def change_list(self, list_id: int, name: str, *, enhanced: bool) -> None:
        """Change a list."""
        with self.lock:
            self.database.execute(
                "UPDATE lists SET name = ?, enhanced = ? WHERE id = ?", (name, int(enhanced), list_id)
            )

    def remove_list(self, list_id: int) -> None:
        """Delete a list; its contacts stay."""
        with self.lock:
            self.clear_list(list_id)
            self.database.execute("DELETE FROM lists WHERE id = ?", (list_id,))

    def list_id(self, name_or_id: str) -> int | None:
        """A list by name or id."""
        for id_, name in self.lists().items():
            if name_or_id in {name, str(id_)}:
                return id_
        return None

    def list_members(self, name_or_id: str) -> set[str]:
        """Who is on a list."""
        with self.lock:
            rows = self.database.execute(
                "SELECT address FROM members WHERE list = ?", (self.list_id(name_or_id),)
            )
            return {address for (address,) in rows}

    def attributes_on_list(self, name_or_id: str) -> t.Iterator[tuple[str, dict[str, t.Any]]]:
        """Who is on a list, and what Cordial knows of them."""
        list_id = self.list_id(name_or_id)
        # With a connection of its own, nobody waits for a long list.
        with contextlib.closing(sqlite3.connect(self._path)) as database:
            query = "SELECT address, attributes FROM members JOIN contacts USING (address) WHERE list = ?"
            for address, attributes in database.execute(query, (list_id,)):
                yield address, _decode(attributes)

    def contact_id(self, address: str) -> str:
        """Cordial's own id of a contact, the cID."""
        with self.lock:
            row = self.database.execute("SELECT rowid FROM contacts WHERE address = ?", (address,)).fetchone()
            return "" if row is None else f"{row[0]:024x}"

    def address_of(self, contact_id: str) -> str | None:
        """The address of a contact."""
        with self.lock:
            row = self.database.execute(
                "SELECT address FROM contacts WHERE rowid = ?", (int(contact_id, 16) & (2**63 - 1),)
            ).fetchone()
            return None if row is None else str(row[0])

    def contact(self, address: str) -> Contact | None:
        """A contact."""
        return self.contacts("WHERE address = ?", address).get(address)

    def contacts(self, where: str = "", *values: str) -> dict[str, Contact]:
        """Contacts by address."""
        with self.lock:
            names = self.lists()
            lists: dict[str, set[str]] = {}
            for id_, address in self.database.execute(f"SELECT list, address FROM members {where}", values):  # noqa: S608
                lists.setdefault(address, set()).add(names.get(id_, str(id_)))
            rows = self.database.execute(f"SELECT address, status, attributes FROM contacts {where}", values)  # noqa: S608
            return {
                address: Contact(_decode(attributes), frozenset(lists.get(address, ())), status)
                for address, status, attributes in rows
            }

    def status_and_attributes(self, address: str) -> tuple[str, dict[str, t.Any]] | None:
        """A contact without its lists, which an import does not need to know."""
        with self.lock:
            row = self.database.execute(
                "SELECT status, attributes FROM contacts WHERE address = ?", (address,)
            ).fetchone()
            return None if row is None else (row[0], _decode(row[1]))

    def put_contact(self, address: str, attributes: dict[str, t.Any], subscribe_status: str) -> None:
        """Make or replace a contact."""
        with self.lock:
            self.database.execute(
                "INSERT INTO contacts VALUES (?, ?, ?) ON CONFLICT (address) DO UPDATE "
                "SET status = excluded.status, attributes = excluded.attributes",
                (address, subscribe_status, _encode(attributes)),
            )

    def remove_contact(self, address: str) -> None:
        """Delete a contact, and take it off all lists."""
        with self.lock:
            self.database.execute("DELETE FROM contacts WHERE address = ?", (address,))
            self.database.execute("DELETE FROM members WHERE address = ?", (address,))

    def join(self, list_id: int, address: str) -> None:
        """Put a contact on a list."""
        with self.lock:
            self.database.execute("INSERT OR IGNORE INTO members VALUES (?, ?)", (list_id, address))

    def leave(self, list_id: int, address: str) -> None:
        """Take a contact off a list."""
        with self.lock:
            self.database.execute("DELETE FROM members WHERE list = ? AND address = ?", (list_id, address))

    def clear_list(self, list_id: int) -> None:
        """Take everybody off a list."""
        with self.lock:
            self.database.execute("DELETE FROM members WHERE list = ?", (list_id,))

    def list_size(self, list_id: int) -> int:
        """How many contacts are on a list."""
        with self.lock:
            return int(
                self.database.execute("SELECT COUNT(*) FROM members WHERE list = ?", (list_id,)).fetchone()[0]
            )

    def add_job(self, body: dict[str, t.Any]) -> str:
        """Note a new job."""
        id_ = secrets.token_hex(12)
        with self.lock:
            self.database.execute("INSERT INTO jobs (id, body) VALUES (?, ?)", (id_, _encode(body)))
        return id_

    def change_job(self, id_: str, **changes: t.Any) -> None:
        """Note a job's progress."""
        with self.lock:
            body = self.job(id_) or {}
            self.database.execute(
                "UPDATE jobs SET body = ? WHERE id = ?", (_encode({**body, **changes}), id_)
            )

    def job_number(self, id_: str) -> int:
        """The number of a job, for an account whose jobs have numbers for ids."""
        with self.lock:
            return int(self.database.execute("SELECT number FROM jobs WHERE id = ?", (id_,)).fetchone()[0])

    def job(self, id_: str) -> dict[str, t.Any] | None:
        """A job."""
        with self.lock:
            row = self.database.execute(
                "SELECT body FROM jobs WHERE id = ? OR CAST(number AS TEXT) = ?", (id_, id_)
            ).fetchone()
            return None if row is None else t.cast("dict[str, t.Any]", _decode(row[0]))

    def jobs(self) -> dict[str, dict[str, t.Any]]:
        """All jobs by id, in order of their start."""
        with self.lock:
            return {
                id_: _decode(body)
                for id_, body in self.database.execute("SELECT id, body FROM jobs ORDER BY number")
            }

    def fail_unfinished_jobs(self) -> None:
        """End the jobs that were under way when the service stopped: nobody works on them any more."""
        with self.lock:
            for id_, job in self.jobs().items():
                if job["status"] not in FINAL_STATUSES:
                    times = {**job.get("times", {}), "end": _stamp()}
                    self.change_job(id_, status="Failed", times=times, message="The service was restarted")


def _stamp() -> str:
    return f"{dt.datetime.now(dt.timezone.utc):%Y-%m-%dT%H:%M:%SZ}"
