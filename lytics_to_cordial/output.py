"""The standard output: whoever writes to it, what is wrong with it is one sentence."""

from __future__ import annotations

import io
import sys
import typing as t

from typing_extensions import Buffer, override

from lytics_to_cordial.errors import TransientError, UserError, is_full


def explain_output() -> None:
    """From now on a write to the standard output that fails raises a `UserError`."""
    # Python has no standard output at all if it was closed from the start.
    known = t.cast("t.TextIO | None", sys.stdout)
    raw = _ClosedOutput() if known is None else _Output(known.fileno(), "w", closefd=False)
    sys.stdout = io.TextIOWrapper(
        io.BufferedWriter(raw),
        encoding=None if known is None else known.encoding,
        errors=None if known is None else known.errors,
        line_buffering=raw.isatty(),
    )


class _Output(io.FileIO):
    @override
    def write(self, content: Buffer, /) -> int:
        try:
            return super().write(content)
        except BrokenPipeError as error:
            raise _closed() from error
        except OSError as error:
            fault = f"The standard output cannot be written ({error.strerror})"
            if is_full(error):
                raise UserError(f"{fault}: make room where it goes, then run again.") from error
            raise TransientError(f"{fault}: run again.") from error


class _ClosedOutput(io.RawIOBase):
    @override
    def writable(self) -> bool:
        return True

    @override
    def write(self, content: Buffer, /) -> int:
        raise _closed()


def _closed() -> TransientError:
    return TransientError(
        "The standard output was closed: look at the log of what should read it, then run again."
    )
