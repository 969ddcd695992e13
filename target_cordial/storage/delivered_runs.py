"""`runs.json` in the storage folder: the highest run of each of the tap's ledgers that was delivered from there, and when lists were mirrored.

What a worker read long ago, or a file of messages that comes late, never arrives after newer truth. A mirror writes no state, so by its
mark here the next run of changes learns that nothing of before is open.
"""

from __future__ import annotations

import time
from collections.abc import Collection

import msgspec

from lytics_to_cordial.errors import UserError
from lytics_to_cordial.files import Folder
from lytics_to_cordial.shared_file import Found, SharedFile

NAME = "runs.json"
_LIST = "list "


def begin_delivery(folder: Folder, ledger: str, number: int) -> None:
    """Keep the number of a run before anything of it is delivered; called by who has the folder's lease.

    Raises:
        UserError: If a later run was delivered.
    """
    file = SharedFile(folder, NAME)
    found = file.read()
    highest = _decoded(found, folder)
    if number < highest.get(ledger, 0):
        raise UserError(
            f"The input is of run {number} of ledger {ledger}, and run {highest[ledger]} was delivered already, so nothing of it was sent: "
            f"run the tap anew; if its ledger was restored from an older copy, delete {folder.place(NAME)} first."
        )
    if number > highest.get(ledger, 0):
        file.rewrite(found, msgspec.json.encode({**highest, ledger: number}))


def note_mirrors(folder: Folder, list_ids: Collection[int]) -> None:
    """Keep that a mirror made lists equal to their members; called by who has the folder's lease."""
    file = SharedFile(folder, NAME)
    found = file.read()
    known = _decoded(found, folder)
    # Later than any before, whatever the clock says.
    number = max([int(time.time()), *(known.get(f"{_LIST}{list_id}", 0) + 1 for list_id in list_ids)])
    file.rewrite(
        found, msgspec.json.encode({**known, **{f"{_LIST}{list_id}": number for list_id in list_ids}})
    )


def mirrors(folder: Folder) -> dict[int, int]:
    """A number for the last mirror of each list by its id; it rises with each."""
    known = _decoded(SharedFile(folder, NAME).read(), folder)
    return {int(key.removeprefix(_LIST)): number for key, number in known.items() if key.startswith(_LIST)}


def _decoded(found: Found | None, folder: Folder) -> dict[str, int]:
    try:
        return {} if found is None else msgspec.json.decode(found.content, type=dict[str, int])
    except (msgspec.DecodeError, UnicodeError) as error:
        raise UserError(
            f"The file {folder.place(NAME)} is damaged ({type(error).__name__}), so that nobody knows which runs were delivered: see that no "
            "other run is under way, then delete it."
        ) from error
