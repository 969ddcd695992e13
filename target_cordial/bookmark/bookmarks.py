"""What a run knows of earlier ones: the entry of each stream, taken from the first STATE and put into each that is acknowledged."""

from __future__ import annotations

import dataclasses
import logging
import typing as t
from collections import Counter

from lytics_to_cordial.errors import UserError
from lytics_to_cordial.progress import counted
from target_cordial.bookmark.changes import accepted_changes, delivery_settings
from target_cordial.bookmark.entry import Entry, Place, read_entry, short_hash, with_entry
from target_cordial.bookmark.tap_run import State, TapRun, is_used, tap_run
from target_cordial.cordial.lists import ContactList
from target_cordial.settings import Settings

_BY_ID = "id:"

logger = logging.getLogger("target-cordial")


class Bookmarks:
    """The entries of a run's streams.

    One thread reads the input and changes them; any thread may put them into a state.

    Args:
        settings: The settings.
        config: All settings, those of the SDK too.

    Attributes:
        exits_failed: The run's count of exits that could not be done, by list or stream.
        values_skipped: The run's count of values that did not fit, by column.
        has_input: Whether a SCHEMA or a STATE came.
    """

    def __init__(self, settings: Settings, config: t.Mapping[str, t.Any]) -> None:
        self.exits_failed = Counter[str]()
        self.values_skipped = Counter[str]()
        self.has_input = False
        self._settings = settings
        self._account = _account_mark(settings)
        self._delivery_settings = delivery_settings(settings, config)
        self._first: State | None = None
        self._is_incoming = False
        self._newest: State = {}
        self._entries: dict[str, Entry] = {}
        self._remembered: dict[str, Entry] = {}
        self._is_complete = False
        self._is_storage_settled = False

    @property
    def streams(self) -> t.Collection[str]:
        """The streams that came and have the identifier."""
        return self._entries.keys()

    @property
    def tap_run(self) -> TapRun | None:
        """The run of tap-lytics-audience, by the newest STATE; None with another tap."""
        return tap_run(self._newest)

    @property
    def lists(self) -> dict[Place, ContactList]:
        """The lists of this run's streams and audiences, of earlier runs too."""
        run = self.tap_run
        return {
            place: known
            for entry in self._entries.values()
            for place, known in entry.lists.items()
            if run is None or place[0] in run.audiences or place[0] in self._entries
        }

    @property
    def storage_urls(self) -> set[str]:
        """Where earlier runs put import files."""
        urls = {entry.storage_url for entry in self._remembered.values()}
        return urls - {"", self._settings.storage_url}

    @property
    def is_other_key(self) -> bool:
        """Whether earlier runs used another API key, which may be that of another account."""
        return any(entry.account not in ("", self._account) for entry in self._remembered.values())

    @property
    def exits_open(self) -> int:
        """Exits of this run and of earlier ones that could not be done, and that nobody has accepted."""
        earlier = sum(entry.exits_open for entry in self._entries.values())
        return earlier + sum(self.exits_failed.values())

    def begin(self, state: State, *, is_before_records: bool) -> None:
        """Take the first STATE.

        Args:
            state: Its value.
            is_before_records: Whether it came before the first record, as one that the tap was given does.

        Raises:
            UserError: If a setting changed since members were sent.
        """
        self.has_input = True
        self._first = self._newest = state
        self._is_incoming = is_before_records
        for stream in list(self._entries):
            self._settle(stream)

    def take(self, state: State) -> None:
        """Take a STATE in its place among the records; as `begin` if it is the first."""
        if self._first is None:
            self.begin(state, is_before_records=False)
        self._newest = state

    def open(self, stream: str, *, has_identifier: bool) -> None:
        """Take a stream's SCHEMA; raises `UserError` as `begin` does."""
        self.has_input = True
        if has_identifier and stream not in self._entries:
            self._settle(stream)

    def remember(self, place: Place, known: ContactList, stream: str | None = None) -> None:
        """Keep a list to which records of a stream go, or of the streams that went there before, or of the first one."""
        streams = (
            [stream]
            if stream in self._entries
            else [name for name, entry in self._entries.items() if place in entry.lists]
            or list(self._entries)[:1]
        )
        for name in streams:
            entry = self._entries[name]
            self._entries[name] = dataclasses.replace(entry, lists={**entry.lists, place: known})

    def remember_storage(self) -> None:
        """Keep where import files are put, once what earlier runs left elsewhere is settled."""
        self._is_storage_settled = True

    def surplus_of(self, audience: str) -> int | None:
        """The surplus of an audience after the last run; None if this run began without a state."""
        known = (entry.surplus[audience] for entry in self._entries.values() if audience in entry.surplus)
        return next(known, None)

    def remember_surplus(self, audience: str, surplus: int) -> None:
        """Keep the surplus of an audience."""
        for stream, entry in self._entries.items():
            if any(owner == audience for owner, _ in entry.lists):
                kept = {**entry.surplus, audience: surplus}
                self._entries[stream] = dataclasses.replace(entry, surplus=kept)

    @property
    def is_burdened(self) -> bool:
        """Whether a mirror would settle something of earlier runs."""
        return any(entry.exits_open or any(entry.surplus.values()) for entry in self._entries.values())

    def take_mirrors(self, mirrors: t.Mapping[int, int]) -> None:
        """Let go of what is open of lists that a mirror made equal to their members since.

        Args:
            mirrors: A number for the last mirror of each list by its id.
        """
        for stream, entry in self._entries.items():
            last = min((mirrors.get(known.id, 0) for known in entry.lists.values()), default=0)
            if last > entry.mirrored:
                settled = dict.fromkeys(entry.surplus, 0)
                self._entries[stream] = dataclasses.replace(
                    entry, exits_open=0, surplus=settled, mirrored=last
                )

    def complete(self) -> None:
        """Note that everything up to the end of the input is in Cordial."""
        self._is_complete = True

    def stamp(self, state: State) -> State:
        """A state with the entries in it, as it is acknowledged."""
        for stream, entry in dict(self._entries).items():
            exits_open = entry.exits_open + self._failed_of(stream)
            if self._may_be_written(stream, state):
                url = self._settings.storage_url if self._is_storage_settled else entry.storage_url
                skipped = self._skipped_of(stream)
                whole = dataclasses.replace(
                    entry, exits_open=exits_open, storage_url=url, values_skipped=skipped
                )
                state = with_entry(state, stream, whole)
            elif exits_open:
                state = with_entry(state, stream, Entry(exits_open=exits_open, mirrored=entry.mirrored))
        return state

    def _may_be_written(self, stream: str, state: State) -> bool:
        """Whether all that a state stands for was delivered by the present settings.

        A run without an entry may be a full refresh. If it is killed, Meltano lays its states over the older one, whose position
        may show through. The generation in the state of tap-lytics-audience guards against that; with another tap, only the
        end of the input does.
        """
        is_known = bool(self._remembered.get(stream, Entry()).settings)
        return is_known or self._is_complete or tap_run(state) is not None

    def _skipped_of(self, stream: str) -> t.Mapping[str, int]:
        """Values that did not fit, those of this run with the first stream."""
        earlier = self._entries[stream].values_skipped
        is_first = stream == next(iter(self._entries))
        return Counter(earlier) + self.values_skipped if is_first else earlier

    def _failed_of(self, stream: str) -> int:
        """Exits of this run that could not be done: of a stream and its lists, and of the first stream those of none."""
        own = {
            name: {name, *(known.name for known in entry.lists.values())}
            for name, entry in dict(self._entries).items()
        }
        owners = {name: stream for stream, names in reversed(own.items()) for name in names}
        first = next(iter(own))
        return sum(
            count for name, count in dict(self.exits_failed).items() if owners.get(name, first) == stream
        )

    def _settle(self, stream: str) -> None:
        """Hold a stream against its entry in the first STATE, if that came already."""
        new = self._entries.get(stream) or Entry(
            settings=self._delivery_settings,
            api_url=self._settings.api_url.rstrip("/"),
            account=self._account,
        )
        if self._first is not None:
            new = self._followed_up(stream, new, self._first)
        self._entries[stream] = new

    def _followed_up(self, stream: str, new: Entry, first: State) -> Entry:
        """A stream's new entry with what holds of the earlier one, which the settings must not contradict."""
        before = read_entry(first, stream) or Entry()
        new = dataclasses.replace(
            new,
            storage_url=before.storage_url,
            exits_open=self._exits_still_open(before),
            mirrored=before.mirrored,
        )
        self._remembered[stream] = Entry(storage_url=before.storage_url)
        if not is_used(first, stream):
            # Nothing was acknowledged, so everything is sent by the settings of now.
            return new
        if not before.settings:
            if self._is_incoming:
                logger.warning(
                    "The state of stream %s does not say how members were sent, so changed settings and lists cannot be seen: if "
                    "any changed, run once with --full-refresh.",
                    stream,
                )
            return new
        self._refuse_other_account(before)
        accepted = before.accepted
        if self._settings.mode == "changes":
            accepted = accepted_changes(before, self._delivery_settings, self._settings.accept_changes)
        for place, known in new.lists.items():
            if before.lists.get(place, known).id != known.id:
                raise UserError(
                    f"The list {before.lists[place].name} (id {before.lists[place].id}), to which members were sent, is not the list of "
                    f"this name any more (id {known.id}): run once with --full-refresh, which sends everybody."
                )
        self._remembered[stream] = before
        lists = {**before.lists, **new.lists}
        return dataclasses.replace(
            new,
            accepted=accepted,
            lists=lists,
            surplus=before.surplus,
            values_skipped=self._still_skipped(before),
        )

    def _refuse_other_account(self, before: Entry) -> None:
        api_url = self._settings.api_url.rstrip("/")
        if before.api_url not in ("", api_url):
            raise UserError(
                f"The setting api_url changed since members were sent (was {before.api_url!r}, is {api_url!r}), and another account holds "
                "none of them, so nothing was sent: set it back, or run once with --full-refresh, which sends everybody."
            )
        if (
            before.account.startswith(_BY_ID)
            and self._account.startswith(_BY_ID)
            and before.account != self._account
        ):
            raise UserError(
                "The setting account_id changed since members were sent, and another account holds none of them, so nothing was sent: set "
                "it back, or run once with --full-refresh, which sends everybody."
            )
        if before.account not in ("", self._account):
            logger.warning(
                "The API key is another one than when members were sent: if it is of another account, run once with --full-refresh."
            )

    def _still_skipped(self, before: Entry) -> t.Mapping[str, int]:
        columns = self._settings.field_mapping.values()
        skipped = {column: count for column, count in before.values_skipped.items() if column in columns}
        if skipped:
            logger.warning(
                "Contacts lack values that did not fit since the last run without a state (%s): once these are corrected, run with "
                "--full-refresh, which sends them.",
                ", ".join(f"{count:,} of {column}" for column, count in sorted(skipped.items())),
            )
        return skipped

    def _exits_still_open(self, before: Entry) -> int:
        if before.exits_open and self._settings.accept_rejected_exits:
            logger.warning(
                "%s of earlier runs could not be done, which is accepted now: unset accept_rejected_exits again.",
                counted(before.exits_open, "exit"),
            )
            return 0
        return before.exits_open


def _account_mark(settings: Settings) -> str:
    """What tells the account from others: its id, or else its key, of which an account can have several."""
    if settings.account_id is not None:
        return f"{_BY_ID}{short_hash(str(settings.account_id))}"
    return f"key:{short_hash(settings.api_key)}"
