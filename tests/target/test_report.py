"""The report: one page of what the journal tells, whole and true, whatever the journal holds."""

import datetime as dt
import json
import re
from importlib import resources
from pathlib import Path

import pytest

from target_cordial.history.past_runs import history_of
from target_cordial.history.report.page import report
from tests.target.journals import LISTS, runs, write_journal
from tests.target.pages import Page
from tests.target.running import AUDIENCE_SCHEMA, LIST, enter, exit_, quick_config, run, state

NOW = dt.datetime(2026, 11, 26, 12, 0, tzinfo=dt.timezone.utc)
OLD_LINES = [
    {"time": "2026-01-02T04:00:09.000Z", "run": "20260102040000abcd", "event": "import", "import_name": "p-1", "job_id": "j",
     "list_id": 1, "list_name": LIST, "kind": "enter", "rows": 7, "inserted": 7, "updated": None, "ignored": None,
     "rejected": 0, "seconds": 2.5},
    {"time": "2026-01-02T04:00:10.000Z", "run": "20260102040000abcd", "event": "run", "started": "2026-01-02T04:00:00.000Z",
     "ended": "2026-01-02T04:00:10.000Z", "outcome": "done", "records": 7, "lists": {LIST: {"enters": 7}}, "imports": 1,
     "rejects": {}, "rejected_by_cordial": 0},
]  # fmt: skip
"""As written before sizes and failures were in the journal."""


def encoded(lines):
    return [json.dumps(line).encode() + b"\n" for line in lines]


def page_of(lines):
    return Page(report(history_of(encoded(lines)), NOW))


def number(text):
    return int(text.replace(",", "").replace("\u2212", "-").replace("\u2013", "-1"))


def column(page, caption, name):
    head, *rows = page.tables[caption]
    return [row[head.index(name)] for row in rows]


def people(start, end, **fields):
    return [enter(f"p{number}@example.com", **fields) for number in range(start, end)]


def test_the_page_shows_what_real_runs_did(box, tmp_path):
    journal = tmp_path / "journal" / "runs.jsonl"
    config = quick_config(box, journal_url=str(journal))
    first = [AUDIENCE_SCHEMA, *people(0, 40), enter("nobody"), enter("a@example.com", lifetime_value="much")]
    assert run(config, [*first, state({"at": 1})]).code == 0
    box.fault("job_fails")
    assert run(config, [AUDIENCE_SCHEMA, *people(40, 45)]).code == 1
    box.clear_faults()
    assert run({**config, "plan_only": True}, [AUDIENCE_SCHEMA, *people(50, 99)]).code == 0
    gone = [exit_(f"p{number}@example.com") for number in range(3)]
    assert run(config, [AUDIENCE_SCHEMA, *people(40, 42), *gone]).code == 0
    # Nothing but journal_url: no key, no connection.
    box.fault("cordial_status", 500)
    page_path = tmp_path / "out.html"
    result = run({"journal_url": str(journal)}, arguments=["--report", str(page_path)])
    assert result.code == 0, result.log
    assert result.output == f"{page_path}: 4 runs, 1 list\n"
    page = Page(page_path.read_text(encoding="utf-8"))
    assert page.tables["Lists of the last run"][1] == [LIST, "40", "39", "\u22121", "2", "3"]
    head, *rows = page.tables["All runs"]
    outcomes = [row[head.index("Outcome")] for row in rows]
    assert [outcome[:8] for outcome in outcomes] == [
        "\u2713 Done",
        "\u2713 Plan d",
        "\u2715 Failed",
        "\u2713 Done",
    ]
    assert "failed in Cordial" in outcomes[2]
    assert column(page, "All runs", "Enters") == ["2", "49", "0", "40"]
    # The failed run imported nothing, and the plan is no history.
    assert page.tables[f"Enters, exits and size of list {LIST}"][1:] == [
        [page.tables[f"Enters, exits and size of list {LIST}"][1][0], "2", "3", "39"],
        [page.tables[f"Enters, exits and size of list {LIST}"][2][0], "0", "0", "40"],
        [page.tables[f"Enters, exits and size of list {LIST}"][3][0], "40", "0", "40"],
    ]
    reasons = {row[0]: row[1:3] for row in page.tables["Rejects by reason"][1:]}
    assert reasons == {
        "email: the identifier is not an e-mail address": ["0", "1"],
        "lifetime_value: not a number": ["0", "1"],
    }
    assert all(
        "@" not in text
        for text in (journal.read_text(), page.source.replace("@media", "").replace("@container", ""))
    )


def test_a_line_of_a_run_tells_sizes_and_why_it_failed(box, tmp_path):
    journal = tmp_path / "runs.jsonl"
    config = quick_config(box, journal_url=str(journal))
    assert run(config, [AUDIENCE_SCHEMA, *people(0, 5)]).code == 0
    box.fault("job_fails")
    failed = run(config, [AUDIENCE_SCHEMA, *people(5, 7)])
    lines = [json.loads(line) for line in journal.read_text().splitlines()]
    done, not_done = [line for line in lines if line["event"] == "run"]
    assert done["lists"] == {LIST: {"enters": 5, "size_before": 0, "size_after": 5}}
    assert (done["outcome"], done["failure"]) == ("done", None)
    assert not_done["lists"] == {LIST: {"size_before": 5, "size_after": None}}
    assert not_done["outcome"] == "failed"
    assert failed.message.endswith(not_done["failure"])


def test_a_size_that_cordial_does_not_tell_fails_no_run(box, tmp_path):
    journal = tmp_path / "runs.jsonl"
    box.fault("cordial_status", 403, path="/count")
    config = quick_config(box, journal_url=str(journal))
    result = run(config, [AUDIENCE_SCHEMA, *people(0, 5), state({"at": 1})])
    assert result.code == 0, result.log
    assert result.states == [{"at": 1}]
    assert f"The size of list {LIST} is not known" in result.log
    page = Page(report(history_of(journal.read_bytes().splitlines()), NOW))
    assert page.tables["Lists of the last run"][1] == [LIST, "\u2013", "\u2013", "\u2013", "5", "0"]
    assert "Its size is not known" in page.text


@pytest.mark.parametrize(
    ("content", "setting", "sentence"),
    [
        (None, None, "The setting journal_url is missing: set it"),
        (None, 7, "The setting journal_url must be of type string"),
        (None, "sftp://user:hush@host/journal", "The setting journal_url holds a password: take it out"),
        (None, "journal", "The journal at {} is not there: correct journal_url, or run target-cordial once with it set."),
        (b"", "journal", "The journal at {} is empty: run target-cordial once with journal_url set."),
        (b"hush\n", "journal", "The journal at {} holds no line that can be read: check that journal_url names a journal"),
        (None, "nowhere://journal", "The journal at {} cannot be read (ValueError): check journal_url"),
    ],
)  # fmt: skip
def test_what_keeps_the_page_from_being_made_is_one_sentence(tmp_path, content, setting, sentence):
    if setting == "journal":
        setting = str(tmp_path / "journal")
    if content is not None:
        Path(setting).write_bytes(content)
    result = run({"journal_url": setting}, arguments=["--report", str(tmp_path / "out.html")])
    assert result.code == 1
    assert sentence.format(setting) in result.message
    assert "hush" not in result.log
    assert "Traceback" not in result.log
    assert not (tmp_path / "out.html").exists()


@pytest.mark.parametrize("place", ["no/such/folder/out.html", "."])
def test_a_page_that_cannot_be_written_is_one_sentence(tmp_path, place):
    write_journal(tmp_path / "journal", runs(1))
    path = tmp_path / place
    result = run({"journal_url": str(tmp_path / "journal")}, arguments=["--report", str(path)])
    assert result.code == 1
    assert f"The report cannot be written to {path} (" in result.message
    assert "name a file in a folder that can be written" in result.message


def test_the_journal_may_be_named_by_the_environment_or_by_any_url(tmp_path):
    write_journal(tmp_path / "my journal", runs(2))
    for url in (str(tmp_path / "my journal"), f"file://{tmp_path}/my journal"):
        result = run(
            {"list_name": "other"},
            arguments=["--config", "ENV", "--report", str(tmp_path / "out.html")],
            env={"TARGET_CORDIAL_JOURNAL_URL": url},
        )
        assert result.code == 0, result.log
        assert "2 runs" in Page((tmp_path / "out.html").read_text(encoding="utf-8")).text


@pytest.mark.parametrize("count", [1, 2, 60, 61, 1_000])
def test_no_enter_exit_run_or_reject_is_lost_however_many_runs_share_a_bar(count):
    lines = list(runs(count))
    ends = [line for line in lines if line["event"] == "run"]
    page = page_of(lines)
    for name in LISTS:
        caption = f"Enters, exits and size of list {name}"
        for head, key in (("Enters", "enters"), ("Exits", "exits")):
            shown = sum(map(number, column(page, caption, head)))
            assert shown == sum(end["lists"][name][key] for end in ends)
        last = next(
            end["lists"][name]["size_after"]
            for end in reversed(ends)
            if end["lists"][name]["size_after"] is not None
        )
        assert number(column(page, caption, "Size after")[0]) == last
    shown = sum(map(number, column(page, "Rejects by reason", "In all runs")))
    assert shown == sum(sum(end["rejects"].values()) for end in ends)
    if count > 60:
        (by_period,) = [caption for caption in page.tables if caption.startswith("All runs by ")]
        assert sum(map(number, column(page, by_period, "Runs"))) == count
        failed = sum(end["outcome"] == "failed" for end in ends)
        assert sum(map(number, column(page, by_period, "Not ended well"))) == failed
        unit = by_period.removeprefix("All runs by ")
        assert f"One bar a {unit}, because {count:,} runs are too many for one bar each" in page.text
    else:
        assert "One bar a run" in page.text


@pytest.mark.parametrize(
    ("count", "every", "unit"),
    [
        (1_000, dt.timedelta(seconds=1), "minute"),
        (1_000, dt.timedelta(minutes=4), "hour"),
        (1_000, dt.timedelta(hours=1), "day"),
        (100, dt.timedelta(days=4), "week"),
        (1_000, dt.timedelta(days=1), "month"),
        (200, dt.timedelta(days=40), "quarter"),
        (100, dt.timedelta(days=366), "century"),
    ],
)
def test_runs_too_many_for_one_bar_each_share_the_period_that_fits(count, every, unit):
    if unit == "century":
        every *= 60
    page = page_of(runs(count, every, lists={"one": 10}))
    assert f"One bar a {unit}" in page.text
    assert sum(map(number, column(page, f"All runs by {unit}", "Runs"))) == count


def test_a_page_of_a_thousand_runs_stays_small_and_has_few_marks():
    source = report(history_of(encoded(runs(1_000))), NOW)
    assert len(source) < 300_000
    assert source.count("<rect") + source.count("<circle") < 2_000


def test_the_page_needs_nothing_from_elsewhere_and_no_script():
    page = page_of(runs(40))
    assert not {"script", "img", "iframe", "object", "embed", "base", "form"} & set(page.tags)
    references = [value for name, value in page.attributes if name in {"src", "href", "xlink:href", "action"}]
    assert references == ["data:,"]
    assert not re.search(r"url\(|@import|https?:|//", page.source.replace("data:,", ""))
    assert not [name for name, _ in page.attributes if name.startswith("on")]


NASTY = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "</title></style><b>&amp; &lt;",
    "x\u202ey{0}%s",
    "bell\x07 and zero\x00",
    "x" * 300,
]


@pytest.mark.parametrize("name", NASTY)
def test_a_name_that_holds_markup_is_text_and_no_more(name):
    lines = [
        json.loads(json.dumps(line).replace('"one"', json.dumps(name))) for line in runs(3, lists={"one": 10})
    ]
    for line in lines:
        if line["event"] == "run":
            line |= {"outcome": name, "failure": name, "rejects": {name: 3}}
    page = page_of(lines)
    plain = page_of(runs(3, lists={"one": 10}))
    assert set(page.tags) <= {*plain.tags, "p"}
    assert {key for key, _ in page.attributes} == {key for key, _ in plain.attributes}
    shown = re.sub(r"[\x00-\x1f]", "\ufffd", name)
    assert page.tables["Lists of the last run"][1][0] == shown
    assert page.tables["Rejects by reason"][1][0] == shown


DAMAGE = [
    b'{"time":"2026-01-02T04:00:09.000Z","run":"20260102040000abcd","event":"imp',
    b"\x00\xff\xfe garbage",
    b'{"event":"run","run":"x","started":"2026-01-02T04:00:00Z","ended":"yesterday","outcome":"done"}',
    b'{"event":"run","run":"x","started":"0001-01-01T00:00:00+05:00","ended":"2026-01-02T04:00:00Z","outcome":"done"}',
    b'{"event":"run","run":"x","started":"2026-01-02T04:00:00","ended":"2026-01-02T04:00:00Z","outcome":"done"}',
    b'{"event":"import","run":"x","time":"2026-01-02T04:00:00Z","kind":"enter","rows":-1,"seconds":1}',
    b'{"event":"import","run":"x","time":"2026-01-02T04:00:00Z","kind":"enter","rows":1,"seconds":1e300}',
    b'{"event":"something else","run":"x"}',
    b"[]",
    b"[" * 100_000,
    b'"\\ud83d"',
]


@pytest.mark.parametrize("damaged", DAMAGE, ids=range(len(DAMAGE)))
def test_a_damaged_line_is_left_out_and_counted_on_the_page(damaged):
    lines = encoded(runs(3))
    whole = history_of(lines)
    history = history_of([lines[0], damaged + b"\n", *lines[1:], b"\n", damaged])
    assert history.runs == whole.runs
    assert history.unreadable == 2
    assert "2 lines of the journal could not be read and are left out." in Page(report(history, NOW)).text


def test_how_many_lines_could_not_be_read_is_told_on_the_command_line_too(tmp_path):
    (tmp_path / "journal").write_bytes(b"".join(encoded(runs(1))) + b'{"half')
    result = run(
        {"journal_url": str(tmp_path / "journal")}, arguments=["--report", str(tmp_path / "out.html")]
    )
    assert result.code == 0
    assert "1 line of the journal could not be read and is left out" in result.output


def test_lines_of_an_older_version_are_read():
    page = page_of(OLD_LINES)
    assert "could not be read" not in page.text
    assert page.tables["Lists of the last run"][1] == [LIST, "\u2013", "\u2013", "\u2013", "7", "0"]
    assert column(page, "All runs", "Took") == ["10 s"]


def test_a_line_of_a_newer_version_is_read_as_far_as_it_is_known():
    page = page_of([{**OLD_LINES[1], "weather": {"rain": True}}])
    assert column(page, "All runs", "Enters") == ["7"]


def test_a_run_that_was_killed_is_told_by_its_imports():
    lines = list(runs(3))
    killed = [line for line in lines if not (line["event"] == "run" and line is lines[-1])]
    page = page_of(killed)
    assert column(page, "All runs", "Outcome")[0] == "? No end"
    assert "it was killed, or was still running" in page.text
    assert sum(map(number, column(page, "All runs", "Enters"))) == sum(
        line["rows"] for line in lines if line["event"] == "import" and line["kind"] == "enter"
    )


def test_contacts_on_no_list_have_no_size():
    end = {**OLD_LINES[1], "lists": {"(contacts alone)": {"enters": 7}}}
    page = page_of([end])
    assert "Contacts on no list" in page.text
    assert "size is not known" not in page.text


def test_a_journal_of_plans_alone_shows_them_as_plans():
    page = page_of([{**OLD_LINES[1], "outcome": "plan done"}])
    assert "Last plan" in page.text
    assert column(page, "All runs", "Outcome") == ["\u2713 Plan done"]


def test_a_bar_that_would_flatten_all_others_is_cut_and_says_its_value():
    page = page_of(runs(30, lists={"one": 95_500}))
    assert "1 bar cut short" in page.text
    assert "95,500" in re.findall(r'class="cut"[^>]*>([^<]*)<', page.source)


def test_every_chart_has_a_title_a_description_and_its_numbers_in_a_table():
    page = page_of(runs(1_000))
    charts = [value for name, value in page.attributes if name == "aria-label" and ". " in value]
    assert page.source.count('role="img"') == len(charts) == 7
    assert page.source.count("<desc>") == 7
    assert page.tags.count("h1") == 1
    assert page.tags.index("h1") < page.tags.index("h2") < page.tags.index("h3")
    assert page.tags.count("table") == page.tags.count("caption")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_colours_stand_out_from_what_is_behind_them(scheme):
    style = (
        resources.files("target_cordial.history.report").joinpath("report.css").read_text(encoding="utf-8")
    )
    light, dark = (
        dict(re.findall(r"--(\w+): (#\w{6});", part))
        for part in style.split("@media (prefers-color-scheme: dark)")[:2]
    )
    colours = light if scheme == "light" else dark
    assert set(light) == set(dark)
    for name, least in [
        *dict.fromkeys(("text", "soft", "good", "bad", "odd"), 4.5).items(),
        *dict.fromkeys(("enter", "exit", "size", "reject"), 3).items(),
    ]:
        for ground in ("card", "ground"):
            assert contrast(colours[name], colours[ground]) >= least, (name, ground)


def contrast(one, other):
    """As WCAG 2 defines it."""

    def light(colour):
        parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
        red, green, blue = (
            part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
        )
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    low, high = sorted((light(one), light(other)))
    return (high + 0.05) / (low + 0.05)
