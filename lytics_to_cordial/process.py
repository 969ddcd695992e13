"""A plugin as a process: how its command line ends."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import typing as t
from collections.abc import Callable

from lytics_to_cordial.drain import MOST_SECONDS, QUIET_SECONDS, drain_input
from lytics_to_cordial.errors import UserError, as_user_error
from lytics_to_cordial.output import explain_output
from lytics_to_cordial.signals import Terminated


def run_command(
    cli: Callable[[], object], logger: logging.Logger, *, reads_input: bool = False
) -> t.NoReturn:
    """Run a plugin's command line, and end the process.

    A failure is one sentence, logged as critical, and an exit code: 1 if another try may help, 2 if a person has to act first, 1 for a
    fault of the program. A signal n is exit code 128 + n.

    With `reads_input` the rest of the input is read after a failure, for a while: its writer would fail too, and log long about that
    behind the sentence that tells why.
    """
    code = 0
    explain_output()
    try:
        try:
            cli()
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 0
        # What is in Python's own buffer may not go out either.
        sys.stdout.flush()
    except Terminated as signal:
        code = 128 + signal.number
    except Exception as error:  # noqa: BLE001 - its message may hold personal data
        failure = as_user_error(error)
        code = failure.exit_code
        if reads_input and not drain_input(QUIET_SECONDS):
            logger.critical("%s", failure)
            drain_input(MOST_SECONDS)
        logger.critical("%s", failure)
    with contextlib.suppress(UserError, ValueError):
        sys.stdout.flush()
    # Python has no standard error at all if it was closed from the start.
    with contextlib.suppress(OSError, ValueError, AttributeError):
        sys.stderr.flush()
    # Threads may wait on the network for minutes; nothing that they still do is lost or acknowledged.
    os._exit(code)
