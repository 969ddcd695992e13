"""A long pass says where it is; its end says what was read and sent, audience by audience."""

from __future__ import annotations

import io
import json
import re
import threading

from lytics_to_cordial import progress
from sandbox import AudienceSpec
from tests.tap.running import run, run_process


class WaitingOutput(io.RawIOBase):
    """A target that takes the first record only when something happened."""

    def __init__(self, has_happened):
        self._has_happened = has_happened
        self._pause = threading.Event()

    def write(self, content):
        if b'"RECORD"' in content:
            for _ in range(6000):
                if self._has_happened():
                    break
                self._pause.wait(0.01)
        return len(content)


def test_a_pass_says_how_far_it_is_also_while_the_target_takes_its_time(make_box, caplog, monkeypatch):
    monkeypatch.setattr(progress, "INTERVAL_SECONDS", 0.01)
    box = make_box([AudienceSpec("VIP Customers", 1200)])
    line = re.compile(r"Audience vip_customers: 1,200 of 1,200 members read, [\d,.]+ a (second|minute)\.")
    with caplog.at_level("INFO"):
        result = run(box.tap_config(), output=WaitingOutput(lambda: line.search(caplog.text)))
    assert result.error == ""
    assert line.search(caplog.text)
    assert "example" not in caplog.text.lower(), "nobody's address"


def test_the_summary_counts_each_audience_by_itself(make_box, caplog):
    box = make_box([AudienceSpec("VIP Customers", 30), AudienceSpec("Lapsed", 40)])
    state = run(box.tap_config()).state
    done = box.world.advance("lapsed", enter=3, leave=2, change=1)
    caplog.clear()
    with caplog.at_level("INFO"):
        second = run(box.tap_config(), state)
    told = {
        found[1]: [int(number) for number in re.findall(r"\d+", found[2])]
        for record in caplog.records
        if (found := re.fullmatch(r"Audience (\w+): (.* left); [\d.]+ s\.", record.getMessage()))
    }
    counts = second.counts
    assert told["lapsed"][0] == told["lapsed"][1] == 41
    assert told["lapsed"][-4:] == [0, counts.get("enter", 0), counts.get("update", 0), counts.get("exit", 0)]
    assert told["vip_customers"][0] == 30
    assert told["vip_customers"][-4:] == [0, 0, 0, 0]
    assert set(done) >= {"enter", "leave", "change"}


def test_durations_of_calls_are_metrics_by_endpoint_without_what_was_asked(box):
    result = run_process(box.tap_config())
    assert result.code == 0, result.log
    assert "METRIC" not in result.log
    assert re.search(r"Lytics was called \d+ times, [\d.]+ s in all\.", result.log)
    result = run_process(box.tap_config(), env={"TAP_LYTICS_AUDIENCE_LOGLEVEL": "DEBUG"})
    points = [
        json.loads(line.partition("METRIC: ")[2]) for line in result.log.splitlines() if "METRIC: " in line
    ]
    endpoints = {p["tags"]["endpoint"] for p in points if p["metric"] == "http_request_duration"}
    assert {"/api/segment/{id}", "/api/segment/{id}/scan", "/api/segment/sizes"} <= endpoints
    assert "vip" not in "".join(endpoints)
    messages = [line.split(" | ", 3)[-1] for line in result.log.splitlines()]
    assert not any(message.startswith(("Beginning sync", "Skipping parse")) for message in messages)
