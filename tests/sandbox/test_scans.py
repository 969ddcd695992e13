"""Scans as the sandbox acts them out: pages, slices, filters, and all that nobody knows about them."""

import pytest

from sandbox import AudienceSpec
from sandbox.people import FIELDS
from tests.sandbox.calls import find, lytics, pages, scan


@pytest.fixture
def large(make_box):
    """A sandbox with 2,500 members."""
    return make_box([AudienceSpec("VIP Customers", 2500)])


def ids(rows):
    return [row["_id"] for row in rows]


def members(box):
    return list(box.world.audience("vip_customers").members)


def test_a_scan_looks_like_the_documented_one(make_box):
    box = make_box(shape="recorded")
    first, second, third = pages(box, limit=5, fields="email,score_intensity,segments")
    assert set(first) == {"status", "message", "_next", "total", "data"}
    assert (first["status"], first["message"], first["total"]) == (200, "success", 13)
    assert [len(page["data"]) for page in (first, second, third)] == [5, 5, 3]
    assert first["_next"] not in ("", second["_next"])
    assert third["_next"] == ""
    assert second["total"] == third["total"] == 13
    assert set(first["data"][0]) == {"email", "score_intensity", "segments"}
    assert first["data"][0]["email"] == "email1@email.com"
    assert first["data"][0]["segments"] == ["vip_customers"]


def test_a_scan_gives_each_member_once(large):
    assert sorted(ids(scan(large, fields="_id"))) == sorted(members(large))


def test_a_page_has_20_rows_unless_asked_for_others_and_at_most_100(large):
    assert len(lytics(large, "/api/segment/vip_customers/scan").json()["data"]) == 20
    assert len(lytics(large, "/api/segment/vip_customers/scan", limit=3).json()["data"]) == 3
    assert len(lytics(large, "/api/segment/vip_customers/scan", limit=500).json()["data"]) == 100


def test_a_limit_over_100_can_be_refused_or_served(large):
    large.fault("limit_over_100", "refused")
    assert lytics(large, "/api/segment/vip_customers/scan", limit=500).status_code == 400
    large.fault("limit_over_100", "served")
    assert len(lytics(large, "/api/segment/vip_customers/scan", limit=500).json()["data"]) == 500


@pytest.mark.parametrize(
    "query",
    [
        {"limit": "many"},
        {"limit": 0},
        {"splits": "1,x"},
        {"splits": "100"},
        {"start": "nonsense"},
        {"sort": "x"},
    ],
)
def test_a_scan_refuses_what_it_does_not_know(box, query):
    reply = lytics(box, "/api/segment/vip_customers/scan", **query)
    assert reply.status_code == 400
    assert reply.json()["data"] is None
    assert reply.json()["message"]


def test_only_the_fields_asked_for_are_in_rows(large):
    rows = scan(large, fields="email,first_name,nothing")
    assert len(rows) == 2500
    assert all(set(row) <= {"email", "first_name"} for row in rows)
    assert {name for row in rows for name in row} == {"email", "first_name"}


def test_all_fields_are_in_rows_if_none_is_asked_for(large):
    assert set().union(*scan(large)) == (set(FIELDS) | {"segments"}) - {"_segs"}


def test_rows_say_what_the_profiles_say(large):
    by_id = {row["_id"]: row for row in scan(large)}
    assert len(by_id) == len(members(large)) == 2500
    for id_ in members(large):
        profile = {
            **large.world.profile(id_),
            "segments": ["vip_customers"],
            "_segments": ["vip_customers"],
        }
        if profile["_split"] % 5:
            assert by_id[id_] == profile
        else:
            assert by_id[id_]["visit_count"] == str(profile["visit_count"])
            assert (
                by_id[id_].get("is_customer")
                == {None: None, True: "t", False: "f"}[profile.get("is_customer")]
            )
            assert by_id[id_]["first_name"] == profile["first_name"]


def test_a_changed_profile_is_served_as_it_is_now(large):
    first = members(large)[0]
    large.world.change(first, first_name="Other", city=None)
    row = scan(large)[0]
    assert (row["_id"], row["first_name"]) == (first, "Other")
    assert "city" not in row


def test_a_row_names_all_audiences_of_its_profile(make_box):
    box = make_box([AudienceSpec("A", 2), AudienceSpec("B", 2)])
    first = next(iter(box.world.audience("a").members))
    box.world.reenter("b", first)
    assert scan(box, "a", fields="segments")[0] == {"segments": ["a", "b"]}


def test_slices_are_disjoint_and_together_the_whole(large):
    slices = [
        scan(large, splits=",".join(map(str, range(n, n + 25))), fields="_id,_split") for n in (0, 25, 50, 75)
    ]
    for number, rows in enumerate(slices):
        assert rows
        assert all(int(row["_split"]) // 25 == number for row in rows)
    assert sorted(ids(row for part in slices for row in part)) == sorted(members(large))


def test_every_page_of_a_slice_tells_the_total_of_the_audience(large):
    assert {page["total"] for page in pages(large, splits="1,2,3,4,5,6")} == {2500}


def test_old_style_numbers_and_booleans_are_text_for_all_on_demand(large):
    large.fault("old_style_values")
    rows = scan(large)
    assert len(rows) == 2500
    assert {row.get("is_customer") for row in rows} == {None, "t", "f"}
    assert any(row.get("visits_by_channel") for row in rows)
    for row in rows:
        assert isinstance(row["visit_count"], str)
        assert all(isinstance(count, str) for count in row.get("visits_by_channel", {}).values())


def test_a_content_audience_and_an_invalid_one_cannot_be_scanned(make_box):
    box = make_box([AudienceSpec("Pages", kind="content"), AudienceSpec("Broken")])
    box.world.invalidate_audience("broken")
    assert lytics(box, "/api/segment/pages/scan").status_code == 400
    assert lytics(box, "/api/segment/broken/scan").status_code == 400
    assert lytics(box, "/api/segment/nobody/scan").status_code == 404


def test_a_cursor_expires_after_some_pages(large):
    large.fault("cursor_expires", 2)
    path, cursor = "/api/segment/vip_customers/scan", ""
    for _ in range(2):
        cursor = lytics(large, path, limit=10, start=cursor).json()["_next"]
    reply = lytics(large, path, limit=10, start=cursor)
    assert (reply.status_code, reply.json()["message"]) == (400, "the scan cursor has expired")


@pytest.mark.parametrize("status", [400, 404, 410])
def test_an_expired_cursor_is_answered_with_any_of_these(large, status):
    large.fault("cursor_expires")
    large.fault("expired_cursor", status)
    cursor = lytics(large, "/api/segment/vip_customers/scan").json()["_next"]
    assert lytics(large, "/api/segment/vip_customers/scan", start=cursor).status_code == status


def test_an_expired_cursor_can_start_at_page_one_without_a_word(large):
    large.fault("cursor_expires", once=True)
    large.fault("expired_cursor", "restart")
    first, again, second, *_ = pages(large, fields="_id")
    assert again["data"] == first["data"]
    assert second["data"] != first["data"]


def test_a_scan_can_miss_and_repeat_rows(large):
    large.fault("rows_missed", 10)
    assert len(scan(large)) == 2250
    large.clear_faults()
    large.fault("rows_repeated", 10)
    rows = ids(scan(large))
    assert (len(rows), len(set(rows))) == (2750, 2500)


def test_a_scan_can_be_short(large):
    large.fault("short_scan", 0.5)
    found = pages(large)
    assert sum(len(page["data"]) for page in found) == 1250
    assert found[-1]["total"] == 2500


def test_the_order_of_rows_stays_or_changes_with_every_move(large):
    before = ids(scan(large))
    large.world.enter("vip_customers")
    assert ids(scan(large))[:-1] == before
    large.fault("rows_reordered")
    shuffled = ids(scan(large))
    assert shuffled[: len(before)] != before
    assert sorted(shuffled) == sorted(members(large))
    large.world.enter("vip_customers")
    assert ids(scan(large))[: len(before)] != shuffled[: len(before)]


def test_somebody_who_leaves_while_a_scan_goes_on_makes_it_miss_another(large):
    before = members(large)
    large.fault("scan_shifts", nth=1)
    found = pages(large)
    seen = ids([row for page in found for row in page["data"]])
    assert set(before) - set(seen) == {before[100]}
    assert (before[0] in seen, before[0] in members(large)) == (True, False)
    assert [page["total"] for page in found[:3]] == [2500, 2499, 2499]


def test_splits_can_be_ignored_or_overlap(large):
    large.fault("splits_ignored")
    assert len(scan(large, splits="3")) == 2500
    large.clear_faults()
    large.fault("splits_overlap")
    assert {int(row["_split"]) for row in scan(large, splits="3", fields="_split")} == {3, 4}


def test_system_fields_come_unasked_or_not_at_all(large):
    system = {"_id", "_created", "_modified", "_split"}
    large.fault("system_fields", "unasked")
    rows = scan(large, fields="email")
    assert len(rows) == 2500
    assert all(system <= set(row) for row in rows)
    large.fault("system_fields", "absent")
    for rows in (scan(large, fields="email,_id,_split"), scan(large)):
        assert len(rows) == 2500
        assert not any(system & set(row) for row in rows)


@pytest.fixture
def known(make_box):
    """A sandbox with some known members, and one who is not a member."""
    box = make_box([AudienceSpec("VIP Customers", 0)])
    box.world.enter(
        "vip_customers", {"_id": "ada", "email": "ada@example.com", "visit_count": 5, "is_customer": True}
    )
    box.world.enter(
        "vip_customers",
        {"_id": "bob", "email": "Bob@example.com", "visit_count": 12, "interests": ["jazz", "chess"]},
    )
    box.world.enter("vip_customers", {"_id": "cyd", "email": 'c"y.d@example.com', "city": "Zürich"})
    box.world.enter("vip_customers", {"_id": "gone", "email": "gone@example.com"})
    box.world.leave("vip_customers", "gone")
    return box


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ("*", ["ada", "bob", "cyd", "gone"]),
        ("INCLUDE vip_customers", ["ada", "bob", "cyd"]),
        ("NOT INCLUDE vip_customers", ["gone"]),
        ('AND (INCLUDE vip_customers, email IN ("ada@example.com", "gone@example.com"))', ["ada"]),
        ('email IN ("ada@example.com", "gone@example.com")', ["ada", "gone"]),
        ('OR (email = "ada@example.com", visit_count > 10)', ["ada", "bob"]),
        ('email IN ("bob@example.com")', []),
        ('email = "c""y.d@example.com"', ["cyd"]),
        ('email != "ada@example.com"', ["bob", "cyd", "gone"]),
        ("visit_count >= 5", ["ada", "bob"]),
        ("visit_count < 12", ["ada"]),
        ("visit_count <= 12", ["ada", "bob"]),
        ("visit_count BETWEEN 6 AND 20", ["bob"]),
        ('city CONTAINS "ür"', ["cyd"]),
        ('email LIKE "ada*"', ["ada"]),
        ('interests INTERSECTS ("chess", "books")', ["bob"]),
        ("EXISTS city", ["cyd"]),
        ("is_customer = true", ["ada"]),
        ('_id IN ("ada", "nobody")', ["ada"]),
        ('AND (INCLUDE vip_customers, _modified >= "2026-01-01T00:00:00Z")', ["ada", "bob", "cyd"]),
        ('NOT email IN ("ada@example.com")', ["bob", "cyd", "gone"]),
    ],
)
def test_a_filter_finds_whom_it_describes(known, condition, expected):
    assert sorted(ids(find(known, f"FILTER {condition} FROM user"))) == expected


def test_made_people_are_found_by_address_like_others(large):
    everybody = scan(large, fields="_id,email")
    assert len(everybody) == 2500
    for first in range(0, 2500, 100):
        asked = {row["email"] for row in everybody[first : first + 50] if "email" in row}
        values = ", ".join(f'"{address}"' for address in asked)
        rows = find(large, f"FILTER email IN ({values}) FROM user", fields="_id")
        assert len(rows) >= len(asked) > 40
        assert sorted(ids(rows)) == sorted(ids(row for row in everybody if row.get("email") in asked))


def test_somebody_who_changed_their_address_is_found_by_the_new_one_alone(large):
    id_ = members(large)[0]
    large.world.change(id_, email="new@example.com")
    assert ids(find(large, 'FILTER email = "new@example.com" FROM user')) == [id_]
    assert find(large, 'FILTER email = "person.0@example.com" FROM user') == []


def test_an_ad_hoc_scan_has_pages_too(large):
    query = {"table": "user", "limit": 100, "fields": "_id"}
    filter_text = "FILTER INCLUDE vip_customers FROM user"
    first = lytics(large, "/api/segment/scan", filter_text, **query).json()
    assert (len(first["data"]), first["total"]) == (100, 2500)
    second = lytics(large, "/api/segment/scan", filter_text, **query, start=first["_next"]).json()
    assert not set(ids(first["data"])) & set(ids(second["data"]))


@pytest.mark.parametrize(
    ("filter_text", "why"),
    [
        ("", "Failed parsing segment QL"),
        ("FILTER", "Failed parsing segment QL"),
        ("SELECT *", "Failed parsing segment QL"),
        ("FILTER email IN (", "Failed parsing segment QL"),
        ('FILTER email = "a', "Failed parsing segment QL"),
        ("FILTER INCLUDE nobody", "Could not find segment"),
        ("FILTER * FROM", "Failed parsing segment QL"),
    ],
)
def test_a_filter_that_cannot_be_read_is_a_400_that_says_why(box, filter_text, why):
    reply = lytics(box, "/api/segment/scan", filter_text, table="user")
    assert reply.status_code == 400
    assert reply.json()["data"] is None
    assert why in reply.text


def test_an_ad_hoc_scan_is_of_people_unless_it_says_otherwise(box):
    assert lytics(box, "/api/segment/scan", "FILTER *").json()["total"] == 13
    assert lytics(box, "/api/segment/scan", "FILTER *", table="user").json()["total"] == 13
    assert lytics(box, "/api/segment/scan", "FILTER *", table="content").json()["total"] == 0


def test_an_audience_can_be_scanned_by_a_parameter(box):
    by_path = lytics(box, "/api/segment/vip_customers/scan", fields="_id").json()
    assert len(by_path["data"]) == 13
    for name in ("vip_customers", box.world.audience("vip_customers").id):
        assert lytics(box, "/api/segment/scan", id=name, fields="_id").json() == by_path
    assert lytics(box, "/api/segment/scan", id="nobody").status_code == 404


def test_rows_can_be_sorted(large):
    def values(**query):
        return [row.get("city") for row in scan(large, fields="city", **query)]

    rising, falling = values(sortfield="city"), values(sortfield="city", sortorder="desc")
    known = [city for city in rising if city is not None]
    assert len(known) > 1000
    assert known == sorted(known)
    assert [city for city in falling if city is not None] == known[::-1]
    assert rising[-1] is None
    assert falling[-1] is None
    assert len(rising) == len(falling) == 2500
    numbers = [int(row["visit_count"]) for row in scan(large, fields="visit_count", sortfield="visit_count")]
    assert numbers == sorted(numbers)
    query = {"fields": "_split", "sortfield": "_split", "sortorder": "desc"}
    asked = lytics(large, "/api/segment/scan", "FILTER INCLUDE vip_customers FROM user", **query).json()
    assert {row["_split"] for row in asked["data"]} == {99}
    assert lytics(large, "/api/segment/vip_customers/scan", sortorder="up").status_code == 400


def test_an_empty_page_says_null_or_an_empty_list(make_box):
    box = make_box([AudienceSpec("Empty", 0), AudienceSpec("Full", 3)])
    assert lytics(box, "/api/segment/empty/scan").json()["data"] == []
    box.fault("null_data")
    empty = lytics(box, "/api/segment/empty/scan").json()
    assert empty == {"data": None, "status": 200, "message": "success", "_next": "", "total": 0}
    assert lytics(box, "/api/segment/scan", 'FILTER email = "x"').json()["data"] is None
    assert len(lytics(box, "/api/segment/full/scan").json()["data"]) == 3


def test_a_scan_can_end_with_a_page_without_rows(large):
    large.fault("empty_last_page")
    found = pages(large, fields="_id")
    assert [len(page["data"]) for page in found] == [100] * 25 + [0]
    large.fault("null_data")
    assert pages(large, fields="_id")[-1]["data"] is None
    assert lytics(large, "/api/segment/scan", 'FILTER email = "x"').json()["_next"] == ""


def test_the_total_of_a_scan_can_stop_at_a_number(large):
    assert pages(large)[0]["total"] == 2500
    large.fault("total_capped", 1000)
    found = pages(large, fields="_id")
    assert {page["total"] for page in found} == {1000}
    assert sum(len(page["data"]) for page in found) == 2500
    assert lytics(large, "/api/segment/vip_customers/sizes").json()["data"]["size"] == 2500


def test_rows_can_lack_the_audiences_of_a_profile(box):
    row = scan(box, fields="segments,_segments")[0]
    assert row == {"segments": ["vip_customers"], "_segments": ["vip_customers"]}
    box.fault("segments_absent")
    assert scan(box, fields="segments,_segments")[0] == {}
    assert not {"segments", "_segments"} & set().union(*scan(box))


def test_rows_can_tell_when_a_profile_entered(box):
    id_ = box.world.enter("vip_customers", {"email": "new@example.com"})
    assert scan(box, fields="_segs")[0] == {}
    box.fault("segs_shown")
    first, *_, last = scan(box, fields="_id,_segs")
    audience = box.world.audience("vip_customers").id
    assert first["_segs"] == {audience: {"enter": "2024-01-01T00:00:00Z"}}
    assert last["_id"] == id_
    assert last["_segs"][audience]["enter"] > first["_segs"][audience]["enter"]


def test_filters_can_compare_without_regard_to_case(known):
    known.fault("filter_ignores_case")
    assert ids(find(known, 'FILTER email IN ("BOB@EXAMPLE.com") FROM user')) == ["bob"]


def test_ad_hoc_scans_can_be_blind(known):
    known.fault("filter_blind")
    assert find(known, "FILTER INCLUDE vip_customers FROM user") == []


def test_the_index_lags_behind_moves_for_as_many_calls_as_told(known):
    def found():
        return ids(find(known, "FILTER INCLUDE vip_customers FROM user"))

    known.fault("index_lag", 2)
    assert (found(), found()) == ([], []), "they have only just come in"
    known.world.leave("vip_customers", "ada")
    known.world.reenter("vip_customers", "gone")
    for _ in range(2):
        assert found() == ["ada", "bob", "cyd"]
    assert found() == ["bob", "cyd", "gone"]


def test_a_scan_does_not_lag(known):
    known.fault("index_lag", 100)
    known.world.leave("vip_customers", "ada")
    assert "ada" not in ids(scan(known))


def test_leaving_changes_modified_or_not(known):
    before = known.world.profile("ada")["_modified"]
    known.world.leave("vip_customers", "ada")
    assert known.world.profile("ada")["_modified"] == before
    known.fault("leaving_modifies")
    before = known.world.profile("bob")["_modified"]
    known.world.leave("vip_customers", "bob")
    assert known.world.profile("bob")["_modified"] != before
