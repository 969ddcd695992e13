"""Cordial as the sandbox acts it out: what its Swagger tells of access, lists, attributes, contacts and refusals."""

import time
from urllib.parse import quote

import pytest
import requests

from tests.sandbox.calls import call_of, cordial, imported, put_file, source

GENERIC = {"error": True, "errorKey": "GENERIC_ERROR_KEY"}
NOT_FOUND = {"error": True, "errorKey": "RECORD_NOT_FOUND", "message": "record not found"}
NO_LIST = {"error": True, "errorKey": "ACCOUNT_LISTS_NOT_FOUND", "message": "List does not exist"}
PEOPLE = "channels.email.address,first_name\r\nada@example.com,Ada\r\nbob@example.com,Bob\r\n"


def refusal(reply):
    return reply.status_code, reply.json()


@pytest.mark.parametrize("path", ["/accountlists", "/contactimports", "/jobs/1", "/nowhere"])
def test_without_the_key_everything_is_a_401(box, path):
    for auth in (None, ("wrong", ""), (box.api_key, "with a password")):
        reply = requests.get(box.cordial_url + path, auth=auth, timeout=30)
        assert refusal(reply) == (401, {"error": "Access Denied: Authentication Failure"})


def test_the_key_alone_is_not_basic_authentication(box):
    reply = requests.get(
        f"{box.cordial_url}/accountlists", headers={"Authorization": box.api_key}, timeout=30
    )
    assert reply.status_code == 401


def test_a_call_that_is_not_there_is_refused_in_the_envelope(box):
    assert refusal(cordial(box, "GET", "/nowhere")) == (404, NOT_FOUND)
    assert cordial(box, "PATCH", "/accountlists", {}).json()["error"] is True


def test_a_body_must_be_a_json_object_of_at_most_10_mb(box):
    url, auth = f"{box.cordial_url}/accountlists", (box.api_key, "")
    text = requests.post(url, data="name=x", headers={"Content-Type": "text/plain"}, auth=auth, timeout=30)
    assert (text.status_code, text.json()["errorKey"]) == (415, "UNSUPPORTED_MEDIA_TYPE")
    json = {"Content-Type": "application/json"}
    for path, status in (
        ("/accountlists", 422),
        ("/contacts", 422),
        ("/contactimports", 406),
        ("/contactexports", 400),
    ):
        for body in ("{", "[]", "null"):
            reply = requests.post(box.cordial_url + path, data=body, headers=json, auth=auth, timeout=30)
            assert reply.status_code == status
            assert reply.json()["message"].startswith("The body is not")
    large = b'"' + b"x" * (10 * 1024 * 1024) + b'"'
    assert requests.post(url, data=large, headers=json, auth=auth, timeout=30).status_code == 413


def test_a_list_is_made_found_counted_renamed_cleared_and_deleted(box):
    assert refusal(cordial(box, "GET", "/accountlists")) == (404, NOT_FOUND)
    made = cordial(box, "POST", "/accountlists", {"name": "Sellers", "enhanced": True})
    assert refusal(made) == (200, {"success": True, "id": 1})
    shown = {"id": 1, "name": "Sellers", "enhanced": True}
    assert cordial(box, "GET", "/accountlists", name="Sellers").json() == [shown]
    assert cordial(box, "GET", "/accountlists/1").json() == shown
    imported(box, PEOPLE, lists={"addTo": ["Sellers"]})
    assert cordial(box, "GET", "/accountlists/1/count").json() == {**shown, "count": 2}
    renamed = {"name": "Buyers", "enhanced": False}
    assert cordial(box, "PUT", "/accountlists/1", renamed).json() == [{"id": 1, **renamed}]
    assert cordial(box, "PUT", "/accountlists/1/clear").json() == {"success": True, "id": 1}
    assert cordial(box, "GET", "/accountlists/1/count").json() == {"id": 1, **renamed, "count": 0}
    assert len(box.contacts()) == 2, "who was on a list stays a contact"
    assert cordial(box, "DELETE", "/accountlists/1").json() == {"success": True}
    assert refusal(cordial(box, "GET", "/accountlists", name="Buyers")) == (404, NOT_FOUND)


def test_a_list_that_is_not_there_is_a_404(box):
    assert refusal(cordial(box, "GET", "/accountlists/7")) == (404, NO_LIST)
    assert refusal(cordial(box, "GET", "/accountlists/7/count")) == (404, NO_LIST)
    assert refusal(cordial(box, "PUT", "/accountlists/7/clear")) == (404, NO_LIST)
    assert refusal(cordial(box, "GET", "/accountlists/x")) == (404, NO_LIST)
    assert cordial(box, "PUT", "/accountlists/7", {"name": "x"}).json()["message"] == "List is not found"
    assert refusal(cordial(box, "DELETE", "/accountlists/7")) == (404, NOT_FOUND)


@pytest.mark.parametrize("name", ["two words", "dots.too", "x" * 129, "café"])
def test_a_list_name_has_letters_numbers_dashes_and_128_characters(box, name):
    words = "Name must contain only letters, numbers, and dashes. Should not exceed 128 characters"
    assert refusal(cordial(box, "POST", "/accountlists", {"name": name})) == (
        422,
        {**GENERIC, "message": words},
    )


def test_underscores_in_list_names_are_taken_or_not(box):
    assert cordial(box, "POST", "/accountlists", {"name": "with_one"}).status_code == 200
    box.fault("no_underscores")
    assert cordial(box, "POST", "/accountlists", {"name": "with_another"}).status_code == 422


def test_the_count_of_a_list_may_be_late(box):
    list_id = box.account.add_list("Late")
    box.account.put_contact("ada@example.com", {}, "none")
    box.account.join(list_id, "ada@example.com")
    box.fault("list_count_late", once=True)
    counts = [cordial(box, "GET", f"/accountlists/{list_id}/count").json()["count"] for _ in range(2)]
    assert counts == [0, 1]


@pytest.mark.parametrize("name", ["Taken", "first_name", "Given name"])
def test_a_list_name_differs_from_all_lists_and_attributes(box, name):
    box.account.add_attribute("given", "string", "Given name")
    cordial(box, "POST", "/accountlists", {"name": "Taken"})
    reply = cordial(box, "POST", "/accountlists", {"name": name.replace(" ", "_")})
    if " " in name:
        assert reply.status_code == 200
    else:
        assert refusal(reply) == (422, {**GENERIC, "message": "Name must be unique"})


@pytest.mark.parametrize("body", [{}, {"name": ""}, {"name": 5}, {"name": "x", "enhanced": "yes"}])
def test_a_list_needs_a_name(box, body):
    reply = cordial(box, "POST", "/accountlists", body)
    words = "enhanced field must be true or false" if "enhanced" in body else "name field is required"
    assert refusal(reply) == (422, {**GENERIC, "message": f"The {words}."})


def test_cid_is_no_name_of_a_list(box):
    assert cordial(box, "POST", "/accountlists", {"name": "cid"}).status_code == 422


def test_an_attribute_is_made_shown_changed_and_deleted(box):
    body = {"key": "size", "name": "Size", "type": "string", "validators": {"max": 3, "required": False}}
    assert refusal(cordial(box, "POST", "/accountcontactattributes", body)) == (200, {"success": True})
    shown = cordial(box, "GET", "/accountcontactattributes/size").json()
    assert {"key", "name", "type", "index", "unique", "validators", "ct", "lm"} <= set(shown)
    assert shown in cordial(box, "GET", "/accountcontactattributes").json()
    path = "/accountcontactattributes/size"
    assert cordial(box, "PUT", path, {"name": "Shoe size"}).json() == {"success": True}
    assert cordial(box, "GET", path).json()["name"] == "Shoe size"
    assert cordial(box, "PUT", path, {"type": "number"}).json()["message"] == "You can not change type"
    assert cordial(box, "DELETE", path).json() == {"success": True}
    assert refusal(cordial(box, "DELETE", path)) == (404, NOT_FOUND)
    assert refusal(cordial(box, "GET", path)) == (422, {**GENERIC, "message": "Key not exist"})
    box.fault("attribute_not_found")
    assert refusal(cordial(box, "GET", path)) == (404, NOT_FOUND)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"key": "first_name", "name": "Other", "type": "string"}, "Key must be unique"),
        ({"key": "other", "name": "first_name", "type": "string"}, "Name must be unique"),
        ({"key": "other", "name": "A-list", "type": "string"}, "Name must be unique"),
        ({"key": "other", "name": "Other", "type": "boolean"}, "invalid field type"),
        ({"key": "other", "type": "string"}, "The name field is required."),
    ],
)
def test_an_attribute_that_cannot_be_is_a_422(box, body, message):
    cordial(box, "POST", "/accountlists", {"name": "A-list"})
    reply = cordial(box, "POST", "/accountcontactattributes", body)
    assert refusal(reply) == (422, {**GENERIC, "message": message})


def test_attributes_can_be_asked_for_by_type(box):
    kinds = {item["type"] for item in cordial(box, "GET", "/accountcontactattributes", type="geo").json()}
    assert kinds == {"geo"}
    assert cordial(box, "GET", "/accountcontactattributes", type="bool").status_code == 422
    assert cordial(box, "GET", "/accountcontactattributes", indexed="1").json() == []


def test_attributes_come_in_any_of_three_shapes(box):
    as_list = cordial(box, "GET", "/accountcontactattributes").json()
    box.fault("attributes_shape", "object")
    as_object = cordial(box, "GET", "/accountcontactattributes").json()
    assert as_object == {item["key"]: item for item in as_list}
    box.fault("attributes_shape", "empty")
    assert cordial(box, "GET", "/accountcontactattributes").json() == []


def test_a_contact_is_made_shown_changed_and_deleted(box):
    cordial(box, "POST", "/accountlists", {"name": "Sellers"})
    body = {
        "channels": {"email": {"address": "Ada@example.com", "subscribeStatus": "subscribed"}},
        "first_name": "Ada",
        "home.city": "Zürich",
        "visit_count": 3,
        "Sellers": True,
    }
    made = cordial(box, "POST", "/contacts", body)
    assert made.status_code == 201
    assert set(made.json()) == {"success", "message", "cID"}
    shown = {
        "_id": made.json()["cID"],
        "attributes": {"first_name": "Ada", "home": {"city": "Zürich"}, "visit_count": 3},
        "channels": {"email": {"address": "ada@example.com", "subscribeStatus": "subscribed"}},
        "lists": ["Sellers"],
    }
    for key in (made.json()["cID"], "ada@example.com", "email:ada@example.com"):
        assert cordial(box, "GET", f"/contacts/{key}").json() == shown
    assert cordial(box, "GET", "/contacts", email="ada@example.com").json() == [shown]
    changed = {"channels": body["channels"], "first_name": "Augusta", "Sellers": False}
    assert cordial(box, "PUT", "/contacts/ada@example.com", changed).json() == {"success": True}
    shown["attributes"]["first_name"] = "Augusta"
    assert cordial(box, "GET", f"/contacts/{made.json()['cID']}").json() == {**shown, "lists": []}
    assert cordial(box, "DELETE", "/contacts/ada@example.com").json() == {"success": True}
    assert refusal(cordial(box, "GET", "/contacts/ada@example.com")) == (404, NOT_FOUND)
    assert refusal(cordial(box, "GET", "/contacts")) == (404, NOT_FOUND)


def test_a_contact_made_without_a_status_has_none(box):
    cordial(box, "POST", "/contacts", {"channels": {"email": {"address": "ada@example.com"}}})
    assert box.contacts()["ada@example.com"].subscribe_status == "none"


def test_a_contact_who_unsubscribed_stays_so_unless_forced(box):
    def channels(status):
        return {"email": {"address": "ada@example.com", "subscribeStatus": status}}

    cordial(box, "POST", "/contacts", {"channels": channels("unsubscribed")})
    cordial(box, "POST", "/contacts", {"channels": channels("subscribed")})
    assert box.contacts()["ada@example.com"].subscribe_status == "unsubscribed"
    cordial(
        box, "PUT", "/contacts/ada@example.com", {"channels": channels("subscribed"), "forceSubscribe": True}
    )
    assert box.contacts()["ada@example.com"].subscribe_status == "subscribed"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"channels": {}}, "channels.email.address"),
        ({"channels": [1]}, "channels.email.address"),
        ({"channels": {"email": [None, None]}}, "channels.email.address"),
        ({"channels": {"email": {"address": ["a@example.com"]}}}, "channels.email.address"),
        ({"channels": {"email": {"address": "ada@example.com"}}, "attributes": [1]}, "attributes"),
        (
            {"channels": {"email": {"address": "ada@example.com", "subscribeStatus": "maybe"}}},
            "channels.email.subscribeStatus",
        ),
        ({"channels": {"email": {"address": "ada@example.com"}}, "nothing": 1}, "nothing"),
    ],
)
def test_a_contact_that_cannot_be_is_a_422_that_names_the_field(box, body, field):
    reply = cordial(box, "POST", "/contacts", body)
    assert reply.status_code == 422
    assert set(reply.json()) == {"error", "errorKey", "message", "messages"}
    assert list(reply.json()["messages"]["validationErrors"]) == [field]
    assert not box.contacts()


def test_numbers_of_a_contact_are_shown_as_numbers(box):
    imported(box, "channels.email.address,visit_count,lifetime_value\r\nada@example.com,3,1.50\r\n")
    attributes = cordial(box, "GET", "/contacts/ada@example.com").json()["attributes"]
    assert attributes == {"visit_count": 3, "lifetime_value": 1.5}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"source": None}, "The source field is invalid."),
        ({"source": {}}, "The source.transport field is required."),
        ({"source": {"transport": "pigeon"}}, "The selected source.transport is invalid."),
        ({"source": {"transport": [None]}}, "The selected source.transport is invalid."),
        ({"source": {"transport": "SFTP"}}, "The source.server field is required."),
        (
            {"source": {"transport": "SNOWFLAKE", "account": "a", "database": "b", "schema": "c"}},
            "The source.source field is required.",
        ),
        ({"delimiter": "::"}, "The delimiter field is invalid."),
        (
            {"source": {"transport": "sftp", "server": "x", "port": 22, "path": "y"}},
            "The source.username field is required.",
        ),
        (
            {"source": {"transport": "sftp", "server": "x", "port": 22, "username": "z"}},
            "The source.path field is required.",
        ),
        (
            {"source": {"transport": "sftp", "server": "x", "port": 22, "username": "z", "path": "y"}},
            "Parameter password is not set",
        ),
        (
            {
                "source": {
                    "transport": "sftp",
                    "server": "x",
                    "port": "ssh",
                    "username": "z",
                    "path": "y",
                    "password": "p",
                }
            },
            "The source.port field is invalid.",
        ),
        (
            {"source": {"transport": "s3", "aws_region": "x", "path": "y"}},
            "The source.aws bucket field is required.",
        ),
        (
            {"source": {"transport": "s3", "aws_bucket": "x", "path": "y"}},
            "The source.aws region field is required.",
        ),
        ({"source": {"transport": "https"}}, "The source.url field is required."),
        ({"source": {"transport": "https", "url": "x", "zip": "y"}}, "The source.zip field is not allowed."),
        ({"hasHeader": False}, "The columns field is required."),
        ({"hasHeader": "true"}, "The hasHeader field is invalid."),
        ({"columns": [1]}, "The columns field is invalid."),
        ({"confirmEmail": "nobody"}, "The confirm email must be a valid email address."),
        ({"strategy": "replace"}, "The selected strategy is invalid."),
        ({"lists": {"add": ["x"]}}, "The lists field is invalid."),
        ({"lists": {"addTo": [1]}}, "The lists field is invalid."),
        ({"suppressTriggers": 1}, "The suppressTriggers field is invalid."),
        ({"whatever": 1}, "The whatever field is not allowed."),
    ],
)
def test_an_import_call_that_is_wrong_is_a_406_and_makes_no_job(box, change, message):
    reply = cordial(box, "POST", "/contactimports", call_of(box) | change)
    assert refusal(reply) == (406, {**GENERIC, "message": message})
    assert not box.jobs()


def test_transports_come_in_capitals_too_and_ports_as_text(box):
    put_file(box, "people.csv", PEOPLE)
    where = source(box)
    for change in ({"transport": "SFTP"}, {"port": str(where["port"])}):
        call = call_of(box, source={**where, **change})
        assert isinstance(cordial(box, "POST", "/contactimports", call).json()["jobId"], str)
    box.wait_idle()
    assert len(box.contacts()) == 2


def test_an_import_from_snowflake_finds_no_server(box):
    place = {"transport": "SNOWFLAKE", "account": "a", "database": "b", "schema": "c", "source": "d"}
    reply = cordial(box, "POST", "/contactimports", call_of(box, source=place))
    assert (reply.status_code, reply.json()["jobId"]["message"]) == (
        201,
        "Can't connect to the server (snowflake)",
    )


def test_the_service_tells_that_it_is_well(box):
    reply = cordial(box, "GET", "/health")
    assert (reply.status_code, reply.text) == (200, "Good")


def test_attributes_come_at_once_or_in_pages(box):
    for number in range(20):
        box.account.add_attribute(f"more_{number}", "string")
    path = "/accountcontactattributes"
    everything = [item["key"] for item in cordial(box, "GET", path, page=2, per_page=3).json()]
    assert len(everything) == 29, "without the fault a page is no matter"
    box.fault("attributes_paged", 25)
    pages = [[item["key"] for item in cordial(box, "GET", path, page=page).json()] for page in (1, 2, 3)]
    assert [len(page) for page in pages] == [25, 4, 0]
    assert pages[0] + pages[1] == everything
    assert len(cordial(box, "GET", path, page=1, per_page=10000).json()) == 29
    assert cordial(box, "GET", f"{path}/{pages[1][0]}").json()["key"] == pages[1][0]
    box.fault("attributes_shape", "object")
    assert list(cordial(box, "GET", path, page=2).json()) == pages[1]


@pytest.mark.parametrize(
    "address",
    ['a"b@example.com', "a/b@example.com", "{x}@example.com", "jörg@example.com", "a%b@example.com"],
)
def test_a_contact_is_found_by_any_address(box, address):
    box.account.put_contact(address, {}, "none")
    for key in (address, f"email:{address}"):
        reply = cordial(box, "GET", f"/contacts/{quote(key, safe='')}")
        assert reply.json()["channels"]["email"]["address"] == address


def test_cordial_sends_its_answer_byte_by_byte(box):
    box.fault("cordial_drip", 0.01)
    started = time.monotonic()
    reply = cordial(box, "GET", "/accountlists/7")
    assert time.monotonic() - started > 0.01 * len(reply.content)
    assert refusal(reply) == (404, NO_LIST)


def test_an_import_call_needs_a_source(box):
    reply = cordial(box, "POST", "/contactimports", {"hasHeader": True})
    assert reply.json()["message"] == "The source field is required."


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (500, {**GENERIC, "message": "Failed on purpose"}),
        (403, {**GENERIC, "message": "Failed on purpose"}),
        (401, {"error": "Access Denied: Authentication Failure"}),
    ],
)
def test_a_status_comes_in_the_envelope_that_goes_with_it(box, status, body):
    box.fault("cordial_status", status)
    assert refusal(cordial(box, "GET", "/accountlists")) == (status, body)


@pytest.mark.parametrize(
    ("shape", "body"),
    [
        ("messages", {**GENERIC, "messages": "Name must be unique"}),
        (
            "validationErrors",
            {**GENERIC, "messages": {"validationErrors": {"body": ["Name must be unique"]}}},
        ),
        ("error", {"error": "Name must be unique"}),
    ],
)
def test_refusals_come_in_any_of_the_seen_shapes(box, shape, body):
    box.fault("error_shape", shape)
    assert refusal(cordial(box, "POST", "/accountlists", {"name": "first_name"})) == (422, body)


def test_429_tells_when_to_come_back_or_not(box):
    box.fault("rate_limit")
    reply = cordial(box, "GET", "/accountlists")
    assert reply.status_code == 429
    assert reply.headers["X-Rate-Limit-Remaining"] == "0"
    assert "Retry-After" not in reply.headers
    box.fault("rate_limit", 3)
    assert cordial(box, "GET", "/accountlists").headers["Retry-After"] == "3"


@pytest.mark.parametrize(
    ("fault", "is_done"), [("cut_connection", False), ("answer_lost", True), ("answer_cut", True)]
)
def test_a_connection_breaks_before_or_after_the_work_is_done(box, fault, is_done):
    box.fault(fault)
    with pytest.raises((requests.exceptions.ConnectionError, requests.exceptions.ChunkedEncodingError)):
        cordial(box, "POST", "/accountlists", {"name": "Sellers"})
    assert (box.account.list_id("Sellers") is not None) == is_done


def test_cordial_answers_with_a_page_of_a_proxy_after_the_work_is_done(box):
    box.fault("cordial_garbage")
    assert cordial(box, "POST", "/accountlists", {"name": "Sellers"}).text.startswith("<html>")
    assert box.account.list_id("Sellers") == 1


def test_cordial_waits_before_it_answers(box):
    box.fault("slow_answer", 5)
    with pytest.raises(requests.exceptions.ReadTimeout):
        requests.get(f"{box.cordial_url}/accountlists", auth=(box.api_key, ""), timeout=(5, 0.05))


def test_calls_are_remembered_in_order(box):
    cordial(box, "GET", "/accountlists", name="x")
    cordial(box, "POST", "/accountlists", {"name": "Sellers"})
    first, second = box.requests
    assert (first.server, first.method, first.path) == ("cordial", "GET", "/v2/accountlists")
    assert (first.query, first.status) == ({"name": "x"}, 404)
    assert (second.body, second.status) == ({"name": "Sellers"}, 200)
    box.clear_requests()
    assert box.requests == []


def test_a_contact_may_be_read_with_values_in_another_form_than_they_came_in(box):
    held = {
        "interests": ["tea", "books"],
        "last_visit": "2026-01-02T03:04:05.678901Z",
        "lifetime_value": "12.5",
        "first_name": "Ada",
    }
    box.account.put_contact("ada@example.com", held, "none")
    box.fault("contact_values")
    assert cordial(box, "GET", "/contacts/email:ada@example.com").json()["attributes"] == {
        "interests": "tea,books",
        "last_visit": "2026-01-02T03:04:05.678Z",
        "lifetime_value": "12.5",
        "first_name": "Ada",
    }
