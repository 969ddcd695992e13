"""The check: everything that a run needs is tried before the first record, and by `--check`; nothing is changed."""

import pytest

from tests.target.running import AUDIENCE_SCHEMA, LIST, enter, record, run, schema, state

MESSAGES = [AUDIENCE_SCHEMA, enter("ada@example.com", first_name="Ada"), state({"at": 1})]


def check(config, **options):
    return run(config, arguments=["--check"], **options)


def writes(box):
    return [request for request in box.requests if request.method != "GET"]


def test_a_check_of_what_works_says_so_line_by_line_and_changes_nothing(box):
    result = check(box.target_config())
    assert result.code == 0, result.log
    lines = result.output.splitlines()
    assert all(line.startswith("ok  ") for line in lines)
    assert f"ok  Cordial at {box.cordial_url}: the API key works" in lines
    assert "ok  field city: goes to attribute home.city (geo)" in lines
    assert "ok  list Lytics_{audience_name}: named by each record" in lines
    assert "ok  storage: written, read back and deleted" in lines
    assert any("Cordial itself makes a new contact `subscribed`" in line for line in lines)
    assert writes(box) == []
    assert box.files() == []
    assert result.leftovers == []


def test_a_subscribe_status_that_is_set_is_not_warned_of(box):
    assert "subscribed`" not in check(box.target_config(subscribe_status="none")).output
    assert "subscribed`" not in check(box.target_config(import_strategy="updateOnly")).output


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
    assert result.code == 1
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
    for result in (checked, ran):
        assert result.code == 1
        assert words in result.message
        assert "Traceback" not in result.log
    assert all(line.startswith("ok  ") for line in checked.output.splitlines())
    assert ran.states == []
    assert writes(box) == []
    assert box.contacts() == {}


@pytest.mark.parametrize("fault", ["storage_read_only", "storage_full"])
def test_a_storage_that_cannot_be_written_is_one_sentence(box, fault):
    box.fault(fault)
    result = check(box.target_config())
    assert result.code == 1
    assert box.storage_url in result.message


@pytest.mark.parametrize("endpoint", ["accountcontactattributes", "jobs"])
def test_an_endpoint_that_the_key_may_not_use_is_named(box, endpoint):
    box.fault("cordial_status", 403, path=endpoint)
    result = check(box.target_config())
    assert result.code == 1
    assert f"The API key may not use /{endpoint} (403): tick it on the key in Cordial." in result.message


def test_an_address_that_is_not_cordials_is_one_sentence(box):
    box.fault("cordial_status", 404, path="accountcontactattributes")
    result = check(box.target_config(field_mapping={}))
    assert result.code == 1
    assert (
        "Cordial does not know /accountcontactattributes (404): check api_url, with its version"
        in result.message
    )


def test_everything_that_does_not_work_is_told_at_once(box):
    box.fault("storage_read_only")
    result = check(box.target_config(field_mapping={"first_name": "nickname"}, list_name="birthday"))
    assert result.code == 1
    assert "no attribute 'nickname'" in result.message
    assert "has an attribute named 'birthday'" in result.message
    assert "The storage at" in result.message


def test_a_required_attribute_has_to_be_mapped_unless_no_contact_is_created(box):
    box.account.add_attribute("tier", "string", validators={"required": True})
    result = check(box.target_config())
    assert result.code == 1
    assert (
        "Cordial requires the attribute tier of each contact: map a field to it in field_mapping"
        in result.message
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
    assert "Cordial has no attribute" in check(box.target_config()).message


def test_a_list_of_a_fixed_name_is_looked_up_and_not_created(box):
    number = box.account.add_list("there")
    outputs = {
        name: check(box.target_config(list_name=name)).output
        for name in ("there", str(number), "My new list")
    }
    assert "ok  list there: found" in outputs["there"]
    assert f"ok  list {number}: found" in outputs[str(number)]
    assert "ok  list My_new_list: will be created" in outputs["My new list"]
    assert set(box.account.lists().values()) == {"there"}


def test_lists_are_not_looked_at_when_contacts_go_on_none(box):
    result = check(box.target_config(list_action="none", list_name="4711"))
    assert result.code == 0, result.log
    assert "list" not in result.output


def test_a_plan_leaves_the_storage_alone(box):
    result = check(box.target_config(plan_only=True, storage_password="wrong"))
    assert result.code == 0, result.log
    assert "storage" not in result.output


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
