"""The ledger of one pipeline: `ledger.json` names it, its generation, its last run, and what was acknowledged of it."""

from __future__ import annotations

import secrets

import msgspec

from lytics_to_cordial.errors import UserError
from lytics_to_cordial.files import Folder
from lytics_to_cordial.shared_file import Found, SharedFile
from tap_lytics_audience.bookmark import LedgerRun
from tap_lytics_audience.members.manifest import number_of

NAME = "ledger.json"
NOT_KNOWN = "Who left since the last run is not known then, and stays on the list until a mirror takes them off; an audit shows who they are."


class PipelineFile(msgspec.Struct, frozen=True):
    """What `ledger.json` holds.

    Attributes:
        id: The ledger's id.
        generation: The generation that ran last. A run without a state begins a new one.
        run: The number of the last run. It rises with each run.
        overtaken: Generations that an older one has overtaken by going on after they began.
        acknowledged: Of each audience by id the newest manifest that a state named. A run without a state has no other word for it.
    """

    id: str
    generation: str
    run: int = 0
    overtaken: list[str] = []
    acknowledged: dict[str, str] = {}


def begin_run(
    folder: Folder, ledger: str | None, generation: str | None, positions: dict[str, str]
) -> LedgerRun:
    """Begin a run in the folder of a pipeline.

    Args:
        folder: The folder.
        ledger: The ledger's id in the state; None without a state.
        generation: The generation in the state.
        positions: The manifests that the state names, by the id of the audience.

    Raises:
        UserError: If the state and the folder do not belong together.
    """
    file = SharedFile(folder, NAME)
    found = file.read()
    stored = _decoded(found, folder)
    if ledger is None:
        stored = stored or _begun_anew()
        stored = msgspec.structs.replace(stored, generation=secrets.token_hex(4))
    elif generation is None:
        raise UserError(
            "The state was made by version 0.1, whose ledger this version does not read, so nothing was sent: run 0.1 once more, then run "
            "this version once with --full-refresh. Who leaves between the two runs is not known, and stays on the list."
        )
    else:
        stored = _belonging(stored, ledger, folder)
    if generation in stored.overtaken:
        raise UserError(
            f"Two pipelines take turns in {folder}, and each sends everybody again after the other: give each a ledger_url of its own, "
            "then run each once with --full-refresh."
        )
    if generation not in {None, stored.generation}:
        # An older state goes on. Everything that the other generation wrote is in doubt.
        overtaken = [*stored.overtaken, stored.generation]
        stored = msgspec.structs.replace(stored, generation=generation, overtaken=overtaken)
    acknowledged = dict(stored.acknowledged)
    for audience_id, name in positions.items():
        acknowledged[audience_id] = max(acknowledged.get(audience_id, ""), name, key=number_of)
    return _count_run(file, found, msgspec.structs.replace(stored, acknowledged=acknowledged))


def begin_snapshot(folder: Folder, ledger: str | None) -> LedgerRun:
    """Begin a run that sends all members and acknowledges nothing: generation and positions stay as they are.

    Args:
        folder: The folder.
        ledger: The ledger's id in the state; None if it names none.

    Raises:
        UserError: If the state and the folder do not belong together.
    """
    file = SharedFile(folder, NAME)
    found = file.read()
    stored = _decoded(found, folder)
    return _count_run(
        file, found, (stored or _begun_anew()) if ledger is None else _belonging(stored, ledger, folder)
    )


def acknowledged_manifests(folder: Folder) -> dict[str, str]:
    """Of each audience by id the newest manifest that any run's state named."""
    stored = _decoded(SharedFile(folder, NAME).read(), folder)
    return {} if stored is None else stored.acknowledged


def _decoded(found: Found | None, folder: Folder) -> PipelineFile | None:
    try:
        return None if found is None else msgspec.json.decode(found.content, type=PipelineFile)
    except (msgspec.DecodeError, UnicodeError) as error:
        raise UserError(
            f"The ledger file {folder.place(NAME)} is damaged ({type(error).__name__}): restore it, or move the folder away and run once "
            f"with --full-refresh, which sends everybody again. {NOT_KNOWN}"
        ) from error


def _begun_anew() -> PipelineFile:
    return PipelineFile(id=secrets.token_hex(8), generation="")


def _belonging(stored: PipelineFile | None, ledger: str, folder: Folder) -> PipelineFile:
    """What the folder holds, if the state is of this ledger."""
    if stored is None:
        raise UserError(
            f"The ledger of this state is gone: {folder} has no {NAME}. Restore the folder or correct ledger_url; or run once with "
            f"--full-refresh, which sends everybody again. {NOT_KNOWN}"
        )
    if stored.id != ledger:
        raise UserError(
            f"The state belongs to ledger {ledger}, and {folder} holds ledger {stored.id}: if this is the folder of another pipeline, correct "
            "ledger_url; if the ledger was lost and begun anew, run once with --full-refresh, which sends everybody again. "
            f"{NOT_KNOWN}"
        )
    return stored


def _count_run(file: SharedFile, found: Found | None, stored: PipelineFile) -> LedgerRun:
    stored = msgspec.structs.replace(stored, run=stored.run + 1)
    file.rewrite(found, msgspec.json.format(msgspec.json.encode(stored), indent=1))
    return LedgerRun(stored.id, stored.generation, stored.run)
