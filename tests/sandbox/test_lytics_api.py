"""Lytics as the sandbox acts it out: the shapes, statuses and words of its documented replies."""

import http.client
import json
import re
import time

import pytest
import requests

from sandbox import AudienceSpec
from sandbox.people import FIELDS
from tests.sandbox.calls import lytics

V1 = [
    "/api/segment",
    "/api/segment/vip_customers",
    "/api/segment/vip_customers/sizes",
    "/api/segment/sizes",
    "/api/segment/attribution",
    "/api/schema",
    "/api/schema/user",
    "/api/schema/user/fieldinfo",
]
V2 = ["/v2/segment", "/v2/segment/vip_customers", "/v2/schema/user", "/v2/schema/user/field"]
# The names in the replies that Lytics' own client was recorded with.
RECORDED_SEGMENT = {
    "aid", "account_id", "id", "short_id", "name", "is_public", "public_name", "slug_name", "table", "segment_ql",
    "author_id", "updated", "created", "modified_ms", "created_ms", "tags",
}  # fmt: skip
RECORDED_COLUMN = {"as", "is_by", "type", "op", "shortdesc", "longdesc", "froms", "identities"}
META_FIELDS = {
    "_id": "string", "_created": "date", "_modified": "date", "_last_scored": "date", "_split": "int", "_split2": "int",
    "_segments": "[]string", "_segs": "membership", "_num_aliases": "int", "_num_events": "int", "_num_days": "int",
}  # fmt: skip


@pytest.mark.parametrize("path", V1)
def test_a_v1_answer_has_data_status_and_message(box, path):
    reply = lytics(box, path)
    assert reply.status_code == 200
    assert set(reply.json()) == {"data", "status", "message"}
    assert (reply.json()["status"], reply.json()["message"]) == (200, "success")


@pytest.mark.parametrize("path", V2)
def test_a_v2_answer_has_data_status_and_request_id(box, path):
    reply = lytics(box, path)
    assert reply.status_code == 200
    assert set(reply.json()) == {"data", "status", "request_id"}
    assert reply.json()["status"] == 200


@pytest.mark.parametrize("path", [*V1, *V2, "/api/segment/vip_customers/scan", "/nowhere"])
def test_without_the_token_both_versions_answer_401_in_the_v1_shape(box, path):
    for headers in ({}, {"Authorization": "wrong"}, {"Authorization": f"Bearer {box.api_token}"}):
        reply = requests.get(box.lytics_url + path, headers=headers, timeout=30)
        assert reply.status_code == 401
        assert reply.json() == {"data": None, "message": "Not authorized", "status": 401}


@pytest.mark.parametrize("name", ["key", "access_token"])
def test_the_token_can_be_in_the_query(box, name):
    reply = requests.get(f"{box.lytics_url}/api/segment", params={name: box.api_token}, timeout=30)
    assert reply.status_code == 200


def test_a_v1_refusal_has_no_data(box):
    reply = lytics(box, "/api/segment/nobody")
    assert reply.status_code == 404
    assert (reply.json()["data"], reply.json()["status"]) == (None, 404)
    assert reply.json()["message"]


def test_a_v2_refusal_lists_errors(box):
    reply = lytics(box, "/v2/segment/nobody")
    assert reply.status_code == 404
    assert set(reply.json()) == {"status", "errors", "request_id"}
    assert set(reply.json()["errors"][0]) == {"code", "message", "level", "timestamp"}


@pytest.mark.parametrize("path", ["/api/nowhere", "/v2/segment/vip_customers/scan"])
def test_there_is_no_other_call(box, path):
    assert lytics(box, path).status_code == 404
    assert lytics(box, path).json()["status"] == 404


def test_a_method_that_is_not_there_is_refused_in_the_envelope(box):
    reply = requests.delete(
        f"{box.lytics_url}/api/segment", headers={"Authorization": box.api_token}, timeout=30
    )
    assert (reply.status_code, reply.json()["status"]) == (405, 405)


def test_an_audience_by_slug_or_id(box):
    by_slug = lytics(box, "/api/segment/vip_customers").json()["data"]
    newer = lytics(box, f"/v2/segment/{by_slug['id']}").json()["data"]
    assert newer == {**by_slug, "emit_trigger": True, "schedule_exit": True}
    assert re.fullmatch("[0-9a-f]{32}", by_slug["id"])
    assert (by_slug["slug_name"], by_slug["name"], by_slug["table"]) == (
        "vip_customers",
        "VIP Customers",
        "user",
    )
    assert RECORDED_SEGMENT | {"description", "kind", "invalid", "save_hist"} <= set(by_slug)
    assert isinstance(by_slug["created_ms"], int)
    assert by_slug == lytics(box, "/api/segment", table="user").json()["data"][0]


def test_an_audience_tells_whether_it_sends_triggers(make_box):
    box = make_box([AudienceSpec("A", emit_trigger=False), AudienceSpec("B", schedule_exit=False)])
    shown = [lytics(box, f"/v2/segment/{name}").json()["data"] for name in "ab"]
    assert [(item["emit_trigger"], item["schedule_exit"]) for item in shown] == [(False, True), (True, False)]


def test_v2_tells_the_size_when_asked(box):
    assert "size" not in lytics(box, "/v2/segment/vip_customers").json()["data"]
    assert lytics(box, "/v2/segment/vip_customers", sizes="true").json()["data"]["size"] == 13


def test_the_list_of_audiences_can_be_limited_to_people_and_to_valid_ones(make_box):
    box = make_box(
        [
            AudienceSpec("People"),
            AudienceSpec("Pages", kind="content"),
            AudienceSpec("Broken", is_invalid=True),
        ]
    )

    def names(**query):
        return [item["name"] for item in lytics(box, "/api/segment", **query).json()["data"]]

    assert names() == ["People", "Pages", "Broken"]
    assert names(table="user") == ["People", "Broken"]
    assert names(table="user", valid="true") == ["People"]


def test_sizes_of_several_audiences(make_box):
    box = make_box([AudienceSpec("A", 3), AudienceSpec("B", 4), AudienceSpec("C", 5)])
    ids = {name: lytics(box, f"/api/segment/{name}").json()["data"]["id"] for name in "ab"}
    sizes = lytics(box, "/api/segment/sizes", ids=",".join(ids.values())).json()["data"]
    assert sizes == [
        {"id": ids["a"], "name": "A", "slug_name": "a", "size": 3},
        {"id": ids["b"], "name": "B", "slug_name": "b", "size": 4},
    ]


def test_the_size_of_one_audience(box):
    by_slug = lytics(box, "/api/segment/vip_customers").json()["data"]
    size = {name: by_slug[name] for name in ("id", "name", "slug_name")} | {"size": 13}
    for path in (f"/api/segment/{by_slug['id']}/sizes", "/api/segment/vip_customers/size"):
        assert lytics(box, path).json()["data"] == size


def test_sizes_over_time_are_those_of_today(make_box):
    box = make_box([AudienceSpec("A", 3), AudienceSpec("B", 4)])
    both = lytics(box, "/api/segment/attribution").json()["data"]
    assert [item["metrics"][0]["value"] for item in both] == [3, 4]
    assert set(both[0]["metrics"][0]) == {"value", "ts", "anomaly"}
    assert both[0]["metrics"][0]["ts"].isdecimal(), "milliseconds, as text"
    assert lytics(box, "/api/segment/attribution", ids=both[1]["id"]).json()["data"][0]["id"] == both[1]["id"]


@pytest.mark.parametrize("content_type", ["text/plain", "application/json"])
def test_a_filter_can_be_validated(box, content_type):
    def validated(text):
        body = text if content_type == "text/plain" else json.dumps(text)
        headers = {"Authorization": box.api_token, "Content-Type": content_type}
        url = f"{box.lytics_url}/api/segment/validate"
        return requests.post(url, data=body.encode(), headers=headers, timeout=30)

    good = validated("FILTER INCLUDE `vip_customers` FROM user")
    assert (good.status_code, good.json()) == (200, {"data": None, "status": 200, "message": "success"})
    bad = validated('FILTER email = "a\\"')
    assert (bad.status_code, bad.json()["data"], bad.json()["status"]) == (400, None, 400)
    assert bad.json()["message"].startswith("Failed parsing segment QL")


def test_the_size_of_a_filter_can_be_asked_once_in_ten_seconds(box):
    reply = lytics(box, "/api/segment/size", "FILTER INCLUDE vip_customers FROM user")
    assert reply.json()["data"] == {"size": 13}
    assert lytics(box, "/api/segment/size", "FILTER * FROM user").status_code == 429


def test_both_schema_calls_tell_the_same_fields(box):
    newer = lytics(box, "/v2/schema/user/field").json()["data"]
    older = lytics(box, "/api/schema/user").json()["data"]["columns"]
    assert {item["id"]: item["type"] for item in newer} == {item["as"]: item["type"] for item in older}
    assert {item["id"] for item in newer} == set(FIELDS)
    assert {"shortdesc", "longdesc", "is_identifier", "is_pii", "mergeop"} <= set(newer[0])
    assert set(older[0]) == RECORDED_COLUMN
    assert newer == lytics(box, "/v2/schema/user").json()["data"]["fields"]
    tables = lytics(box, "/api/schema").json()["data"]
    assert tables["user"]["columns"] == older
    assert {"name", "by_fields", "columns"} == set(tables["content"])


def test_every_account_has_the_documented_meta_fields_and_no_field_called_segments(box):
    fields = {item["id"]: item["type"] for item in lytics(box, "/v2/schema/user/field").json()["data"]}
    assert META_FIELDS.items() <= fields.items()
    assert "segments" not in fields


def test_field_info_counts_values(box):
    info = lytics(box, "/api/schema/user/fieldinfo", fields="country,email", limit=2).json()["data"]
    assert info["table"] == "user"
    country, email = info["fields"]
    assert (country["field"], email["field"]) == ("country", "email")
    assert country["ents_present"] + country["ents_absent"] == 13
    assert len(country["terms_counts"]) == 2
    assert (email["more_terms"], email["ents_present"]) == (True, 13)


ODD_VALUES = [
    "a@example.com", "o'brien@example.com", 'a"b', "ab\\", 'a\\"b', '"jörg"@example.com', "日本@example.com", "😀", "a b",
    "a/b", "a//b", "a?b#c", "100%", "a%2Fb", "..", ".", "a+b", "a&b=c", "line\nbreak", "tab\t", "\u2028", ";", "[x]", "{x}",
    "x" * 256,
]  # fmt: skip


@pytest.mark.parametrize("value", ODD_VALUES)
def test_a_profile_is_found_by_whatever_its_identifier_is(make_box, value):
    box = make_box([AudienceSpec("A", 2), AudienceSpec("B", 0)])
    box.world.fields["handle"] = ("string", "")
    id_ = box.world.enter("b", {"handle": value, "email": "a@example.com"})
    # As a client would that encodes everything: other clients take dots and slashes for their own.
    path = "".join(f"%{byte:02X}" for byte in value.encode())
    reply = raw_get(box, f"/api/entity/user/handle/{path}")
    assert reply.keys() == {"data", "meta", "status", "message"}
    assert (reply["message"], reply["data"]["_id"], reply["data"]["segments"]) == ("success", id_, ["b"])
    assert set(reply["meta"]) == {"format", "name", "by_fields"}


def raw_get(box, path):
    connection = http.client.HTTPConnection(box.lytics_url.removeprefix("http://"), timeout=30)
    connection.request("GET", path, headers={"Authorization": box.api_token})
    reply = connection.getresponse()
    assert reply.status == 200
    return json.loads(reply.read())


def test_a_profile_that_is_not_there_is_a_200_with_a_placeholder(box):
    reply = lytics(box, "/api/entity/user/email/nobody@example.com")
    assert (reply.status_code, reply.json()["status"], reply.json()["message"]) == (200, 200, "Not Found")
    assert reply.json()["data"] == {"segments": ["not_found", "all"]}
    assert lytics(box, "/api/entity/user/no_such_field/x").json()["message"] == "Not Found"
    box.fault("entity_times_out")
    id_ = next(iter(box.world.audience("vip_customers").members))
    late = lytics(box, f"/api/entity/user/_id/{id_}")
    assert (late.status_code, late.json()["message"]) == (200, "Timed out")
    assert late.json()["data"] == {"segments": ["not_found", "all"]}


def test_a_profile_is_looked_up_by_its_exact_identifier_with_the_fields_asked_for(box):
    id_ = box.world.enter("vip_customers", {"email": "Ada@example.com", "first_name": "Ada"})
    path = "/api/entity/user/email/Ada@example.com"
    assert lytics(box, path, fields="first_name").json()["data"] == {"first_name": "Ada"}
    assert lytics(box, "/api/entity/user/email/ada@example.com").json()["message"] == "Not Found"
    assert lytics(box, f"/api/entity/user/{id_}").json()["data"]["first_name"] == "Ada"
    box.world.leave("vip_customers", id_)
    box.fault("index_lag", 100)
    assert lytics(box, path).json()["data"]["segments"] == [], "what is looked up does not lag"


def test_an_identity_that_is_not_there_is_a_404(box):
    id_ = next(iter(box.world.audience("vip_customers").members))
    reply = lytics(box, f"/v2/identity/user/_id/{id_}")
    assert reply.json()["data"]["segments"] == ["vip_customers"]
    assert lytics(box, "/v2/identity/user/email/nobody@example.com").status_code == 404


def test_the_id_of_an_audience_can_be_a_path(box):
    box.fault("audience_id_path", "../../../escaped")
    shown = lytics(box, "/api/segment/vip_customers").json()["data"]
    assert shown["id"] == "../../../escaped"
    assert raw_get(box, "/api/segment/%2E%2E%2F%2E%2E%2F%2E%2E%2Fescaped")["data"] == shown
    assert lytics(box, "/api/segment/sizes", ids=shown["id"]).json()["data"][0]["size"] == 13


def test_the_account_has_fields_of_every_documented_type(box):
    kinds = {item["type"] for item in lytics(box, "/v2/schema/user/field").json()["data"]}
    scalars = {"string", "bool", "int", "number", "float", "date", "time", "datetime"}
    lists = {"[]string", "[]time", "ts[]string", "[]timebucket", "membership"}
    maps = {f"map[string]{item}" for item in ("int", "number", "string", "bool", "time", "value")}
    assert kinds == scalars | lists | maps | {"geolocation", "embedding", "dynamic", "flows"}


def test_a_field_can_be_added_to_the_schema(box):
    box.world.fields["audience_name"] = ("string", "A name that the tap uses itself")
    assert "audience_name" in {item["id"] for item in lytics(box, "/v2/schema/user/field").json()["data"]}


def test_a_body_over_10_mb_is_refused(box):
    reply = lytics(box, "/api/segment/scan", "x" * (10 * 1024 * 1024 + 1), table="user")
    assert (reply.status_code, reply.json()["status"]) == (413, 413)


def test_an_audience_that_is_removed_and_made_again_has_another_id(box):
    old = box.world.audience("vip_customers").id
    box.world.remove_audience("vip_customers")
    assert lytics(box, "/api/segment/vip_customers").status_code == 404
    assert box.world.add_audience(AudienceSpec("VIP Customers")).id != old


def test_an_audience_that_is_renamed_keeps_its_id(box):
    old = box.world.audience("vip_customers").id
    box.world.rename_audience("vip_customers", new_name="Very Important", new_slug="very_important")
    assert lytics(box, "/api/segment/vip_customers").status_code == 404
    assert lytics(box, "/api/segment/very_important").json()["data"]["id"] == old


@pytest.mark.parametrize(
    ("fault", "value", "status", "message"),
    [
        ("lytics_status", 503, 503, "Failed on purpose: /api/segment/vip_customers"),
        ("lytics_status", 401, 401, "Not authorized"),
        ("lytics_rate_limit", True, 429, "Too many requests"),
        ("lytics_timed_out", True, 200, "Timed out"),
        ("lytics_timed_out", "Not Found", 200, "Not Found"),
    ],
)
def test_a_fault_answers_in_the_envelope(box, fault, value, status, message):
    box.fault(fault, value)
    reply = lytics(box, "/api/segment/vip_customers")
    assert reply.status_code == status
    assert reply.json() == {"data": None, "status": status, "message": message}


def test_429_tells_when_to_come_back_or_not(box):
    box.fault("lytics_rate_limit")
    assert "Retry-After" not in lytics(box, "/api/segment").headers
    box.fault("lytics_rate_limit", 7)
    assert lytics(box, "/api/segment").headers["Retry-After"] == "7"


def test_lytics_answers_with_a_page_of_a_proxy(box):
    box.fault("lytics_garbage")
    assert lytics(box, "/api/segment").text.startswith("<html>")


def test_lytics_cuts_the_connection_within_the_answer(box):
    box.fault("lytics_cut")
    with pytest.raises(requests.exceptions.ChunkedEncodingError):
        lytics(box, "/api/segment")


def test_lytics_waits_before_it_answers(box):
    box.fault("lytics_slow", 5)
    with pytest.raises(requests.exceptions.ReadTimeout):
        requests.get(
            f"{box.lytics_url}/api/segment", headers={"Authorization": box.api_token}, timeout=(5, 0.05)
        )


def test_lytics_sends_its_answer_byte_by_byte(box):
    box.fault("lytics_drip", 0.02)
    started = time.monotonic()
    reply = lytics(box, "/api/segment/nobody")
    assert time.monotonic() - started > 0.02 * len(reply.content)
    assert reply.json()["message"] == "Could not find that segment"


def test_the_status_of_v1_can_be_text(box):
    box.fault("status_text")
    assert lytics(box, "/api/segment/vip_customers").json()["status"] == "success"
    assert lytics(box, "/api/segment/vip_customers/scan").json()["status"] == "success"
    assert lytics(box, "/v2/segment/vip_customers").json()["status"] == 200


def test_an_older_account_has_the_older_schema_call_alone(box):
    box.fault("old_schema_only")
    assert lytics(box, "/v2/schema/user/field").status_code == 404
    assert lytics(box, "/api/schema/user").json()["data"]["columns"]
    box.fault("old_schema_fields")
    assert lytics(box, "/api/schema/user").json()["data"]["fields"]


def test_sizes_can_be_missing(box):
    box.fault("sizes_missing")
    assert lytics(box, "/api/segment/sizes").json()["data"] == []
    assert "size" not in lytics(box, "/v2/segment/vip_customers", sizes="true").json()["data"]


RECORDED = {
    "/api/segment/vip_customers": {"aid", "account_id", "id", "short_id", "name", "is_public", "slug_name", "table", "author_id", "created", "tags"},
    "/api/segment/vip_customers/size": {"id", "name", "slug_name", "size"},
    "/api/schema/user": {"name", "by_fields", "columns"},
}  # fmt: skip
"""What the answers have, at least, that Lytics' own client keeps for its tests."""


@pytest.mark.parametrize("path", RECORDED)
def test_an_answer_has_what_recorded_ones_have(box, path):
    body = lytics(box, path).json()
    assert (body["status"], body["message"]) == (200, "success")
    assert RECORDED[path] <= set(body["data"])
    if "columns" in body["data"]:
        columns = {"as", "is_by", "type", "op", "shortdesc", "longdesc", "froms", "identities"}
        assert all(columns <= set(column) for column in body["data"]["columns"])


def test_a_page_of_a_scan_has_what_recorded_ones_have(box):
    body = lytics(box, "/api/segment/vip_customers/scan?limit=5").json()
    assert {"status", "message", "_next", "total", "data"} <= set(body)
    assert (body["total"], len(body["data"]), bool(body["_next"])) == (13, 5, True)
    assert {"email", "segments"} <= set(body["data"][0])


def test_audiences_may_say_no_more_than_recorded_ones(box):
    box.fault("audiences_bare")
    audience = lytics(box, "/api/segment/vip_customers").json()["data"]
    assert not {"kind", "description", "invalid", "segment_ql"} & set(audience)
    assert RECORDED["/api/segment/vip_customers"] <= set(audience)


def test_a_filter_with_some_value_may_be_refused_in_words_that_repeat_it(box):
    box.fault("filter_refused", "refused")
    good = lytics(box, "/api/segment/scan", 'FILTER AND (email IN ("a@example.com")) FROM user')
    assert good.status_code == 200, good.text
    bad = lytics(box, "/api/segment/scan", 'FILTER AND (email IN ("refused@example.com")) FROM user')
    assert bad.status_code == 400
    assert "near: refused@example.com" in bad.text
