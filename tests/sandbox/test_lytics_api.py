"""Lytics as the sandbox acts it out: the shapes, statuses and words of its documented replies."""

import re

import pytest
import requests

from sandbox import AudienceSpec
from sandbox.people import FIELDS
from tests.sandbox.calls import lytics

V1 = ["/api/segment", "/api/segment/vip_customers", "/api/segment/sizes", "/api/schema/user"]
V2 = ["/v2/segment", "/v2/segment/vip_customers", "/v2/schema/user/field"]


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
    assert by_slug == lytics(box, f"/v2/segment/{by_slug['id']}").json()["data"]
    assert re.fullmatch("[0-9a-f]{32}", by_slug["id"])
    assert (by_slug["slug_name"], by_slug["name"], by_slug["table"]) == (
        "vip_customers",
        "VIP Customers",
        "user",
    )
    assert {"description", "kind", "is_public", "segment_ql", "created", "updated", "tags", "invalid"} <= set(
        by_slug
    )


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
    assert {"is_by", "shortdesc", "longdesc"} <= set(older[0])


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
        ("lytics_status", 503, 503, "The service failed on purpose"),
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
