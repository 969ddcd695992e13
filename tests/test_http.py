"""Calls to a service: what is repeated and what never is, how long an answer may take, and what it may hold."""

from __future__ import annotations

import datetime as dt
import email.utils
import gzip
import time

import pytest

from lytics_to_cordial import http, retries
from lytics_to_cordial.errors import UserError
from lytics_to_cordial.http import Service
from tap_lytics_audience.lytics.api import Lytics, LyticsError
from tap_lytics_audience.settings import Settings
from target_cordial.cordial.api import Cordial
from target_cordial.cordial.errors import UnansweredError
from tests.serving import answering, dripping, in_chunks, make_certificate, serving


def breaking_off(handler):
    """Half of what was announced."""
    handler.send_response(200)
    handler.send_header("Content-Length", "100")
    handler.end_headers()
    handler.wfile.write(b"half")
    handler.close_connection = True


def without_end(handler):
    """A byte now and then, for ever."""
    handler.send_response(200)
    handler.send_header("Content-Length", "1000000")
    handler.end_headers()
    while True:
        handler.wfile.write(b" ")
        time.sleep(0.05)


def service_at(url, **options):
    options = {
        "timeout_seconds": 30,
        "max_answer_bytes": 1 << 20,
        "tries": 3,
        "connect_tries": 1,
        "connections": 4,
        **options,
    }
    return Service(
        name="Cordial",
        url=f"{url}/v2/",
        authorization="Basic x",
        user_agent="test/1",
        error=UserError,
        endpoint_of=lambda path: path,
        too_large="ask for less",
        **options,
    )


@pytest.fixture
def waits(monkeypatch):
    """How long was waited; nobody really waits."""
    waited = []
    monkeypatch.setattr(retries.time, "sleep", waited.append)
    return waited


def read(server, decode=bytes, **options):
    service = service_at(server.url, **options)
    return service.read(service.request("GET", "/x", {"fields": "a,b"}), decode)


def write(server, **options):
    service = service_at(server.url, **options)
    return service.write(service.request("POST", "/x", body=b"{}", kind="application/json"))


def in_seconds(seconds):
    return email.utils.format_datetime(
        dt.datetime.now(dt.timezone.utc) + dt.timedelta(seconds=seconds), usegmt=True
    )


@pytest.mark.parametrize(
    ("asked", "least", "most"),
    [
        ("0.5", 0.5, 0.5),
        ("2", 2, 2),
        (40, 35, 40),
        ("9999", 120, 120),
        (9999, 120, 120),
        ("inf", 0, 1),
        ("nan", 0, 1),
        ("-1", 0, 1),
        (-40, 0, 1),
        ("soon", 0, 1),
        ("Sun, 99 Foo 2026", 0, 1),
        ("", 0, 1),
    ],
)
@pytest.mark.parametrize("call", [read, write])
def test_a_call_waits_as_long_as_the_service_asks_and_nonsense_is_passed_over(
    waits, call, asked, least, most
):
    asked = in_seconds(asked) if isinstance(asked, int) else asked
    with serving(answering(429, Retry_After=asked), answering()) as server:
        assert call(server).status == 200
    [waited] = waits
    assert least <= waited <= most
    assert len(server.calls) == 2


@pytest.mark.usefixtures("waits")
@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_a_write_is_never_repeated_where_it_may_have_been_done_whatever_wait_is_asked_for(status):
    with serving(answering(status, Retry_After="1"), answering()) as server:
        assert write(server).status == status
        assert len(server.calls) == 1
    with serving(answering(status, Retry_After="1"), answering()) as server:
        assert read(server).status == 200


@pytest.mark.usefixtures("waits")
@pytest.mark.parametrize("status", [301, 302, 307, 400, 404, 413, 422])
@pytest.mark.parametrize("call", [read, write])
def test_other_answers_are_given_back_at_once_and_not_followed(call, status):
    headers = {"Retry_After": "1", "Location": "/elsewhere"}
    with serving(answering(status, b"why", **headers), answering()) as server:
        answer = call(server)
    assert (answer.status, answer.content, answer.value) == (status, b"why", None)
    assert len(server.calls) == 1


@pytest.mark.usefixtures("waits")
def test_after_so_many_tries_the_last_answer_counts():
    with serving(answering(429, b"no")) as server:
        assert read(server).status == 429
        assert len(server.calls) == 4


@pytest.mark.parametrize(
    "breaks", [breaking_off, in_chunks(b"no gzip", Content_Encoding="gzip")], ids=["cut", "not gzip"]
)
def test_an_answer_that_breaks_off_is_asked_for_again_if_it_is_a_read(caplog, breaks):
    with serving(breaks, breaks, answering(content=b"whole")) as server:
        assert read(server).value == b"whole"
    assert caplog.messages == [
        f"An answer of Cordial broke off: trying GET /x again at once (try {number})." for number in (2, 3)
    ]
    with (
        serving(breaks) as server,
        pytest.raises(UserError, match=r"Cordial cannot be reached at 127\.0\.0\.1:"),
    ):
        read(server)
    assert len(server.calls) == http.ANSWER_TRIES
    with (
        serving(breaks) as server,
        pytest.raises(UserError, match=r"Cordial cannot be reached at 127\.0\.0\.1:"),
    ):
        write(server)
    assert len(server.calls) == 1


def test_an_answer_has_an_end_also_when_bytes_keep_coming():
    began = time.monotonic()
    with serving(without_end) as server, pytest.raises(UserError, match="Cordial did not answer in time"):
        write(server, timeout_seconds=0.5)
    assert 0.5 <= time.monotonic() - began < 20
    with serving(without_end, answering(content=b"whole")) as server:
        assert read(server, timeout_seconds=0.5).value == b"whole"


DRIPS = {
    "status": dripping(b""),
    "headers": dripping(),
    "body": dripping(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n"),
    "size of a chunk": dripping(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"0"),
    "after the last chunk": dripping(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n"),
    "packed": dripping(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n\x1f\x8b\x08\x10" + bytes(6)),
}


@pytest.mark.usefixtures("waits")
@pytest.mark.parametrize("drips", DRIPS)
@pytest.mark.parametrize("is_secure", [False, True], ids=["plain", "TLS"])
def test_an_answer_of_which_any_part_drips_has_an_end(tmp_path, monkeypatch, drips, is_secure):
    certificate = make_certificate(tmp_path / "server.pem") if is_secure else None
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate or ""))
    began = time.monotonic()
    with serving(DRIPS[drips], certificate=certificate) as server:
        with pytest.raises(UserError, match="Cordial did not answer in time"):
            write(server, timeout_seconds=0.3)
        assert len(server.calls) == 1
    assert 0.3 <= time.monotonic() - began < 20
    with serving(DRIPS[drips], answering(content=b"whole"), certificate=certificate) as server:
        assert read(server, timeout_seconds=0.3).value == b"whole"


@pytest.mark.parametrize("call", [read, write])
def test_an_answer_that_is_too_large_is_one_sentence(call):
    with serving(in_chunks(*[gzip.compress(bytes(4 << 20))], Content_Encoding="gzip")) as server:
        with pytest.raises(UserError, match="An answer of Cordial is larger than 1 MB: ask for less"):
            call(server)
        assert len(server.calls) == 1


def test_packed_and_chunked_answers_are_read_whole_and_their_connections_kept():
    text = b"".join(b"%d," % number for number in range(50_000))
    packed = gzip.compress(text)
    chunks = [packed[at : at + 1000] for at in range(0, len(packed), 1000)]
    answers = [in_chunks(text, b"end"), in_chunks(*chunks, Content_Encoding="gzip"), answering(content=text)]
    with serving(*answers) as server:
        service = service_at(server.url)
        contents = [service.read(service.request("GET", "/x"), bytes).content for _ in answers]
    assert contents == [text + b"end", text, text]
    assert len(server.connections) == 1


def test_an_answer_without_a_value_is_asked_for_again(caplog):
    with serving(answering(content=b"timed out"), answering(content=b"value")) as server:
        assert read(server, lambda content: content if content == b"value" else None).value == b"value"
    assert caplog.messages == ["An answer of Cordial holds no data: trying GET /x again at once (try 2)."]
    with serving(answering(content=b"timed out")) as server:
        answer = read(server, lambda _: None)
    assert (answer.status, answer.content, answer.value) == (200, b"timed out", None)
    assert len(server.calls) == http.ANSWER_TRIES


def test_each_write_has_a_connection_of_its_own_and_commas_are_not_escaped():
    with serving(answering()) as server:
        service = service_at(server.url)
        for _ in range(3):
            service.write(service.request("POST", "/x", body=b"{}"))
        read(server)
    assert len(server.connections) == 4
    assert server.calls[-1] == "GET /v2/x?fields=a,b"


@pytest.mark.parametrize("audience_id", ["../../../escaped", "a/b", "a b", "", "é", None])
def test_an_audience_whose_id_cannot_be_part_of_a_path_is_an_error(audience_id):
    answer = answering(content=b'{"data": {"id": %s, "slug_name": "vip"}}' % encoded(audience_id))
    with serving(answer) as server, pytest.raises(LyticsError, match="holds no id of an audience"):
        Lytics(Settings(api_token="t", audiences=["vip"], ledger_url="l", api_url=server.url)).audience("vip")
    assert len(server.calls) == 1


def encoded(text):
    return b"null" if text is None else f'"{text}"'.encode()


@pytest.mark.parametrize(
    ("given", "job_id"),
    [(b'"64f0"', "64f0"), (b"4711", "4711"), (b'{"$oid": "64f0"}', "64f0")],
)
def test_a_jobs_id_is_text_or_a_number(given, job_id):
    with serving(answering(content=b'{"jobId": %s}' % given)) as server:
        assert Cordial(server.url, "key").imports.start({}) == job_id


@pytest.mark.parametrize("given", [b'""', b"null", b"true", b'"../accountlists"', b"1.5"])
def test_a_jobs_id_that_is_none_leaves_the_outcome_unknown(given):
    with serving(answering(content=b'{"jobId": %s}' % given)) as server:
        with pytest.raises(UnansweredError, match="without a job id"):
            Cordial(server.url, "key").imports.start({})
        assert len(server.calls) == 1
