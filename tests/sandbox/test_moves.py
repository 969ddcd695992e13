"""People enter, leave, come back, change, merge and move; the same seed gives the same people and the same moves."""

import pytest

from sandbox import AudienceSpec
from sandbox.people import FIELDS, People, member_key
from tests.sandbox.calls import control, scan


def world_of(box):
    members = box.world.audience("vip_customers").members
    return {id_: box.world.profile(id_) for id_ in members}


@pytest.fixture
def large(make_box):
    """A sandbox with 1,000 members."""
    return make_box([AudienceSpec("VIP Customers", 1000)])


def test_the_same_seed_makes_the_same_people(make_box):
    first, again, other = (make_box([AudienceSpec("A", 300)], seed=seed) for seed in (5, 5, 6))
    assert scan(first, "a") == scan(again, "a")
    assert scan(first, "a") != scan(other, "a")
    assert first.world.audience("a").id == again.world.audience("a").id


def test_people_are_as_real_ones_are():
    people = [People(7).person(number) for number in range(3000)]
    names = {person["last_name"] for person in people} | {person["first_name"] for person in people}
    assert any("\n" in name for name in names)
    assert any("\r\n" in name for name in names)
    assert any('"' in name for name in names)
    assert any("," in name for name in names)
    assert any("'" in name for name in names)
    assert any(not name.isascii() for name in names)
    addresses = [person.get("email") for person in people]
    keys = [member_key(address) for address in addresses]
    assert None in keys, "some have no address"
    assert len(set(keys)) < len(keys) - keys.count(None), "some share one"
    assert any(address and address != address.lower() for address in addresses)
    assert any(address and address != address.strip() for address in addresses)
    assert {name for person in people for name in person} == set(FIELDS) - {"_segments", "_segs"}
    assert any(name not in person for name in FIELDS for person in people), "fields are sparse"
    assert {type(person["visits_by_channel"]) for person in people if "visits_by_channel" in person} == {dict}
    assert any("sizes" in person.get("preferences", {}) for person in people), "values are nested"


def test_no_two_people_have_the_same_fields():
    people = People(7)
    kept = {tuple(sorted((k, repr(v)) for k, v in people.person(n).items() if k not in {"_id", "_split", "email"}))
            for n in range(6000)}  # fmt: skip
    assert len(kept) == 6000


def test_a_profile_that_was_given_out_can_be_changed_without_harm(box):
    first = next(iter(world_of(box)))
    box.world.profile(first).clear()
    assert box.world.profile(first)["_id"] == first


def test_people_enter_and_leave(large):
    before = world_of(large)
    done = large.world.advance("vip_customers", enter=5, leave=7)
    after = world_of(large)
    assert (len(done["enter"]), len(done["leave"])) == (5, 7)
    assert set(after) == set(before) - set(done["leave"]) | set(done["enter"])


def test_people_who_left_come_back(large):
    left = large.world.advance("vip_customers", leave=7)["leave"]
    done = large.world.advance("vip_customers", return_=5)
    assert set(done["return"]) < set(left)
    assert len(done["return"]) == 5
    assert set(done["return"]) < set(world_of(large))
    assert len(large.world.advance("vip_customers", return_=5)["return"]) == 2, "no more have left"


def test_fields_and_addresses_change(large):
    before = world_of(large)
    done = large.world.advance("vip_customers", change=3, readdress=2)
    after = world_of(large)
    assert set(before) == set(after)
    changed = {id_ for id_ in after if after[id_] != before[id_]}
    assert changed == {*done["change"], *done["readdress"]}
    for id_ in done["change"]:
        assert after[id_]["visit_count"] == before[id_]["visit_count"] + 1
    for id_ in done["readdress"]:
        assert after[id_]["email"] != before[id_].get("email")


def test_two_profiles_become_one(large):
    before = world_of(large)
    done = large.world.advance("vip_customers", merge=2)
    after = world_of(large)
    assert len(after) == len(before) - 2
    assert set(done["merge"]) < set(after)
    (gone, _) = set(before) - set(after)
    with pytest.raises(KeyError):
        large.world.profile(gone)


def test_a_merge_hands_memberships_and_missing_fields_over(make_box):
    box = make_box([AudienceSpec("A", 0), AudienceSpec("B", 0)])
    box.world.enter("a", {"_id": "one", "email": "one@example.com"})
    box.world.enter("b", {"_id": "two", "email": "two@example.com", "city": "Oslo"})
    box.world.merge("one", "two")
    assert list(box.world.audience("a").members) == list(box.world.audience("b").members) == ["one"]
    assert (box.world.profile("one")["email"], box.world.profile("one")["city"]) == (
        "one@example.com",
        "Oslo",
    )


def test_the_same_seed_makes_the_same_moves(make_box):
    def moves():
        box = make_box([AudienceSpec("A", 200)], seed=3)
        counts = {"enter": 3, "leave": 4, "change": 5, "merge": 2, "readdress": 2}
        return [box.world.advance("a", **counts, return_=2) for _ in range(3)]

    assert moves() == moves()


def test_more_moves_than_members_move_all(box):
    assert len(box.world.advance("vip_customers", leave=50)["leave"]) == 13
    assert scan(box) == []


def test_the_members_by_key_are_those_of_the_scan(large):
    large.world.advance("vip_customers", enter=3, leave=3, change=3, merge=3, readdress=3)
    by_key = {}
    for row in scan(large, fields="_id,email"):
        by_key.setdefault(member_key(row.get("email")), set()).add(row["_id"])
    without = by_key.pop(None)
    assert {key: set(ids) for key, ids in large.world.keys("vip_customers").items()} == by_key
    assert large.world.profiles_without_identifier("vip_customers") == len(without)
    assert {key: len(profiles) for key, profiles in large.world.members("vip_customers").items()} == {
        key: len(ids) for key, ids in by_key.items()
    }


def test_time_passes_over_http(box):
    moves = {"audience": "VIP Customers", "enter": 2, "leave": 1}
    assert control(box, "POST", "advance", moves).json() == {
        "enter": 2, "leave": 1, "return": 0, "change": 0, "readdress": 0, "merge": 0, "landed": 0,
    }  # fmt: skip
    assert control(box, "POST", "advance", {"audience": "vip_customers", "return": 1}).json()["return"] == 1
    assert control(box, "GET", "audiences").json() == [
        {"name": "VIP Customers", "slug": "vip_customers", "kind": "user", "members": 15}
    ]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"audience": "nobody"}, "There is no audience nobody."),
        ({"audience": "vip_customers", "vanish": 1}, "vanish"),
        ({"audience": "vip_customers", "shape": "round"}, "A shape is one of default, cloudevents, older"),
    ],
)
def test_a_move_that_cannot_be_is_refused(make_box, tmp_path, body, words):
    box = make_box(triggers_url=tmp_path / "triggers")
    reply = control(box, "POST", "advance", body)
    assert reply.status_code == 400
    assert words in reply.json()["error"]


def test_somebody_can_be_put_into_an_audience_by_hand(box):
    id_ = box.world.enter("vip_customers", {"email": "Ada@Example.com", "visit_count": 3})
    row = next(row for row in scan(box) if row["_id"] == id_)
    assert row["email"] == "Ada@Example.com"
    assert {"_created", "_modified", "_split"} < set(row)
    box.world.leave("vip_customers", id_)
    box.world.reenter("vip_customers", id_)
    assert id_ in box.world.audience("vip_customers").members
    with pytest.raises(KeyError):
        box.world.reenter("vip_customers", "nobody")
