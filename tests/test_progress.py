"""Progress, durations and retries are logged in words that a person can follow."""

from __future__ import annotations

import logging
import threading

import pytest
import requests
from requests.adapters import HTTPAdapter

from lytics_to_cordial import progress
from lytics_to_cordial.progress import Progress, Work, duration
from lytics_to_cordial.retries import LoggedRetry


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.04, "0.0 s"),
        (9.94, "9.9 s"),
        (61, "61 s"),
        (240, "4 min"),
        (7_300, "2 h 2 min"),
        (86_400, "24 h 0 min"),
    ],
)
def test_a_duration_is_given_to_two_places(seconds, text):
    assert duration(seconds) == text


def test_work_says_how_far_it_is_how_fast_it_goes_and_how_long_it_takes():
    work = Work("members read", done=250_000, total=1_000_000, began_at=100)
    assert work.describe(now=200) == "250,000 of 1,000,000 members read, 2,500 a second, about 5 min left"
    assert Work("exits sent", began_at=0).describe(now=0) == "0 exits sent"
    assert Work("members read", done=30, began_at=0).describe(now=60) == "30 members read, 30.0 a minute"
    assert (
        Work("members read", done=12, total=10, began_at=0).describe(now=4)
        == "12 of 10 members read, 3 a second"
    )


def test_progress_is_logged_again_and_again_until_the_work_ends(caplog, monkeypatch):
    monkeypatch.setattr(progress, "INTERVAL_SECONDS", 0.001)
    calls = threading.Semaphore(0)

    def describe():
        calls.release()
        return "half way"

    with caplog.at_level("INFO"), Progress(describe, logging.getLogger("a")):
        for _ in range(3):
            assert calls.acquire(timeout=60)
    assert {record.getMessage() for record in caplog.records} == {"half way"}
    count = len(caplog.records)
    assert count >= 2
    assert not any(thread.name == "progress" for thread in threading.enumerate())


def test_quick_work_logs_nothing(caplog):
    with caplog.at_level("INFO"), Progress(lambda: "half way", logging.getLogger("a")):
        pass
    assert caplog.records == []


def session(**options):
    made = requests.Session()
    made.mount(
        "http://", HTTPAdapter(max_retries=LoggedRetry("Lytics", total=2, raise_on_status=False, **options))
    )
    return made


def test_a_retry_is_one_line_that_says_what_and_why_and_when_without_the_query(box, caplog):
    box.fault("lytics_rate_limit", 1, path="sizes", nth=1)
    box.fault("lytics_status", 503, path="sizes", nth=2)
    url = f"{box.lytics_url}/api/segment/sizes?ids=ada@example.com"
    with caplog.at_level("INFO"):
        reply = session(status_forcelist={429, 503}).get(url, headers={"Authorization": box.api_token})
    assert reply.status_code == 200
    assert [record.getMessage() for record in caplog.records] == [
        "Lytics answered 429: trying GET /api/segment/sizes again in 1.0 s (try 2).",
        "Lytics answered 503: trying GET /api/segment/sizes again at once (try 3).",
    ]


def test_a_cut_connection_and_a_closed_port_are_logged_in_the_same_way(box, caplog):
    box.fault("lytics_cut", path="schema", once=True)
    made = session(backoff_factor=0)
    with caplog.at_level("INFO"), pytest.raises(requests.ConnectionError):
        made.get("http://127.0.0.1:9/closed?who=ada@example.com")
    assert {record.getMessage().partition(":")[0] for record in caplog.records} == {
        "Lytics cannot be reached"
    }
    assert "example.com" not in caplog.text
