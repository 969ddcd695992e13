"""The part of the check that asks Cordial: whether it can fetch an import file from where the target writes them."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime as dt
import secrets
import typing as t
from array import array

from lytics_to_cordial.errors import UserError
from target_cordial.delivery.importfile import write_csv
from target_cordial.delivery.imports import Importer, ImportFailedError
from target_cordial.delivery.order import ImportFile

if t.TYPE_CHECKING:
    from pathlib import Path

    from lytics_to_cordial.checklist import Checklist
    from target_cordial.cordial.api import Cordial
    from target_cordial.settings import Settings
    from target_cordial.storage.storage import Storage

TIMEOUT_SECONDS = 300


def check_fetch(
    settings: Settings, cordial: Cordial, storage: Storage, folder: Path, checklist: Checklist
) -> None:
    """Let Cordial import a file that holds a header and no contact.

    Args:
        settings: The settings.
        cordial: The account.
        storage: Where Cordial fetches files from.
        folder: For the file before its upload.
        checklist: Takes a line.
    """
    importer = Importer(
        cordial=cordial,
        storage=storage,
        settings=dataclasses.replace(
            settings,
            keep_files=False,
            import_timeout_seconds=min(settings.import_timeout_seconds, TIMEOUT_SECONDS),
        ),
        null_marker=f"null-{secrets.token_hex(8)}",
        run_name=f"{storage.folder_tag}-check-{secrets.token_hex(4)}",
        run_started_at=dt.datetime.now(dt.timezone.utc) - dt.timedelta(hours=1),
    )
    path = folder / "check.csv"
    # As exits: only known contacts are touched, and no list is joined.
    file = ImportFile(1, None, is_exits=True, rows=0, position=0, contacts=array("q"), path=path)
    with checklist.trying("fetch"):
        write_csv(path, [settings.identifier_column], [])
        try:
            result = importer.deliver(file)
        except ImportFailedError as error:
            msg = f"{error} The file held a header alone: where the job blames that, Cordial could fetch it."
            raise ImportFailedError(msg) from error
        finally:
            with contextlib.suppress(UserError):
                storage.delete(f"{importer.run_name}-{file.number:04d}.csv")
        checklist.ok(
            "fetch",
            f"Cordial fetched and read a file with a header alone ({result.seconds:.1f} s, job {result.job_id})",
        )
