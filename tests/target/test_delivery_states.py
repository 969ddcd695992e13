"""A state comes out as it came in, whatever standard output is; where it cannot be written, the sentence says why."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from tests.target.running import AUDIENCE_SCHEMA, COMMAND, enter, line, quick_config, run, state

ADA = "ada@example.com"


def outcome(box, tmp_path, messages, env=None, **options):
    """Runs a process of its own, whose Python reads the environment when it starts."""
    config = tmp_path / "config.json"
    config.write_text(json.dumps(quick_config(box)), encoding="utf-8")
    return subprocess.run(
        [COMMAND, "--config", str(config)],
        input=b"".join(map(line, messages)),
        stderr=subprocess.PIPE,
        env={"PATH": "", "TMPDIR": str(tmp_path), **(env or {})},
        cwd=tmp_path,
        timeout=120,
        check=False,
        **options,
    )


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "latin-1", "utf-16"])
def test_a_state_is_ascii_whatever_the_encoding_of_the_locale(box, tmp_path, encoding):
    value = {"Käufer Zürich": "李 😀", "at": 1}
    messages = [AUDIENCE_SCHEMA, enter(ADA), state(value)]
    result = outcome(box, tmp_path, messages, env={"PYTHONIOENCODING": encoding}, stdout=subprocess.PIPE)
    assert result.returncode == 0, result.stderr
    assert result.stdout.isascii()
    assert result.stdout.endswith(b"}\n")
    assert json.loads(result.stdout) == value


@pytest.mark.parametrize(
    "text",
    [
        '{"at": 1234567890123456789012345678901234567890}',
        '{"at": 0.1234567890123456789012345}',
        '{"at": 1.10}',
        '{"at": "\\ud800"}',
        '{"at": NaN}',
    ],
)
def test_a_state_is_exact(box, text):
    result = run(quick_config(box), [AUDIENCE_SCHEMA, b'{"type": "STATE", "value": %s}\n' % text.encode()])
    assert result.code == 0, result.log
    assert result.output == f"{text}\n"


def test_a_full_disk_is_not_taken_for_a_closed_output(box, tmp_path):
    with Path("/dev/full").open("wb") as full:
        result = outcome(box, tmp_path, [AUDIENCE_SCHEMA, enter(ADA), state({"at": 1})], stdout=full)
    assert result.returncode == 2
    log = result.stderr.decode()
    assert "The standard output cannot be written (No space left on device)" in log
    assert "make room where it goes" in log
    assert "was closed" not in log


def test_no_standard_output_at_all_is_a_closed_one(box, tmp_path):
    config = tmp_path / "config.json"
    config.write_text(json.dumps(quick_config(box)), encoding="utf-8")
    messages = b"".join(map(line, [AUDIENCE_SCHEMA, enter(ADA), state({"at": 1})]))
    result = subprocess.run(
        ["/bin/sh", "-c", f"{COMMAND} --config {config} >&-"],
        input=messages,
        stderr=subprocess.PIPE,
        timeout=120,
        check=False,
    )
    assert result.returncode == 1
    assert "standard output was closed" in result.stderr.decode()
