"""The tests on each Python that the project supports and this machine has: `nox`, or `nox -s tests-3.13 -- -k outbox`."""

from __future__ import annotations

import nox

nox.options.default_venv_backend = "uv"
nox.options.download_python = "never"
nox.options.error_on_missing_interpreters = False


@nox.session(python=["3.10", "3.11", "3.12", "3.13"])
def tests(session: nox.Session) -> None:
    """Run the tests; arguments after `--` go to pytest."""
    session.install("--editable", ".[dev]")
    session.run("pytest", *(session.posargs or ["-n", "auto"]))
