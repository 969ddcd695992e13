"""Settings that decide what a contact gets: what changed since members were sent, and whether a run may go on."""

from __future__ import annotations

import json
import logging
import typing as t
from dataclasses import dataclass

from lytics_to_cordial.errors import UserError
from target_cordial.bookmark.entry import Entry, canonical, short_hash
from target_cordial.settings import Settings

_SETTINGS = (
    "identifier_field",
    "identifier_column",
    "state_field",
    "field_mapping",
    "list_name",
    "list_action",
    "import_strategy",
    "null_values",
    "require_all_fields",
    "invalid_values",
)
_MAPS = (
    "stream_maps",
    "stream_map_config",
    "flattening_enabled",
    "flattening_max_depth",
    "flattening_max_key_length",
)
_NEVER_ACCEPTED = frozenset({"list_name", "list_action", "import_strategy"})
"""To go on by changes alone would leave people on a wrong list, or off the right one."""
_CODE_CHARACTERS = 8
_HARMLESS: dict[str, set[tuple[t.Any, t.Any]]] = {
    "list_action": {("sync", "add")},
    "import_strategy": {("upsert", "updateOnly")},
    "null_values": {("clear", "keep")},
    "require_all_fields": {(False, True)},
    "invalid_values": {("skip", "reject")},
}
"""What a setting was and is, where nobody has to be sent again for it."""

logger = logging.getLogger("target-cordial")


@dataclass(frozen=True)
class Change:
    """A setting that changed since members were sent."""

    setting: str
    before: t.Any
    now: t.Any

    @property
    def is_harmless(self) -> bool:
        """Whether contacts that were sent before are right by the new value too."""
        if self.setting == "field_mapping":
            return bool(self.now.items() <= self.before.items())
        return any((self.before, self.now) == pair for pair in _HARMLESS.get(self.setting, ()))

    def __str__(self) -> str:
        """Name the setting and what changed."""
        if self.setting == "stream_maps":
            names = sorted(
                name for name in {*self.before, *self.now} if self.before.get(name) != self.now.get(name)
            )
            return " and ".join(names)
        if self.setting != "field_mapping":
            return f"{self.setting} (was {self.before!r}, is {self.now!r})"
        parts = {
            "new": [name for name in self.now if name not in self.before],
            "gone": [name for name in self.before if name not in self.now],
            "other attribute": [
                name for name in self.now if name in self.before and self.now[name] != self.before[name]
            ],
        }
        texts = [f"{part}: {', '.join(sorted(names))}" for part, names in parts.items() if names]
        return f"field_mapping ({'; '.join(texts)})"


def delivery_settings(settings: Settings, config: t.Mapping[str, t.Any]) -> dict[str, str]:
    """The settings that decide what a contact gets, each as canonical JSON text; those of the SDK that change records as one."""
    maps = {name: config[name] for name in _MAPS if config.get(name)}
    if not config.get("flattening_enabled"):
        maps = {name: value for name, value in maps.items() if not name.startswith("flattening_")}
    values = {name: getattr(settings, name) for name in _SETTINGS}
    return {name: canonical(value) for name, value in {**values, "stream_maps": maps}.items()}


def accepted_changes(entry: Entry, now: t.Mapping[str, str], accepted_code: str | None) -> tuple[str, ...]:
    """Hold the settings against those by which members were sent, and return the names of all whose change was accepted.

    Raises:
        UserError: If one changed in a way that needs members sent again, and nobody accepted that.
    """
    changes = [
        Change(name, json.loads(text), json.loads(now[name]))
        for name, text in entry.settings.items()
        if name in now and text != now[name] and not _is_same_list(name, now[name], entry)
    ]
    for change in changes:
        if change.is_harmless:
            logger.warning(
                "The setting %s changed since members were sent. Nobody is sent again for that: contacts keep what they have.",
                change,
            )
    changes = [change for change in changes if not change.is_harmless]
    refused = [change for change in changes if change.setting in _NEVER_ACCEPTED]
    code = short_hash(canonical([[change.setting, change.before, change.now] for change in changes]))
    code = code[:_CODE_CHARACTERS]
    if changes and (refused or accepted_code != code):
        raise UserError(_sentence(changes, refused, entry, code))
    accepted = sorted({*entry.accepted, *(change.setting for change in changes)})
    if accepted:
        logger.warning(
            "Changes of %s were accepted: contacts that did not change since keep what the earlier settings gave them, until "
            "--full-refresh.",
            ", ".join(accepted),
        )
    return tuple(accepted)


def _is_same_list(name: str, now: str, entry: Entry) -> bool:
    """Whether list_name names the one list that was filled, by its id or by the name that Cordial has for it now."""
    lists = set(entry.lists.values())
    return (
        name == "list_name"
        and len(lists) == 1
        and json.loads(now) in {text for known in lists for text in (str(known.id), known.name)}
    )


def _sentence(changes: list[Change], refused: list[Change], entry: Entry, code: str) -> str:
    changed = " and ".join(map(str, changes))
    lists = ", ".join(f"{known.name} (id {known.id})" for known in sorted(set(entry.lists.values()), key=str))
    old = (
        f" The list {lists} then stays as it is."
        if any(c.setting == "list_name" for c in changes) and lists
        else ""
    )
    plural = "settings" if len(changes) > 1 else "setting"
    cause = (
        f"The {plural} {changed} changed since members were sent, and members who do not change now would never be "
        "sent by the new one"
    )
    if refused:
        return f"{cause}, so nothing was sent: set it back, or run once with --full-refresh, which sends everybody.{old}"
    return (
        f"{cause}, so nothing was sent: run once with --full-refresh, which sends everybody, or set accept_changes to {code}, "
        f"if changes alone are to go by it from now on.{old}"
    )
