"""What was delivered without being acknowledged is in doubt, and the next run settles it."""

from __future__ import annotations

import io
import itertools
import json

import pytest

from sandbox import AudienceSpec
from tap_lytics_audience.members import changes
from tests.tap.running import AUDIENCE, STREAM, audience_id, bookmark, key_of, ledger_files, run, somebody


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch):
    monkeypatch.setattr(changes, "BLOCK_ROWS", 5)


@pytest.fixture
def box(make_box):
    return make_box([AudienceSpec("VIP Customers", 40)])


def config(box, **settings):
    return box.tap_config(page_size=3, **settings)


class Killed(BaseException):
    """The tap is gone at once: nothing that it would do after this happens."""


class Output(io.RawIOBase):
    """Standard output of a tap that is killed after some messages."""

    def __init__(self, messages):
        self.left = messages
        self.lines = []

    def write(self, content):
        lines = bytes(content).splitlines()
        self.lines += lines[: self.left]
        self.left -= len(lines)
        if self.left < 0:
            raise Killed
        return len(content)


def killed(settings, state, *, after):
    """The messages of a run that is killed."""
    output = Output(after)
    with pytest.raises(Killed):
        run(settings, state, output=output)
    return [json.loads(line) for line in output.lines]


def test_the_first_message_is_a_state_that_names_the_ledger_before_anything_is_sent(box):
    messages = run(config(box)).messages
    assert messages[0]["type"] == "STATE"
    assert messages[0]["value"]["bookmarks"][STREAM]["ledger"]


def test_a_part_is_durable_before_its_first_record_leaves(box):
    class Looking(io.RawIOBase):
        def __init__(self):
            self.parts_at_records = []

        def write(self, content):
            records = bytes(content).count(b'"type":"RECORD","stream":"audience_members"')
            if records:
                names = [path.name for path in ledger_files(box)]
                self.parts_at_records.append((records, sum(name.startswith("p-") for name in names)))
            return len(content)

    output = Looking()
    run(config(box), output=output)
    assert len(output.parts_at_records) > 5
    for number, (_, parts) in enumerate(output.parts_at_records, start=1):
        assert parts >= number


def test_a_state_points_past_the_records_before_it_and_no_further(box):
    messages = run(config(box)).messages
    known = []
    states_after_records = 0
    for message in messages:
        if message["type"] == "RECORD" and message["stream"] == STREAM:
            known.append(message["record"]["email"])
        if message["type"] == "STATE":
            states_after_records += bool(known)
            rest = run(config(box), message["value"])
            # Those before the state are done with, so that they are sent again only if a later part holds them too.
            assert not set(rest.of("backfill")) & set(known)
    assert len(known) == len(box.world.keys(AUDIENCE))
    assert states_after_records > 5


def test_a_backfill_that_died_goes_on_where_it_was_acknowledged(box):
    first = run(config(box))
    middle = first.states[len(first.states) // 2]
    before = first.messages[: first.messages.index({"type": "STATE", "value": middle})]
    done = {message["record"]["email"] for message in before if message["type"] == "RECORD"}
    second = run(config(box), middle)
    assert set(second.of("backfill")) == set(box.world.keys(AUDIENCE)) - done
    assert second.counts == {"backfill": len(box.world.keys(AUDIENCE)) - len(done)}


def test_an_enter_that_was_delivered_and_not_acknowledged_and_then_left_becomes_an_exit(box):
    state = run(config(box)).state
    one = box.world.enter(AUDIENCE)
    assert run(config(box), state).of("enter") == [key_of(box, one)]
    box.world.leave(AUDIENCE, one)
    assert run(config(box), state).of("exit") == [key_of(box, one)]


def test_an_exit_that_was_delivered_and_not_acknowledged_and_then_came_back_becomes_an_enter(box):
    one = somebody(box)
    state = run(config(box)).state
    box.world.leave(AUDIENCE, one)
    assert run(config(box), state).of("exit") == [key_of(box, one)]
    box.world.reenter(AUDIENCE, one)
    assert key_of(box, one) in [record["email"] for record in run(config(box), state).records]


def test_a_change_that_was_delivered_and_not_acknowledged_and_then_taken_back_is_sent_again(box):
    one = somebody(box)
    before = box.world.profile(one).get("first_name")
    state = run(config(box)).state
    box.world.change(one, first_name="Other")
    assert run(config(box), state).of("update") == [key_of(box, one)]
    box.world.change(one, first_name=before)
    (record,) = run(config(box), state).records
    assert (record["email"], record["first_name"]) == (key_of(box, one), before)


def test_what_was_settled_and_acknowledged_is_not_sent_again_though_the_run_was_killed(box):
    for _ in range(10):
        box.world.enter(AUDIENCE)
    first = run(config(box))
    for _ in range(12):
        box.world.enter(AUDIENCE)
    run(config(box), first.state)
    again = run(config(box), first.state)
    assert len(again.of("enter")) >= 11
    acknowledged = again.states[3]
    before = again.messages[: again.messages.index({"type": "STATE", "value": acknowledged})]
    done = {message["record"]["email"] for message in before if message["type"] == "RECORD"}
    assert len(done) >= 5
    third = run(config(box), acknowledged)
    assert not {record["email"] for record in third.records} & done, "their doubt is over"


def test_repeated_kills_leave_less_to_send_each_time(box):
    everybody = len(box.world.keys(AUDIENCE))
    state = {}
    sent = []
    for _ in range(30):
        result = run(config(box), state)
        sent.append(len(result.records))
        if not result.records:
            break
        # Of each run only the first part is acknowledged.
        state = next(
            (
                later
                for later in result.states
                if later["bookmarks"][STREAM]["audiences"]
                != state.get("bookmarks", {}).get(STREAM, {}).get("audiences", {})
            ),
            result.states[-1],
        )
    assert sent[0] == everybody
    assert sent[-1] == 0
    assert all(later < earlier for earlier, later in itertools.pairwise(sent))


def test_a_lost_state_sends_everybody_and_lets_those_go_who_left_meanwhile(box):
    state = run(config(box)).state
    left = somebody(box)
    box.world.leave(AUDIENCE, left)
    refreshed = run(config(box))
    assert set(refreshed.of("backfill")) == set(box.world.keys(AUDIENCE))
    assert refreshed.of("exit") == [key_of(box, left)]
    before, after = (entry["bookmarks"][STREAM] for entry in (state, refreshed.states[0]))
    assert after["ledger"] == before["ledger"], "it goes on in the same folder"
    assert after["generation"] != before["generation"]
    assert run(config(box), refreshed.state).records == []


def test_a_full_refresh_that_died_goes_on_where_it_was_acknowledged(box):
    run(config(box))
    refreshed = run(config(box))
    middle = refreshed.states[len(refreshed.states) // 2]
    before = refreshed.messages[: refreshed.messages.index({"type": "STATE", "value": middle})]
    done = {message["record"]["email"] for message in before if message["type"] == "RECORD"}
    assert len(done) > 5
    rest = run(config(box), middle)
    assert set(rest.of("backfill")) == set(box.world.keys(AUDIENCE)) - done
    assert rest.counts == {"backfill": len(box.world.keys(AUDIENCE)) - len(done)}


def test_after_a_lost_state_an_exit_that_was_in_doubt_is_sent_again(box):
    state = run(config(box)).state
    one = somebody(box)
    box.world.leave(AUDIENCE, one)
    assert run(config(box), state).of("exit") == [key_of(box, one)]
    assert run(config(box)).of("exit") == [key_of(box, one)]


def test_after_a_lost_state_exits_that_were_acknowledged_are_sent_once_more_as_such(box):
    state = run(config(box)).state
    left = somebody(box)
    box.world.leave(AUDIENCE, left)
    state = run(config(box), state).state
    box.world.enter(AUDIENCE)
    run(config(box), state)
    refreshed = run(config(box))
    assert refreshed.of("exit") == []
    assert refreshed.of("exit_again") == [key_of(box, left)]
    [record] = [record for record in refreshed.records if record["audience_change"] == "exit_again"]
    assert record["audience_state"] == "exit"
    assert run(config(box), refreshed.state).records == []


def test_the_exits_of_the_last_run_with_changes_are_known_to_be_acknowledged_after_a_quiet_one(box):
    state = run(config(box)).state
    left = somebody(box)
    box.world.leave(AUDIENCE, left)
    state = run(config(box), state).state
    state = run(config(box), state).state
    refreshed = run(config(box))
    assert refreshed.of("exit") == []
    assert refreshed.of("exit_again") == [key_of(box, left)]
    assert run(config(box), refreshed.state).records == []


def test_a_state_of_a_pass_that_was_not_complete_hides_no_acknowledged_exit(box):
    state = run(config(box)).state
    left = somebody(box)
    box.world.leave(AUDIENCE, left)
    state = run(config(box), state).state
    run(config(box), state)
    begun = run(config(box)).states[3]
    killed(config(box), begun, after=3)
    refreshed = run(config(box))
    assert refreshed.of("exit") == []
    assert refreshed.of("exit_again") == [key_of(box, left)]


def test_an_acknowledged_exit_stays_one_though_the_full_refresh_was_killed(box):
    state = run(config(box)).state
    left = somebody(box)
    box.world.leave(AUDIENCE, left)
    state = run(config(box), state).state
    box.world.enter(AUDIENCE)
    run(config(box), state)
    middle = run(config(box)).states[3]
    rest = run(config(box), middle)
    assert rest.of("exit") == []
    assert rest.of("exit_again") == [key_of(box, left)]


def test_when_only_one_audience_is_lost_from_the_state_its_own_ledger_tells_who_may_leave(box):
    state = run(config(box)).state
    for _ in range(3):
        box.world.enter(AUDIENCE)
    state = run(config(box), state).state
    box.world.rename_audience(AUDIENCE, new_name="Renamed")
    for path in ledger_files(box):
        if path.name.startswith("p-"):
            path.unlink()
    left = somebody(box)
    box.world.leave(AUDIENCE, left)
    del state["bookmarks"][STREAM]["audiences"][audience_id(box)]
    begun = run(config(box), state)
    assert begun.of("exit") == [key_of(box, left)]
    assert {record["audience_name"] for record in begun.records} == {"VIP Customers"}
    # The same though it dies half way.
    assert run(config(box), begun.states[2]).of("exit") == [key_of(box, left)]


def test_an_older_state_puts_all_that_came_after_it_in_doubt(box):
    old = run(config(box)).state
    entered = box.world.enter(AUDIENCE)
    state = run(config(box), old).state
    left, changed = somebody(box), somebody(box, number=1)
    before = box.world.profile(changed).get("first_name")
    box.world.leave(AUDIENCE, left)
    box.world.change(changed, first_name="Other")
    run(config(box), state)
    box.world.leave(AUDIENCE, entered)
    box.world.reenter(AUDIENCE, left)
    box.world.change(changed, first_name=before)
    restored = run(config(box), old)
    assert restored.of("exit") == [key_of(box, entered)]
    assert {record["email"] for record in restored.records} == {
        key_of(box, entered),
        key_of(box, left),
        key_of(box, changed),
    }


def test_a_state_that_meltano_merged_with_an_older_one_after_a_full_refresh_does_no_harm(make_box):
    box = make_box([AudienceSpec("VIP Customers", 12), AudienceSpec("Lapsed", 12)])
    old = run(config(box)).state
    left = somebody(box, "lapsed")
    box.world.leave("lapsed", left)
    refreshed = run(config(box))
    # The run was stopped after the first audience, so that the other's entry is still the old one.
    partial = next(state for state in refreshed.states if state["bookmarks"][STREAM]["audiences"])
    merged = merge(old, partial)
    assert set(merged["bookmarks"][STREAM]["audiences"]) == {audience_id(box), audience_id(box, "lapsed")}
    after = run(config(box), merged)
    assert after.of("exit") == [key_of(box, left)]
    assert set(box.world.keys("lapsed")) <= set(after.of("backfill"))
    assert run(config(box), after.state).records == []


def merge(old, new):
    """As Meltano merges: objects deeply, all else replaced."""
    if not (isinstance(old, dict) and isinstance(new, dict)):
        return new
    return {**old, **{name: merge(old.get(name), value) for name, value in new.items()}}


def test_a_merged_state_does_not_revive_the_times_of_an_older_one(box, tmp_path):
    folder = tmp_path / "triggers"
    folder.mkdir()
    triggers = config(box, change_detection="triggers", triggers_url=str(folder))
    old = run(triggers).state
    assert bookmark(old, box)["scanned_at"]
    refreshed = run(config(box))
    merged = merge(old, refreshed.state)
    assert not bookmark(merged, box)["scanned_at"], "switching to triggers has to scan"


def test_a_removed_field_sends_nobody_though_the_run_was_killed(box):
    state = run(config(box), fields=["first_name", "city"]).state
    run(config(box), state, fields=["first_name"])
    assert run(config(box), state, fields=["first_name"]).records == []


@pytest.mark.parametrize("after", [0, 1, 2, 3, 5, 8, 11, 13, 14, 15, 17, 19, 21, 22, 23, 24])
def test_whenever_the_tap_is_killed_the_next_run_tells_the_truth(box, after):
    first = run(config(box))
    box.world.advance(AUDIENCE, enter=12, leave=6, change=5)
    consumer = {}
    take(consumer, first.messages)
    delivered = killed(config(box), first.state, after=after)
    take(consumer, delivered)
    box.world.advance(AUDIENCE, enter=3, leave=3, change=3, return_=3)
    # Any state that was delivered may be the one that was acknowledged.
    states = [message["value"] for message in delivered if message["type"] == "STATE"]
    final = run(config(box), states[len(states) // 2] if states else first.state)
    assert final.error == ""
    take(consumer, final.messages)
    assert set(consumer) == set(box.world.keys(AUDIENCE))
    for key, profiles in box.world.members(AUDIENCE).items():
        assert any(consumer[key]["visit_count"] == profile.get("visit_count") for profile in profiles)
    assert run(config(box), final.state).records == []


def take(consumer, messages):
    """Keep the latest record of each member, as a target does."""
    for message in messages:
        if message["type"] == "RECORD" and message["stream"] == STREAM:
            record = message["record"]
            consumer.pop(record["email"], None)
            if record["audience_state"] == "enter":
                consumer[record["email"]] = record


def test_what_a_full_refresh_sent_is_in_doubt_when_an_older_state_is_used_after_it(box):
    state = run(config(box)).state
    gone, stays = somebody(box), somebody(box, number=1)
    old_name = box.world.profile(stays)["first_name"]
    box.world.leave(AUDIENCE, gone)
    box.world.change(stays, first_name="For the refresh alone")
    came = box.world.enter(AUDIENCE, {"email": "guest@example.com"})
    refreshed = run(config(box))
    assert refreshed.of("exit") == [key_of(box, gone)]
    box.world.reenter(AUDIENCE, gone)
    box.world.change(stays, first_name=old_name)
    box.world.leave(AUDIENCE, came)

    after = run(config(box), state)
    assert key_of(box, gone) in after.of("update"), "the refresh let them go, and they are back"
    assert after.of("exit") == ["guest@example.com"], "the refresh sent them, and they left"
    [told] = [record for record in after.records if record["email"] == key_of(box, stays)]
    assert told["first_name"] == old_name
    assert run(config(box), after.state).records == []


def test_a_look_without_a_state_costs_the_pipeline_one_resend_and_no_more(box):
    state = run(config(box)).state
    run(config(box))
    again = run(config(box), state)
    assert set(again.of("update")) == set(box.world.keys(AUDIENCE))
    assert run(config(box), again.state).records == []


def test_two_pipelines_that_take_turns_in_one_folder_are_an_error_that_names_ledger_url(box):
    first, second = run(config(box)).state, run(config(box)).state
    first = run(config(box), first).state
    refused = run(config(box), second)
    assert "give each a ledger_url of its own" in refused.error
    assert refused.messages == []
    assert run(config(box), first).error == ""
