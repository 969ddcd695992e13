"""Whatever other systems and libraries say: no secret, no address, no control character and no flood gets into what people read."""

from __future__ import annotations

import io
import json
import logging

import msgspec
import pytest

from lytics_to_cordial import foreign_text
from lytics_to_cordial.config import clear_text_warning, secrets_in
from lytics_to_cordial.errors import UserError
from lytics_to_cordial.foreign_text import cleaned, keep_secret, quote_foreign, without_foreign
from tap_lytics_audience.lytics.api import Lytics
from tap_lytics_audience.lytics.profiles import Profiles
from tap_lytics_audience.settings import Settings as TapSettings
from target_cordial.cordial.api import Cordial
from tests.serving import answering, serving
from tests.target.running import AUDIENCE_SCHEMA, enter, quick_config, run

SECRET = "s3cr&t/of+the-key"
ADDRESS = "canary.bird@example.com"
FOREIGN = (
    f'The key {SECRET} of {ADDRESS} (or canary.bird%40example.com, "Tweetyson", +49 170 1234567) is wrong'
    f"\x1b[2J\r\n2026-01-01 00:00:00,000 | CRITICAL | forged”\u202e\x00" + " and so on" * 5_000
)
NEEDLES = (SECRET, "canary.bird", "Tweetyson", "1234567", "\x1b", "\r", "\u202e", "\x00", "\ud83d")


@pytest.fixture(autouse=True)
def secrets(monkeypatch):
    monkeypatch.setattr(foreign_text, "_secrets", set())
    keep_secret([SECRET])


def assert_fit_to_be_shown(text):
    for needle in NEEDLES:
        assert needle not in text, f"{needle!r} in {text!r}"
    assert "\n" not in text
    assert len(text) < 1_000


BODIES = {
    "message": {"message": FOREIGN},
    "error": {"error": FOREIGN},
    "messages": {"messages": FOREIGN},
    "validation": {"messages": {"validationErrors": {"name": [FOREIGN, FOREIGN], "source": FOREIGN}}},
    "errors": {"errors": [{"message": FOREIGN}], "message": ""},
    "job": {"jobId": {"messages": FOREIGN, "error": True}},
    "data": {"data": None, "message": FOREIGN},
}


def calls(url):
    cordial = Cordial(url, SECRET)
    lytics = Lytics(TapSettings(api_token=SECRET, audiences=("a",), ledger_url="l", api_url=url))
    yield from (
        cordial.attributes.all,
        lambda: cordial.lists.find("a"),
        lambda: cordial.lists.create("a"),
        lambda: cordial.lists.size(1),
        lambda: cordial.imports.start({}),
        lambda: cordial.jobs.find("1"),
        lambda: list(cordial.jobs.imports("Done")),
        lytics.fields,
        lambda: lytics.audience("a"),
        lambda: next(lytics.scan("a", Profiles({"email": ""}))),
        lambda: next(lytics.find("FILTER", Profiles({"email": ""}))),
    )


@pytest.mark.parametrize("status", [200, 400, 401, 403, 404, 406, 422, 500])
@pytest.mark.parametrize("body", BODIES)
def test_what_a_service_says_is_fit_to_be_shown_whatever_call_it_answers(monkeypatch, status, body):
    monkeypatch.setattr("lytics_to_cordial.retries.time.sleep", lambda _: None)
    errors = []
    with serving(answering(status, msgspec.json.encode(BODIES[body]))) as server:
        for call in calls(server.url):
            try:
                call()
            except UserError as error:
                errors.append(str(error))
    assert errors or status == 200
    for error in errors:
        assert_fit_to_be_shown(error)
        assert "forged" not in without_foreign(error)
        assert "is wrong" not in without_foreign(error)


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("The list is wrong.", "“The list is wrong”"),
        ("line\r\nbreak\ttab\x1b[2J", r"“line\r\nbreak\ttab\x1b[2J”"),
        (f"user:{SECRET}@host", "“(address)”"),
        (f"key={SECRET}", "“key=(secret)”"),
        ("a" * 19_000 + " " + "b@" * 400, f"“{'a' * 300}”"),
        ("key=s3cr%26t%2Fof%2Bthe-key", "“key=(secret)”"),
        ("a”b“c", "“a'b'c”"),
        ("half \ud83d and \u200b", r"“half \ud83d and \u200b”"),
        ("é ü 日本 is fine", "“é ü 日本 is fine”"),
        ("x" * 10_000, f"“{'x' * 300}”"),
    ],
)
def test_what_others_say_is_shown_in_quotes_without_what_must_not_be_shown(said, shown):
    assert quote_foreign(said) == shown
    assert without_foreign(f"It said {quote_foreign(said)}: do this.") == "It said “…”: do this."


def test_the_longest_secret_goes_first_and_a_key_of_many_lines_is_known_line_by_line():
    keep_secret(["abcd", "abcd-efgh", "", "x", "-----BEGIN KEY-----\nAAAABBBB\nCCCCDDDD\n-----END KEY-----"])
    assert cleaned("abcd-efgh, abcd, x") == "(secret), (secret), x"
    assert cleaned("AAAABBBB CCCCDDDD -----BEGIN KEY-----") == "(secret) (secret) -----BEGIN KEY-----"


def test_secrets_are_those_of_the_settings_and_the_logins_of_storages():
    schema = {"properties": {"key": {"secret": True}, "number": {"secret": True}, "name": {}}}
    config = {"key": "k", "number": 5, "name": "n"}
    assert secrets_in(config, schema, {"AWS_SECRET_ACCESS_KEY": "a", "HOME": "h"}) == ["k", "a"]


def test_lines_of_the_log_are_cleaned_those_of_libraries_without_tracebacks_and_values(monkeypatch):
    root = logging.getLogger()
    handler = logging.StreamHandler(io.StringIO())
    monkeypatch.setattr(root, "handlers", [handler])
    foreign_text.clean_log()
    logging.getLogger("target-cordial").warning("List %s of ftp://me@host %s", "a\nb", SECRET)
    logging.getLogger("some.library").warning("%d of a library", "no number")
    try:
        raise ValueError(FOREIGN)
    except ValueError:
        logging.getLogger("some.library").exception("It failed: %s", FOREIGN)
    own, faulty, theirs = handler.stream.getvalue().splitlines()
    assert own == r"List a\nb of ftp://me@host (secret)"
    assert faulty == "%d of a library"
    assert_fit_to_be_shown(theirs)
    assert "Unexpected ValueError (test_foreign_text.py:" in theirs


def test_errors_of_libraries_in_sentences_are_quoted():
    maps = {"audience_members": {"x": f"unknown('{SECRET}\x1b')", "__filter__": "(("}}
    config = {
        "api_key": SECRET,
        "storage_url": "sftp://me@127.0.0.1/x",
        "storage_password": "p",
        "stream_maps": maps,
    }
    result = run(config, [AUDIENCE_SCHEMA])
    assert result.code != 0
    assert "The setting stream_maps " in result.message
    for needle in (SECRET, "\x1b", "Traceback"):
        assert needle not in result.log


def test_cordials_words_are_in_the_log_without_secrets_and_not_in_the_journal(box, tmp_path):
    said = f"The password {box.storage_password} of ada@example.com is wrong \u001b[2J\r\nforged line"
    box.fault("jobid_error", said)
    journal = tmp_path / "journal"
    result = run(quick_config(box, journal_url=str(journal)), [AUDIENCE_SCHEMA, enter("ada@example.com")])
    assert result.code != 0
    assert r"“The password (secret) of (address) is wrong \x1b[2J\r\nforged line”" in result.message
    assert box.storage_password not in result.log
    *_, line = map(json.loads, journal.read_text().splitlines())
    assert "Cordial cannot read the import file (“…”)" in line["failure"]
    assert "forged" not in journal.read_text()


@pytest.mark.parametrize(
    ("url", "is_warned_about"),
    [
        ("http://api.cordial.io/v2", True),
        ("HTTP://10.0.0.1", True),
        ("http://localhost.example.com", True),
        ("https://api.cordial.io/v2", False),
        ("http://127.0.0.1:8080", False),
        ("http://127.5.5.5", False),
        ("http://[::1]:80/x", False),
        ("http://localhost:80", False),
        ("http://", True),
        ("http://[", False),
        (None, False),
    ],
)
def test_http_to_another_machine_is_warned_about(url, is_warned_about):
    assert (clear_text_warning("api_url", url) is not None) is is_warned_about


def test_it_is_warned_about_in_a_run_and_in_a_check():
    url = "http://cordial.invalid"
    config = {"api_key": SECRET, "storage_url": "sftp://127.0.0.1/x", "api_url": url, "plan_only": True}
    result = run(config, [AUDIENCE_SCHEMA, enter("ada@example.com")])
    assert "WARNING  | target-cordial" in result.log
    assert "The setting api_url is an http:// URL of another machine" in result.log
    result = run(config, arguments=["--check"])
    assert "note     settings     The setting api_url is an http:// URL of another machine" in result.output
