"""The check: everything that a run needs is tried before the first record, and by `--check`; nothing is changed."""

import contextlib
import json
import os
import pty
import subprocess

import pytest

from sandbox.people import FIELD_MAPPING
from tests.tap.running import COMMAND as TAP_COMMAND
from tests.target.running import (
    AUDIENCE_SCHEMA,
    COMMAND,
    LIST,
    TIMEOUT_SECONDS,
    enter,
    import_calls,
    quick_config,
    record,
    run,
    schema,
    state,
)

MESSAGES = [AUDIENCE_SCHEMA, enter("ada@example.com", first_name="Ada"), state({"at": 1})]


def check(config, *arguments, **options):
    return run(config, arguments=["--check", *arguments], **options)


def lines(result, status):
    """What a check's lines of one status are about, and say."""
    return [
        tuple(line.split(maxsplit=2)[1:])
        for line in result.output.splitlines()
        if line.startswith(f"{status} ")
    ]


def writes(box):
    return [request for request in box.requests if request.method != "GET"]


def test_a_check_of_what_works_says_so_line_by_line_and_changes_nothing(box):
    result = check(box.target_config())
    assert result.code == 0, result.log
    good = lines(result, "ok")
    assert ("key", f"Cordial at {box.cordial_url} takes the API key") in good
    assert ("permissions", "the key may read attributes, lists and jobs") in good
    [city] = [text for what, text in good if what == "field" and text.startswith("city ")]
    assert city.split() == ["city", "->", "home.city", "geo"]
    assert [what for what, _ in good].count("field") == len(FIELD_MAPPING)
    [named] = [text for what, text in good if what == "list"]
    assert named.startswith("Lytics_{audience_name}: named by each record")
    assert ("storage", f"{box.storage_url}: written, read back and deleted") in good
    assert "they may get no campaigns, so look at one" in dict(lines(result, "note"))["consent"]
    assert {what for what, _ in lines(result, "untried")} == {
        "permissions",
        "field",
        "contacts",
        "fetch",
        "trial",
    }
    assert lines(result, "failed") == []
    assert "\x1b" not in result.output, "plain in a pipe"
    assert writes(box) == []
    assert box.files() == []
    assert result.leftovers == []


def test_a_check_is_in_colour_on_a_terminal(box, tmp_path):
    config = tmp_path / "config.json"
    config.write_text(json.dumps(box.target_config(api_key="wrong")), encoding="utf-8")
    ours, theirs = pty.openpty()
    ended = subprocess.run(
        [COMMAND, "--config", config, "--check"],
        stdout=theirs,
        stderr=theirs,
        check=False,
        timeout=TIMEOUT_SECONDS,
    )
    os.close(theirs)
    shown = b""
    with contextlib.suppress(OSError):
        while part := os.read(ours, 65536):
            shown += part
    os.close(ours)
    assert ended.returncode == 2
    assert b"\x1b[32m" in shown, "what works is green"
    assert b"\x1b[31m" in shown, "what does not is red"


def test_with_a_catalog_each_field_stands_with_its_type_beside_its_attributes(box, tmp_path):
    catalog = tmp_path / "catalog.json"
    ended = subprocess.run(
        [TAP_COMMAND, "--config", _written(tmp_path, box.tap_config()), "--discover"],
        capture_output=True,
        check=True,
        timeout=TIMEOUT_SECONDS,
    )
    catalog.write_bytes(ended.stdout)
    result = check(box.target_config(), "--catalog", str(catalog))
    assert result.code == 0, result.log
    fields = [text.split() for what, text in lines(result, "ok") if what == "field"]
    assert ["visit_count", "integer", "->", "visit_count", "number"] in fields
    assert ["last_visit", "string", "(date-time)", "->", "last_visit", "date"] in fields
    result = check(box.target_config(field_mapping={"is_customer": "birthday"}), "--catalog", str(catalog))
    assert result.code == 2
    [(what, text)] = lines(result, "failed")
    assert what == "field"
    assert "is of type boolean, which never fits the attribute 'birthday' (date)" in text


def test_a_field_that_the_catalog_does_not_select_is_missing(box, tmp_path):
    entry = {"breadcrumb": ["properties", "city"], "metadata": {"inclusion": "available", "selected": False}}
    stream = {
        "tap_stream_id": "people",
        "schema": {"type": "object", "properties": {"email": {"type": "string"}, "city": {"type": "string"}}},
        "metadata": [{"breadcrumb": [], "metadata": {"inclusion": "available", "selected": True}}, entry],
    }
    config = box.target_config(field_mapping={"city": "home.city"}, list_name="all")
    for selected, code in ((True, 0), (False, 2)):
        entry["metadata"]["selected"] = selected
        catalog = _written(tmp_path, {"streams": [stream]})
        result = check(config, "--catalog", catalog)
        assert result.code == code, result.output
    assert "has no field 'city': select it in the tap" in result.output
    assert "is not a Singer catalog" in check(config, "--catalog", _written(tmp_path, [])).message


def test_if_asked_cordial_fetches_a_file_with_a_header_alone(box):
    result = check(box.target_config(), "--fetch")
    assert result.code == 0, result.log
    assert "fetched and read a file with a header alone" in dict(lines(result, "ok"))["fetch"]
    [call] = import_calls(box)
    assert call["strategy"] == "updateOnly"
    assert "lists" not in call
    assert box.contacts() == {}
    assert box.account.lists() == {}
    assert box.files() == []
    assert result.leftovers == []


@pytest.mark.parametrize(
    ("fault", "words"),
    [("source_login_fails", "as seen from Cordial's side"), ("job_fails", "Cordial could fetch it")],
)
def test_a_file_that_cordial_cannot_fetch_or_read_is_one_line_and_leaves_nothing(box, fault, words):
    box.fault(fault)
    result = check(box.target_config(), "--fetch")
    assert result.code == (1 if fault == "job_fails" else 2)
    [(what, text)] = lines(result, "failed")
    assert what == "fetch"
    assert words in text
    assert box.files() == []


def test_the_check_says_what_becomes_of_new_contacts(box):
    consents = {
        name: dict(lines(check(box.target_config(**config)), "note"))["consent"].partition("; ")[2]
        for name, config in {
            "status": {"subscribe_status": "none"},
            "update": {"import_strategy": "updateOnly"},
            "unasked": {"keep_subscribe_status": False},
        }.items()
    }
    assert consents == {
        "status": "new contacts get the status `none` (subscribe_status)",
        "update": "no new contacts are made (import_strategy is updateOnly)",
        "unasked": "Cordial makes new contacts `subscribed`",
    }


def test_no_line_of_a_good_check_reads_like_a_failure_to_meltano(box):
    stream = [schema({"id": "integer"}, "meltano_test_stream", ()), record({"id": 1}, "meltano_test_stream")]
    for result in (check(box.target_config()), run(box.target_config(), stream)):
        assert result.code == 0, result.log
        text = (result.output + result.log).lower()
        assert "error" not in text
        assert "exception" not in text
    assert writes(box) == []
    assert box.contacts() == {}


def test_the_made_up_stream_of_meltano_is_checked_and_never_imported(box):
    properties = {"id": "integer", "email": "string"}
    stream = [
        schema(properties, "meltano_test_stream", ("id",)),
        record({"id": 1, "email": "made@example.com"}, "meltano_test_stream"),
        state({"at": 1}),
    ]
    assert run(box.target_config(field_mapping={}, list_name="all"), stream).code == 0
    assert writes(box) == []
    result = run(box.target_config(api_key="wrong"), stream)
    assert result.code == 2
    assert "refuses the API key" in result.message


WRONG = {
    "a wrong key": ({"api_key": "wrong-key"}, "Cordial refuses the API key (401): check api_key"),
    "an attribute that does not exist": (
        {"field_mapping": {"first_name": "nickname"}},
        "Cordial has no attribute 'nickname' (field_mapping of 'first_name'): create it in Cordial or correct field_mapping",
    ),
    "a geo attribute without a part": (
        {"field_mapping": {"city": "home"}},
        "The attribute 'home' is a geo attribute: map a field to one of its parts",
    ),
    "a list that an attribute has the name of": (
        {"list_name": "first_name"},
        "Cordial has an attribute named 'first_name', so a list cannot have this name: set list_name to another.",
    ),
    "a list id that does not exist": (
        {"list_name": "4711"},
        "Cordial has no list with id 4711: check list_name",
    ),
    "a list name that is no template": (
        {"list_name": "L_{"},
        "The setting list_name ('L_{') is not a template",
    ),
    "a wrong password of the storage": (
        {"storage_password": "wrong"},
        "refuses the login: check storage_username",
    ),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_does_not_work_is_one_sentence_by_check_and_before_the_first_record(box, what):
    overrides, words = WRONG[what]
    config = box.target_config(**overrides)
    checked, ran = check(config), run(config, MESSAGES)
    for result, text in ((checked, checked.output), (ran, ran.message)):
        assert result.code == 2
        assert words in text
        assert "Traceback" not in result.log
    assert len(lines(checked, "failed")) == 1
    assert "CRITICAL" not in checked.log, "each failure is told once"
    assert ran.states == []
    assert writes(box) == []
    assert box.contacts() == {}


@pytest.mark.parametrize(("fault", "code"), [("storage_read_only", 2), ("storage_full", 1)])
def test_a_storage_that_cannot_be_written_is_one_sentence(box, fault, code):
    box.fault(fault)
    result = check(box.target_config())
    assert result.code == code
    assert box.storage_url in dict(lines(result, "failed"))["storage"]


@pytest.mark.parametrize("endpoint", ["accountcontactattributes", "jobs", "accountlists"])
def test_an_endpoint_that_the_key_may_not_use_is_named(box, endpoint):
    box.fault("cordial_status", 403, path=endpoint)
    result = check(box.target_config())
    assert result.code == 2
    told = [text for _, text in lines(result, "failed")]
    assert told == [f"The API key may not use /{endpoint} (403): tick it on the key in Cordial."]


def test_an_address_that_is_not_cordials_is_one_sentence(box):
    box.fault("cordial_status", 404, path="accountcontactattributes")
    result = check(box.target_config(field_mapping={}))
    assert result.code == 2
    [(_, text)] = lines(result, "failed")
    assert "Cordial does not know /accountcontactattributes (404): check api_url, with its version" in text


def test_everything_that_does_not_work_is_told_at_once(box):
    box.fault("storage_read_only")
    result = check(box.target_config(field_mapping={"first_name": "nickname"}, list_name="birthday"))
    assert result.code == 2
    told = dict(lines(result, "failed"))
    assert "no attribute 'nickname'" in told["field"]
    assert "has an attribute named 'birthday'" in told["list"]
    assert "The storage at" in told["storage"]


def test_a_required_attribute_has_to_be_mapped_unless_no_contact_is_created(box):
    box.account.add_attribute("tier", "string", validators={"required": True})
    result = check(box.target_config())
    assert result.code == 2
    assert (
        "Cordial requires the attribute tier of each contact: map a field to it in field_mapping"
        in dict(lines(result, "failed"))["fields"]
    )
    assert check(box.target_config(import_strategy="updateOnly")).code == 0
    assert check(box.target_config(field_mapping={"first_name": "tier"})).code == 0


@pytest.mark.parametrize("shape", ["array", "object"])
def test_attributes_are_understood_in_either_shape(box, shape):
    box.fault("attributes_shape", shape)
    assert check(box.target_config()).code == 0


def test_an_account_without_attributes_is_understood(box):
    box.fault("attributes_shape", "empty")
    assert check(box.target_config(field_mapping={})).code == 0
    unknown = {"first_name": "nickname"}
    assert "Cordial has no attribute" in check(box.target_config(field_mapping=unknown)).output


@pytest.mark.parametrize("fault", ["attributes_paged", "attributes_shape"])
def test_an_attribute_that_is_not_listed_is_asked_for_before_it_is_said_to_be_missing(box, fault):
    box.fault(fault, {"attributes_paged": 2, "attributes_shape": "empty"}[fault])
    assert check(box.target_config()).code == 0
    result = run(quick_config(box), [AUDIENCE_SCHEMA, enter("ada@example.com", first_name="Ada")])
    assert result.code == 0, result.log
    assert box.contacts()["ada@example.com"].attributes["first_name"] == "Ada"


@pytest.mark.parametrize("is_404", [True, False])
def test_an_attribute_that_is_not_there_is_named_whichever_way_cordial_says_so(box, is_404):
    if is_404:
        box.fault("attribute_not_found")
    output = check(box.target_config(field_mapping={"first_name": "First Name/é"})).output
    assert "Cordial has no attribute 'First Name/é' (field_mapping of 'first_name')" in output


def test_a_list_of_a_fixed_name_is_looked_up_and_not_created(box):
    number = box.account.add_list("there")
    outputs = {
        name: check(box.target_config(list_name=name)).output
        for name in ("there", str(number), "My new list")
    }
    assert "there: found, 0 contacts" in outputs["there"]
    assert "there: found, 0 contacts" in outputs[str(number)]
    assert "My_new_list: will be created" in outputs["My new list"]
    assert set(box.account.lists().values()) == {"there"}


def test_lists_are_not_looked_at_when_contacts_go_on_none(box):
    result = check(box.target_config(list_action="none", list_name="4711"))
    assert result.code == 0, result.log
    assert not [
        what
        for status in ("ok", "failed", "note", "untried")
        for what, _ in lines(result, status)
        if what == "list"
    ]
    assert all("accountlists" not in request.path for request in box.requests)


def test_a_plan_leaves_the_storage_alone(box):
    result = check(box.target_config(plan_only=True, storage_password="wrong"))
    assert result.code == 0, result.log
    assert ("storage", "a plan (plan_only) leaves it alone") in lines(result, "untried")


def test_nothing_is_checked_when_there_is_nothing_to_send(box):
    result = run(box.target_config(), [AUDIENCE_SCHEMA, state({"at": 1})])
    assert result.code == 0, result.log
    assert result.states == [{"at": 1}]
    assert box.requests == []


def test_a_run_checks_once(box):
    people = [enter(f"p{number}@example.com") for number in range(50)]
    result = run(box.target_config(batch_size_rows=10), [AUDIENCE_SCHEMA, *people, state({"at": 1})])
    assert result.code == 0, result.log
    assert len(box.list_members(LIST)) == 50
    assert [request.path for request in box.requests].count("/v2/accountcontactattributes") == 1


def _written(folder, content):
    path = folder / "written.json"
    path.write_text(json.dumps(content), encoding="utf-8")
    return str(path)
