"""Each plugin works without the other: with plugins of other makers, with stream maps, and inherited twice.

The other plugins come from the package index. uv keeps each in an environment of its own, outside this project.
"""

from __future__ import annotations

import contextlib
import csv
import hashlib
import io
import json
import os
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import ClassVar

import duckdb
import pytest
import yaml
from singer_sdk.sql import SQLConnector, SQLSink, SQLTarget

from sandbox import AudienceSpec
from sandbox.people import FIELD_MAPPING
from tests.end_to_end.pipeline import BIN, Pipeline

ROOT = Path(__file__).parents[2]
INSTALL_SECONDS = 300
TARGET_DUCKDB = ("target-duckdb==0.8.0", "duckdb==1.1.3")
"""With a newer DuckDB it takes the first row of each load for a header, and loses it."""
TARGET_JSONL = ("target-jsonl==0.1.4",)
TAP_SPREADSHEETS = ("tap-spreadsheets==1.1.2",)


def peer(requirements, config, folder, given=b""):
    """Run a plugin of another maker; what it writes on standard output comes back."""
    requirement, *more = requirements
    name, _, _ = requirement.partition("==")
    path = folder / f"{name}.json"
    path.write_text(json.dumps(config), encoding="utf-8")
    command = [BIN / "uv", "tool", "run", "--quiet", "--python", sys.executable, "--from", requirement]
    command += [option for one in more for option in ("--with", one)]
    ended = subprocess.run(
        [*command, name, "--config", path],
        input=given,
        capture_output=True,
        check=False,
        timeout=INSTALL_SECONDS,
    )
    assert ended.returncode == 0, ended.stderr.decode()
    return ended.stdout


def plugin(name, config, folder, given=b"", state=None):
    """Run one of our plugins; what it writes on standard output comes back."""
    path = folder / f"{name}.json"
    path.write_text(json.dumps(config), encoding="utf-8")
    arguments = ["--config", path]
    if state is not None:
        (folder / "state.json").write_bytes(state)
        arguments += ["--state", folder / "state.json"]
    ended = subprocess.run(
        [BIN / name, *arguments], input=given, capture_output=True, check=False, timeout=300
    )
    assert ended.returncode == 0, ended.stderr.decode()
    return ended.stdout


@pytest.fixture
def into_table(box, tmp_path):
    """Brings the audience into a table of DuckDB, and gives the table: state and first name by address."""
    file = tmp_path / "warehouse.duckdb"
    acknowledged = []

    def run():
        messages = plugin(
            "tap-lytics-audience",
            box.tap_config(),
            tmp_path,
            state=acknowledged[-1] if acknowledged else None,
        )
        config = {"filepath": str(file), "default_target_schema": "lytics"}
        states = peer(TARGET_DUCKDB, config, tmp_path, messages)
        acknowledged.append(states.splitlines()[-1])
        with duckdb.connect(str(file), read_only=True) as table:
            rows = table.execute("SELECT email, audience_state, first_name FROM lytics.audience_members")
            return {email: (state, name) for email, state, name in rows.fetchall()}

    return run


def test_the_tap_keeps_a_table_of_members_with_their_state(box, into_table):
    before = box.world.members("vip_customers")
    table = into_table()
    assert {email for email, (state, _) in table.items() if state == "enter"} == set(before)
    for email, (_, name) in table.items():
        assert name in {profile.get("first_name") for profile in before[email]}

    box.world.advance("vip_customers", enter=3, leave=2)
    now = set(box.world.keys("vip_customers"))
    table = into_table()
    assert {email for email, (state, _) in table.items() if state == "enter"} == now
    assert {email for email, (state, _) in table.items() if state == "exit"} == set(before) - now


def test_the_tap_keeps_files_of_all_changes(box, tmp_path):
    messages = plugin("tap-lytics-audience", box.tap_config(), tmp_path)
    config = {"destination_path": str(tmp_path / "out"), "do_timestamp_file": False}
    (tmp_path / "out").mkdir()
    state = peer(TARGET_JSONL, config, tmp_path, messages).splitlines()[-1]
    box.world.advance("vip_customers", leave=2)
    peer(
        TARGET_JSONL,
        config,
        tmp_path,
        plugin("tap-lytics-audience", box.tap_config(), tmp_path, state=state),
    )
    lines = (tmp_path / "out" / "audience_members.jsonl").read_text(encoding="utf-8").splitlines()
    latest = {record["email"]: record["audience_state"] for record in map(json.loads, lines)}
    members = {email for email, state in latest.items() if state == "enter"}
    assert members == set(box.world.keys("vip_customers"))
    assert list(latest.values()).count("exit") == 2


class Connector(SQLConnector):
    """The SDK's own, for SQLite."""

    def get_sqlalchemy_url(self, config):
        return f"sqlite:///{config['path']}"


class TableSink(SQLSink):
    connector_class = Connector


class TableTarget(SQLTarget):
    """The SDK's own target for databases, with nothing changed."""

    name = "target-table"
    config_jsonschema: ClassVar = {"properties": {"path": {"type": "string"}}}
    default_sink_class = TableSink


def test_a_snapshot_makes_a_table_of_members_in_which_all_others_are_marked_as_deleted(box, tmp_path):
    file = tmp_path / "members.sqlite"
    # SQLite has no lists, and this target adds rows in place of replacing them.
    columns = {name: name for name in ("audience_id", "email", "audience_state")}
    maps = {
        "audience_members": {**columns, "__else__": "__NULL__", "__key_properties__": []},
        "audiences": "__NULL__",
    }
    config = box.tap_config(snapshot=True, ledger_url=None, stream_maps=maps)
    before = set(box.world.keys("vip_customers"))
    for _ in range(2):
        messages = plugin("tap-lytics-audience", config, tmp_path)
        target = TableTarget(config={"path": str(file), "add_record_metadata": True})
        with contextlib.redirect_stdout(io.StringIO()):
            target.listen(io.StringIO(messages.decode()))
        now = set(box.world.keys("vip_customers"))
        with contextlib.closing(sqlite3.connect(file)) as table:
            rows = table.execute("SELECT email, _sdc_deleted_at IS NOT NULL FROM audience_members").fetchall()
        assert {email for email, is_deleted in rows if not is_deleted} == now
        assert {email for email, _ in rows} - now == before - now
        box.world.advance("vip_customers", enter=3, leave=2)
        # A version is a time in seconds.
        time.sleep(1.1)


def test_a_snapshot_makes_a_file_of_all_members(box, tmp_path):
    config = {"destination_path": str(tmp_path / "out"), "do_timestamp_file": False}
    (tmp_path / "out").mkdir()
    messages = plugin("tap-lytics-audience", box.tap_config(snapshot=True, ledger_url=None), tmp_path)
    peer(TARGET_JSONL, config, tmp_path, messages)
    lines = (tmp_path / "out" / "audience_members.jsonl").read_text(encoding="utf-8").splitlines()
    records = list(map(json.loads, lines))
    assert sorted(record["email"] for record in records) == sorted(box.world.keys("vip_customers"))
    assert {record["audience_state"] for record in records} == {"enter"}


def test_the_target_fills_a_list_from_a_csv_file(box, tmp_path):
    rows = [
        ("E-Mail", "Name", "Visits"),
        ("Ada@Example.com", 'Ada "the first", Lovelace', "7"),
        ("zoë@example.com", "Zoë\nand a second line", ""),
        ("no address", "Nobody", "1"),
    ]
    path = tmp_path / "people.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(rows)
    source = {"path": str(path), "format": "csv", "table_name": "people", "primary_keys": ["E-Mail"]}
    messages = peer(TAP_SPREADSHEETS, {"files": [source]}, tmp_path)
    config = box.target_config(
        identifier_field="e_mail",
        list_name="Newsletter",
        field_mapping={"name": "first_name", "visits": "visit_count"},
    )
    states = plugin("target-cordial", config, tmp_path, messages).splitlines()
    assert "people" in json.loads(states[-1])["bookmarks"]
    assert box.list_members("Newsletter") == {"ada@example.com", "zoë@example.com"}
    assert box.contacts()["ada@example.com"].attributes == {
        "first_name": 'Ada "the first", Lovelace',
        "visit_count": "7",
    }
    assert box.contacts()["zoë@example.com"].attributes == {"first_name": "Zoë\nand a second line"}
    [rejects] = (box.folder / "rejects").iterdir()
    assert json.loads(rejects.read_text(encoding="utf-8"))["record"]["e_mail"] == "no address"


def test_stream_maps_of_the_tap_rename_filter_and_hash(make_box, tmp_path):
    box = make_box([AudienceSpec("VIP Customers", 20), AudienceSpec("Lapsed", 20)])
    maps = {
        "audience_members": {
            "__alias__": "people",
            "__filter__": "audience_slug == 'lapsed'",
            "given_name": "record.get('first_name')",
            "first_name": "__NULL__",
            "token": "sha256(email)",
        }
    }
    output = plugin("tap-lytics-audience", box.tap_config(stream_maps=maps), tmp_path)
    messages = [json.loads(line) for line in output.splitlines()]
    records = [
        message["record"]
        for message in messages
        if message["type"] == "RECORD" and message["stream"] == "people"
    ]
    members = box.world.members("lapsed")
    assert {record["email"] for record in records} == set(members)
    assert not any(message.get("stream") == "audience_members" for message in messages)
    for record in records:
        assert record["token"] == hashlib.sha256(record["email"].encode()).hexdigest()
        assert record["given_name"] in {profile.get("first_name") for profile in members[record["email"]]}
        assert "first_name" not in record


def test_stream_maps_of_the_target_rename_filter_and_hash_what_the_tap_sends(make_box, tmp_path):
    box = make_box([AudienceSpec("VIP Customers", 20), AudienceSpec("Lapsed", 20)])
    maps = {
        "audience_members": {
            "__filter__": "audience_slug == 'lapsed'",
            "given_name": "record.get('first_name')",
            "first_name": "__NULL__",
            "token": "md5(email)",
        }
    }
    pipeline = Pipeline(
        box,
        tmp_path,
        target={
            "stream_maps": maps,
            "field_mapping": {"given_name": "first_name", "token": "last_name"},
        },
    )
    assert pipeline.run().is_clean
    box.world.advance("lapsed", enter=2, leave=2)
    run = pipeline.run()
    assert run.is_clean, run.log
    members = box.world.members("lapsed")
    assert box.list_members("Lytics_Lapsed") == set(members)
    assert "Lytics_VIP_Customers" not in {name for one in box.contacts().values() for name in one.lists}
    for email, profiles in members.items():
        held = box.contacts()[email].attributes
        assert held["last_name"] == hashlib.md5(email.encode()).hexdigest()
        assert held.get("first_name") in {profile.get("first_name") for profile in profiles}


def inherited(name, **config):
    """A plugin of a Meltano project that is another one but for some settings."""
    return {"name": name, "inherit_from": name.partition("--")[0], "config": config}


def test_two_audiences_with_different_mappings_are_two_pairs_of_inherited_plugins(make_box, tmp_path):
    box = make_box([AudienceSpec("VIP Customers", 30), AudienceSpec("Lapsed", 20)])
    content = yaml.safe_load((ROOT / "meltano.yml").read_text(encoding="utf-8"))
    extractors, loaders = content["plugins"]["extractors"], content["plugins"]["loaders"]
    # What is installed already, in place of environments of their own.
    del extractors[0]["pip_url"], loaders[0]["pip_url"]
    extractors += [
        inherited("tap-lytics-audience--vip", audiences=["vip_customers"])
        | {"select": [f"audience_members.{field}" for field in FIELD_MAPPING]},
        inherited("tap-lytics-audience--lapsed", audiences=["lapsed"])
        | {"select": ["audience_members.city"]},
    ]
    loaders += [
        inherited("target-cordial--vip", storage_url=f"{box.storage_url}/vip", field_mapping=FIELD_MAPPING),
        inherited(
            "target-cordial--lapsed",
            storage_url=f"{box.storage_url}/lapsed",
            field_mapping={"city": "home.city"},
            list_name="Win_Back",
        ),
    ]
    # With `keep`, what the profile that spoke for an address before had and the next one lacks would stay.
    tap, target = box.tap_config(), box.target_config(null_values="clear")
    for own in ("ledger_url", "audiences"):
        del tap[own]
    for own in ("rejects_url", "field_mapping", "storage_url"):
        del target[own]
    content["environments"][0]["config"] = {
        "plugins": {
            "extractors": [{"name": "tap-lytics-audience", "config": tap}],
            "loaders": [{"name": "target-cordial", "config": target}],
        }
    }
    (tmp_path / "meltano.yml").write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")

    def meltano_run():
        command = [BIN / "meltano", "run", "tap-lytics-audience--vip", "target-cordial--vip"]
        command += ["tap-lytics-audience--lapsed", "target-cordial--lapsed"]
        ended = subprocess.run(
            command,
            cwd=tmp_path,
            env={**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}"},
            capture_output=True,
            text=True,
            check=False,
            timeout=600,
        )
        assert ended.returncode == 0, ended.stderr

    meltano_run()
    assert box.verify("vip_customers", "Lytics_VIP_Customers").ok
    assert box.list_members("Win_Back") == set(box.world.keys("lapsed"))
    only_lapsed = box.list_members("Win_Back") - box.list_members("Lytics_VIP_Customers")
    assert all(set(box.contacts()[email].attributes) <= {"home"} for email in only_lapsed)

    # No new VIP customer: one could share the address of somebody new in the other audience, and so their contact.
    box.world.advance("vip_customers", change=2, leave=2)
    box.world.advance("lapsed", enter=2, leave=1)
    meltano_run()
    assert box.verify("vip_customers", "Lytics_VIP_Customers").ok
    assert box.list_members("Win_Back") == set(box.world.keys("lapsed"))
