"""Trigger messages land as files: in all documented shapes, and late, twice, lost, out of order and cut."""

import gzip
import json
import re

import pytest

from sandbox import AudienceSpec

TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z"


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "triggers"


@pytest.fixture
def box(make_box, folder):
    """A sandbox with 100 members, whose trigger messages land in a folder."""
    return make_box([AudienceSpec("VIP Customers", 100)], triggers_url=folder)


def landed(folder, since=()):
    """The messages in the files that are not among those before, in order of their names."""
    messages = []
    for path in sorted(set(folder.iterdir()) - set(since)):
        content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        if ".jsonl" in path.name:
            messages += [json.loads(line) for line in content.splitlines()]
        else:
            found = json.loads(content)
            messages += found if isinstance(found, list) else [found]
    return messages


def events(messages):
    return [(event["event"], message["data"].get("email")) for message in messages
            for event in message["data"]["segment_events"]]  # fmt: skip


def test_each_move_is_told_in_a_message(box, folder):
    done = box.advance("vip_customers", enter=2, leave=3, change=1, readdress=1)
    addresses = {kind: [box.world.profile(id_).get("email") for id_ in ids]
                 for kind, ids in done.items() if kind != "landed"}  # fmt: skip
    assert sorted(events(landed(folder)), key=str) == sorted(
        [("enter", address) for address in addresses["enter"]]
        + [("exit", address) for address in addresses["leave"]]
        + [("change", address) for address in addresses["change"] + addresses["readdress"]],
        key=str,
    )
    assert done["landed"] == sorted(path.name for path in folder.iterdir())
    assert len(done["landed"]) == 7


def test_the_default_shape(box, folder):
    (id_,) = box.advance("vip_customers", leave=1)["leave"]
    (message,) = landed(folder)
    assert set(message) == {"id", "data", "meta"}
    assert message["id"] == id_
    assert set(message["meta"]) == {"object", "subscription_id", "timestamp"}
    assert message["meta"]["object"] == "user"
    (event,) = message["data"]["segment_events"]
    audience = box.world.audience("vip_customers")
    assert event | {"exit": None} == {
        "id": audience.id, "event": "exit", "slug": "vip_customers", "exit": None,
    }  # fmt: skip
    assert re.fullmatch(TIME, event["exit"])
    assert re.fullmatch(TIME, message["meta"]["timestamp"])


def test_a_message_holds_the_fields_of_the_profile(box, folder):
    id_ = box.world.enter("vip_customers", {"email": "ada@example.com", "visit_count": 3, "_split": 1})
    box.land_triggers()
    data = landed(folder)[0]["data"]
    del data["segment_events"]
    assert data == {"email": "ada@example.com", "visit_count": 3, "segments": ["vip_customers"]}
    box.world.change(id_, visit_count=4)
    before = list(folder.iterdir())
    box.land_triggers()
    assert landed(folder, before)[0]["data"]["visit_count"] == 4


def test_the_cloudevents_shape(box, folder):
    box.advance("vip_customers", enter=1, shape="cloudevents")
    (message,) = landed(folder)
    assert set(message) == {"specversion", "id", "source", "type", "time", "data"}
    assert (message["specversion"], message["type"]) == ("1.0", "com.lytics.audience.user.event")
    assert re.fullmatch(TIME, message["time"])
    assert message["data"]["segment_events"][0]["event"] == "enter"


def test_the_older_shape_has_no_id_and_both_times(box, folder):
    box.advance("vip_customers", enter=1, leave=1, shape="older")
    enter, exit_ = landed(folder)
    assert set(enter) == set(exit_) == {"data", "meta"}
    (entered,), (left,) = enter["data"]["segment_events"], exit_["data"]["segment_events"]
    assert (entered["event"], entered["exit"][:4]) == ("enter", "2099")
    assert left["event"] == "exit"
    assert re.fullmatch(TIME, left["enter"])
    assert re.fullmatch(TIME, left["exit"])


def test_a_change_has_no_time_of_its_own(box, folder):
    box.advance("vip_customers", change=1)
    (event,) = landed(folder)[0]["data"]["segment_events"]
    assert set(event) == {"id", "event", "slug"}


def test_one_message_tells_of_several_audiences(make_box, folder):
    box = make_box([AudienceSpec("A", 1), AudienceSpec("B", 0)], triggers_url=str(folder))
    first = next(iter(box.world.audience("a").members))
    box.world.leave("a", first)
    box.world.reenter("b", first)
    box.world.leave("b", first)
    box.land_triggers()
    one, another = landed(folder)
    assert [(event["event"], event["slug"]) for event in one["data"]["segment_events"]] == [
        ("exit", "a"), ("enter", "b"),
    ]  # fmt: skip
    assert [(event["event"], event["slug"]) for event in another["data"]["segment_events"]] == [("exit", "b")]


def test_messages_come_as_arrays_as_json_lines_and_compressed(box, folder):
    def files(**options):
        before = set(folder.iterdir())
        box.advance("vip_customers", leave=5, **options)
        new = sorted(set(folder.iterdir()) - before)
        assert len(events(landed(folder, before))) == 5
        return [path.name.partition("-")[2].partition(".")[2] for path in new], new

    assert files()[0] == ["json"] * 5
    names, paths = files(batch=3)
    assert names == ["json"] * 2
    assert [len(json.loads(path.read_text(encoding="utf-8"))) for path in paths] == [3, 2]
    assert files(batch=3, lines=True)[0] == ["jsonl"] * 2
    assert files(batch=1000, lines=True, compress=True)[0] == ["jsonl.gz"]
    assert files(batch=1000, compress=True)[0] == ["json.gz"]
    assert files(batch=1000, shape="cloudevents")[0] == ["json"]


def test_a_batch_of_one_is_still_an_array(box, folder):
    box.advance("vip_customers", leave=1, batch=10)
    (path,) = folder.iterdir()
    assert isinstance(json.loads(path.read_text(encoding="utf-8")), list)


def test_files_get_their_names_when_they_are_whole_and_never_the_same_twice(box, folder):
    names = [name for _ in range(3) for name in box.advance("vip_customers", enter=2)["landed"]]
    assert len(set(names)) == 6
    assert sorted(path.name for path in folder.iterdir()) == sorted(names), "no part is left behind"


def test_without_a_move_nothing_lands(box, folder):
    assert box.advance("vip_customers")["landed"] == []
    assert list(folder.iterdir()) == []


def test_without_a_folder_nothing_lands(make_box):
    assert make_box().advance("vip_customers", leave=1)["landed"] == []


def test_a_message_is_late_and_lands_with_the_next(box, folder):
    box.fault("trigger_late", path="exit vip_customers", once=True)
    box.advance("vip_customers", leave=2)
    assert len(landed(folder)) == 1
    before = list(folder.iterdir())
    box.advance("vip_customers")
    assert [kind for kind, _ in events(landed(folder, before))] == ["exit"]


def test_a_message_lands_twice_or_never(box, folder):
    box.fault("trigger_twice", nth=2)
    box.fault("trigger_lost", nth=3)
    box.advance("vip_customers", enter=3)
    found = landed(folder)
    assert len(found) == 3
    assert found[1] == found[2]


def test_messages_land_out_of_order(box, folder):
    def order():
        before = list(folder.iterdir())
        done = box.advance("vip_customers", leave=20)["leave"]
        return [done.index(message["id"]) for message in landed(folder, before)]

    assert order() == list(range(20))
    box.fault("trigger_shuffled")
    shuffled = order()
    assert shuffled != sorted(shuffled)
    assert sorted(shuffled) == list(range(20))


@pytest.mark.parametrize("compress", [False, True])
def test_the_last_line_of_a_file_is_cut_and_completed_when_more_lands(box, folder, compress):
    def lines():
        content = path.read_bytes()
        return (gzip.decompress(content) if compress else content).decode().splitlines()

    box.fault("trigger_cut", once=True)
    (name,) = box.advance("vip_customers", leave=3, batch=10, lines=True, compress=compress)["landed"]
    path = folder / name
    *whole, cut = lines()
    assert [json.loads(line)["data"] for line in whole]
    with pytest.raises(json.JSONDecodeError):
        json.loads(cut)
    box.advance("vip_customers")
    assert len([json.loads(line) for line in lines()]) == 3
    assert lines()[2].startswith(cut)


def test_of_a_merge_the_profile_that_stays_is_told(box, folder):
    (stays,) = box.advance("vip_customers", merge=1)["merge"]
    (message,) = landed(folder)
    assert message["id"] == stays
    assert [event["event"] for event in message["data"]["segment_events"]] == ["change"]


def test_an_audience_that_emits_no_trigger_sends_no_message(make_box, folder):
    box = make_box(
        [AudienceSpec("Silent", 10, emit_trigger=False), AudienceSpec("Loud", 10)], triggers_url=folder
    )
    box.advance("silent", enter=2, leave=2)
    assert landed(folder) == []
    box.advance("loud", enter=1)
    assert [event for event, _ in events(landed(folder))] == ["enter"]
