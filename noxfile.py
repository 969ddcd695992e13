"""The tests on each Python that the project supports and this machine has, with several sets of dependencies.

`nox` takes those of the lock file, `nox -s lowest` the oldest that pyproject.toml lets in, `nox -s newest` the newest, and
`nox -s prerelease` also what is not yet released, of singer-sdk beyond its bound. One Python, some tests: `nox -s lowest-3.13 -- tests/target`.
"""

from __future__ import annotations

from pathlib import Path

import nox

nox.needs_version = ">=2025.2"
nox.options.default_venv_backend = "uv"
nox.options.download_python = "never"
nox.options.error_on_missing_interpreters = False
nox.options.sessions = ["tests"]

PYTHONS = nox.project.python_versions(nox.project.load_toml("pyproject.toml"))
EXTRAS = ["gcs", "s3", "sftp"]


@nox.session(python=PYTHONS)
def tests(session: nox.Session) -> None:
    """Run the tests with the dependencies of the lock file; arguments after `--` go to pytest."""
    session.run_install(
        *("uv", "sync", "--quiet", "--locked", "--all-extras"),
        env={"UV_PROJECT_ENVIRONMENT": session.virtualenv.location},
    )
    _pytest(session)


@nox.session(python=PYTHONS)
def lowest(session: nox.Session) -> None:
    """Run the tests with the oldest dependencies that are let in."""
    floors = Path(session.virtualenv.location) / "floors.txt"
    extras = [f"--extra={extra}" for extra in EXTRAS]
    session.run_install(
        *("uv", "pip", "compile", "--quiet", "--no-deps", "--resolution=lowest-direct", *extras),
        *(f"--python={session.python}", f"--output-file={floors}", "pyproject.toml"),
        silent=True,
    )
    _install(session, f"--constraint={floors}")
    _pytest(session)


@nox.session(python=PYTHONS)
def newest(session: nox.Session) -> None:
    """Run the tests with the newest dependencies that are let in."""
    _install(session)
    _pytest(session)


@nox.session(python=PYTHONS)
def prerelease(session: nox.Session) -> None:
    """Run the tests with what is not yet released, to see what will break."""
    coming = Path(session.virtualenv.location) / "coming.txt"
    coming.write_text("singer-sdk>=0.55.0a1\n", encoding="utf-8")
    _install(session, "--prerelease=allow", f"--override={coming}")
    _pytest(session)


def _install(session: nox.Session, *options: str) -> None:
    session.install("--group=dev", f"--editable=.[{','.join(EXTRAS)}]", *options)


def _pytest(session: nox.Session) -> None:
    session.run("pytest", *(session.posargs or ["-n", "auto"]))
