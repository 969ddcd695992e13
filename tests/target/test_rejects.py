"""The reject report: every record that cannot be sent, whole, with its reason, before a state that covers it."""

import datetime as dt
import json
import stat
from pathlib import Path

import pytest

from tests.target.running import (
    AUDIENCE_SCHEMA,
    LIST,
    enter,
    exit_,
    record,
    run,
    schema,
    started,
    state,
    wait_until,
)
from tests.target.servers import new_key, public_line, sftp_server


def report(box):
    return [
        json.loads(line)
        for path in sorted(Path(box.folder, "rejects").glob("*"))
        for line in path.read_text(encoding="utf-8").splitlines()
    ]


def test_a_reject_holds_the_record_whole_with_stream_reason_field_and_time(box):
    rejected = enter(
        "nobody", first_name="Zoë \ud83d\ude80", lifetime_value=1.5, interests=["a", {"b": None}]
    )
    before = dt.datetime.now(dt.timezone.utc) - dt.timedelta(milliseconds=1)
    result = run(box.target_config(), [AUDIENCE_SCHEMA, rejected, state({"at": 1})])
    assert result.code == 0, result.log
    (line,) = report(box)
    time = dt.datetime.fromisoformat(line.pop("time").replace("Z", "+00:00"))
    assert before <= time <= dt.datetime.now(dt.timezone.utc)
    assert line == {
        "stream": "audience_members",
        "reason": "the identifier is not an e-mail address: an email address must have an at-sign",
        "field": "email",
        "record": json.loads(json.dumps(rejected["record"])),
    }


def test_numbers_keep_their_digits_and_half_characters_do_not_stop_the_report(box):
    raw = '{"type": "RECORD", "stream": "people", "record": {"email": "nobody", "n": 1.10, "big": 12345678901234567890123, "half": "%s"}}\n'
    messages = [schema({"email": "string"}, stream="people"), (raw % "").encode(), (raw % r"\ud83d").encode()]
    result = run(box.target_config(field_mapping={}, list_name="all"), messages)
    assert result.code == 0, result.log
    (path,) = Path(box.folder, "rejects").iterdir()
    whole, half = path.read_text().splitlines()
    assert '"n":1.10' in whole
    assert '"big":12345678901234567890123' in whole
    assert json.loads(half)["record"]["half"] == "\ud83d"


def test_reject_files_are_for_their_owner_alone_and_their_names_tell_nobody(box):
    messages = [AUDIENCE_SCHEMA, enter("ada.lovelace", first_name="Ada"), state({"at": 1})]
    assert run(box.target_config(), messages).code == 0
    folder = Path(box.folder, "rejects")
    (path,) = folder.iterdir()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert "ada" not in path.name.lower()
    assert "members" not in path.name


def test_a_reject_is_in_the_report_before_a_state_that_covers_it(box):
    with started(box.target_config()) as running:
        running.write([AUDIENCE_SCHEMA, enter("nobody"), state({"at": 1})])
        assert running.next_state() == {"at": 1}
        assert [line["record"]["email"] for line in report(box)] == ["nobody"]
        running.write([enter("no one"), state({"at": 2})])
        assert running.next_state() == {"at": 2}
        assert [line["record"]["email"] for line in report(box)] == ["nobody", "no one"]


def test_rejects_are_reported_without_any_state(box):
    assert run(box.target_config(), [AUDIENCE_SCHEMA, enter("nobody")]).code == 0
    assert [line["record"]["email"] for line in report(box)] == ["nobody"]


@pytest.mark.parametrize("ending", ["job_fails", "not JSON", "too many rejects"])
def test_rejects_are_reported_also_when_the_run_fails(box, ending):
    messages = [AUDIENCE_SCHEMA, enter("nobody"), enter("ada@example.com")]
    if ending == "job_fails":
        box.fault("job_fails")
    elif ending == "not JSON":
        messages.append(b"not JSON\n")
    else:
        messages += [enter(f"nobody {number}") for number in range(100)]
    result = run(box.target_config(), messages)
    # An import that failed may go well at another try.
    assert result.code == (1 if ending == "job_fails" else 2)
    assert report(box)[0]["record"]["email"] == "nobody"


def test_a_report_that_cannot_be_written_stops_the_states_and_is_one_sentence(box, tmp_path):
    (tmp_path / "file").write_text("a file where the folder should be")
    config = box.target_config(rejects_url=str(tmp_path / "file"))
    result = run(config, [AUDIENCE_SCHEMA, enter("ada@example.com"), enter("nobody"), state({"at": 1})])
    assert result.code == 2
    assert result.states == []
    assert f"The reject report at {tmp_path}/file is not a folder: set rejects_url" in result.message
    assert "nobody" not in result.log


def test_a_relative_or_home_or_url_folder_will_do(box, tmp_path):
    messages = [AUDIENCE_SCHEMA, enter("nobody")]
    for url, folder in [
        (f"file://{tmp_path}/with%20space", tmp_path / "with space"),
        ("~/rejects", tmp_path / "rejects"),
    ]:
        result = run(box.target_config(rejects_url=url), messages, env={"HOME": str(tmp_path)})
        assert result.code == 0, result.log
        assert len(list(folder.iterdir())) == 1


def test_the_storages_login_goes_to_no_other_server(box, tmp_path):
    key = new_key()
    with sftp_server(tmp_path / "served", host_key=key, password="another") as other:
        (tmp_path / ".ssh").mkdir()
        port = box.storage_url.split(":")[2].split("/")[0]
        known = {other.port: public_line(key), port: box.storage_host_key}
        lines = [f"[127.0.0.1]:{number} {line}\n" for number, line in known.items()]
        (tmp_path / ".ssh" / "known_hosts").write_text("".join(lines))
        url = f"sftp://writer@127.0.0.1:{other.port}/rejects"
        config = box.target_config(rejects_url=url, storage_host_key=None)
        result = run(
            config, [AUDIENCE_SCHEMA, enter("nobody"), state({"at": 1})], env={"HOME": str(tmp_path)}
        )
    assert result.code == 2
    assert result.states == []
    assert (
        f"The reject report at sftp://writer@127.0.0.1:{other.port}/rejects refuses the login"
        in result.message
    )
    assert other.logins == []
    assert other.written == []


def test_rejects_may_go_to_the_storages_own_server(box):
    url = box.storage_url.replace("/import", "/rejects")
    result = run(box.target_config(rejects_url=url), [AUDIENCE_SCHEMA, enter("nobody"), state({"at": 1})])
    assert result.code == 0, result.log
    (path,) = (box.folder / "sftp" / "rejects").iterdir()
    assert json.loads(path.read_text())["record"]["email"] == "nobody"


def test_an_import_with_rows_that_cordial_rejected_is_reported_with_its_job_and_where_to_look(box):
    box.fault("job_rejects", 2)
    messages = [AUDIENCE_SCHEMA, *[enter(f"p{number}@example.com") for number in range(5)], state({"at": 1})]
    result = run(box.target_config(), messages)
    assert result.code == 0, result.log
    assert result.states == [{"at": 1}]
    (job,) = box.account.jobs()
    name = box.jobs()[0]["metadata"]["importName"]
    addresses = {f"p{number}@example.com" for number in range(5)} - box.contacts().keys()
    assert len(addresses) == 2
    assert [line["record"]["channels.email.address"] for line in report(box)] == sorted(addresses)
    for line in report(box):
        assert (line["reason"], line["job_id"], line["import_name"]) == ("rejected by Cordial", job, name)
        assert (line["list"], line["kind"]) == (LIST, "enter")
    assert box.files() == []
    assert "2 by Cordial" in result.log


def test_an_import_whose_rejected_rows_cannot_be_named_is_reported_with_its_job_and_where_to_look(box):
    box.fault("job_rejects", 2)
    box.fault("cordial_status", 403, path="GET /v2/contacts/")
    messages = [AUDIENCE_SCHEMA, *[enter(f"p{number}@example.com") for number in range(5)], state({"at": 1})]
    result = run(box.target_config(), messages)
    assert result.code == 2
    assert result.states == [{"at": 1}]
    (line,) = report(box)
    assert (line["rows"], line["rejected"], line["unnamed"], line["inserted"]) == (5, 2, 2, 3)
    assert "within 7 days in https://admin.cordial.io (Data, Data jobs)" in line["reason"]


def test_the_closing_line_counts_both_kinds_of_rejects(box):
    box.fault("job_rejects", 1)
    messages = [
        AUDIENCE_SCHEMA,
        enter("nobody"),
        enter("no one"),
        enter("a@example.com"),
        enter("b@example.com"),
    ]
    result = run(box.target_config(), messages)
    assert (
        "2 rejected here (2 email: the identifier is not an e-mail address: an email address must have an at-sign; see "
        in result.log
    )
    assert "and 1 by Cordial" in result.log


def test_many_rejects_leave_memory_before_the_input_ends(box):
    rows = [enter(f"nobody {number}") for number in range(2_500)]
    with started(box.target_config(max_reject_percent=100)) as running:
        running.write([AUDIENCE_SCHEMA, state({"at": 1}), *rows])
        wait_until(lambda: len(list(Path(box.folder, "rejects").glob("*"))) == 2)
        running.end_input()
        assert running.result().code == 0
    assert [line["record"]["email"] for line in report(box)] == [f"nobody {n}" for n in range(2_500)]


def test_a_record_that_lacks_a_key_property_is_a_reject_and_the_run_fails(box):
    messages = [
        schema({"id": "integer", "email": "string"}, key=("id",)),
        record({"email": "ada@example.com"}),
        record({"id": 2, "email": "eve@example.com"}),
    ]
    result = run(box.target_config(field_mapping={}, list_name="all"), messages)
    assert result.code == 2
    assert box.list_members("all") == {"eve@example.com"}
    assert [line["reason"] for line in report(box)] == ["a key property is missing"]


def test_a_record_that_names_no_list_is_a_reject(box):
    message = enter("ada@example.com")
    message["record"]["audience_name"] = None
    gone = exit_("eve@example.com")
    del gone["record"]["audience_name"]
    result = run(box.target_config(), [AUDIENCE_SCHEMA, message, gone])
    assert "1 exit of audience_members could not be done" in result.message
    assert {line["reason"] for line in report(box)} == {
        "the list's name needs audience_name, which is missing"
    }
    assert box.contacts() == {}
