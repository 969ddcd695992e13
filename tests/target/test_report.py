"""The report: one page of what the journal tells, whole and true, whatever the journal holds."""

import datetime as dt
import json
import os
import re
from importlib import resources
from pathlib import Path

import pytest

from target_cordial.history.journal import history_of
from target_cordial.history.page import render
from tests.target.journals import LISTS, encoded, runs
from tests.target.pages import Page
from tests.target.running import AUDIENCE_SCHEMA, LIST, enter, exit_, quick_config, run, state

NOW = dt.datetime(2026, 11, 26, 12, 0, tzinfo=dt.timezone.utc)
LAST, REJECTS = "Lists of the last run", "Rejected records and rows, by reason"
OLD_LINES = [
    {"time": "2026-01-02T04:00:09.000Z", "run": "20260102040000abcd", "event": "import", "import_name": "p-1", "job_id": "j",
     "list_id": 1, "list_name": LIST, "kind": "enter", "rows": 7, "inserted": 7, "updated": None, "ignored": None,
     "rejected": 0, "seconds": 2.5},
    {"time": "2026-01-02T04:00:10.000Z", "run": "20260102040000abcd", "event": "run", "started": "2026-01-02T04:00:00.000Z",
     "ended": "2026-01-02T04:00:10.000Z", "outcome": "done", "records": 7, "lists": {LIST: {"enters": 7}}, "imports": 1,
     "rejects": {}, "rejected_by_cordial": 0},
]  # fmt: skip
"""As written before sizes and failures were in the journal."""


def page_of(lines):
    return Page(render(history_of(encoded(lines)), NOW))


def by_run(name):
    return f"Enters, exits and size of list {name}"


def column(page, caption, name):
    head, *rows = page.tables[caption]
    return [row[head.index(name)] for row in rows]


def numbers(page, captions, name):
    cells = [cell for caption in captions if caption in page.tables for cell in column(page, caption, name)]
    return [int(cell.replace(",", "")) for cell in cells if cell != "\u2013"]


def people(start, end, **fields):
    return [enter(f"p{number}@example.com", **fields) for number in range(start, end)]


def make_page(tmp_path, lines=None, name="out.html", **config):
    """Run `--report` on a journal of these lines, or the one that is there; the result and the page's text."""
    journal, page = tmp_path / "journal", tmp_path / name
    if lines is not None:
        journal.write_bytes(b"".join(encoded(lines)))
    result = run({"journal_url": str(journal), **config}, arguments=["--report", str(page)])
    return result, page.read_text(encoding="utf-8") if page.is_file() else None


def test_the_page_shows_what_real_runs_did(box, tmp_path):
    journal = tmp_path / "journal"
    config = quick_config(box, journal_url=str(journal), invalid_values="reject")
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
    result, source = make_page(tmp_path)
    assert result.code == 0, result.log
    assert result.output == f"{tmp_path}/out.html: 4 runs, 1 list\n"
    page = Page(source)
    assert page.tables[LAST][1] == [LIST, "40", "39", "\u22121", "2", "3"]
    outcomes = column(page, "All runs", "Outcome")
    assert outcomes[:2] + outcomes[3:] == ["\u2713 done", "\u2713 plan done", "\u2713 done"]
    assert outcomes[2].startswith("\u2715 failed")
    assert "failed in Cordial" in outcomes[2]
    assert column(page, "All runs", "Enters") == ["2", "49", "0", "40"]
    # The failed run imported nothing, and the plan did nothing to the list.
    assert [row[1:] for row in page.tables[by_run(LIST)][1:]] == [
        ["2", "3", "39"],
        ["0", "0", "\u2013"],
        ["40", "0", "40"],
    ]
    assert page.tables[REJECTS][1:] == [
        ["email: the identifier is not an e-mail address: an email address must have an at-sign", "0", "1"],
        ["lifetime_value: not a number", "0", "1"],
    ]
    assert "@" not in journal.read_text() + re.sub("@(media|container)", "", page.source)


def test_a_line_of_a_run_tells_sizes_and_why_it_failed(box, tmp_path):
    journal = tmp_path / "runs.jsonl"
    config = quick_config(box, journal_url=str(journal))
    assert run(config, [AUDIENCE_SCHEMA, *people(0, 5)]).code == 0
    box.fault("job_fails")
    failed = run(config, [AUDIENCE_SCHEMA, *people(5, 7)])
    lines = [json.loads(line) for line in journal.read_text().splitlines()]
    done, not_done = [line for line in lines if line["event"] == "run"]
    assert done["lists"] == {
        LIST: {"enters": 5, "exits": 0, "size_before": 0, "size_after": 5, "members": None}
    }
    assert (done["outcome"], done["failure"]) == ("done", None)
    assert not_done["lists"] == {
        LIST: {"enters": 0, "exits": 0, "size_before": 5, "size_after": None, "members": None}
    }
    assert not_done["outcome"] == "failed"
    assert failed.message.endswith(not_done["failure"])


def test_a_size_that_cordial_does_not_tell_fails_no_run(box, tmp_path):
    box.fault("cordial_status", 403, path="/count")
    config = quick_config(box, journal_url=str(tmp_path / "journal"))
    result = run(config, [AUDIENCE_SCHEMA, *people(0, 5), state({"at": 1})])
    assert result.code == 0, result.log
    assert result.states == [{"at": 1}]
    assert f"The size of list {LIST} is not known" in result.log
    page = Page(render(history_of((tmp_path / "journal").read_bytes().splitlines()), NOW))
    assert page.tables[LAST][1] == [LIST, "\u2013", "\u2013", "\u2013", "5", "0"]
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
        (None, "nowhere://host/runs", "The setting journal_url has a URL of a kind that is not known: set it to a path, or a URL"),
    ],
)  # fmt: skip
def test_what_keeps_the_page_from_being_made_is_one_sentence(tmp_path, content, setting, sentence):
    if setting == "journal":
        setting = str(tmp_path / "journal")
    if content is not None:
        Path(setting).write_bytes(content)
    result, source = make_page(tmp_path, journal_url=setting)
    assert result.code == 2
    assert sentence.format(setting) in result.message
    assert "hush" not in result.log
    assert "Traceback" not in result.log
    assert source is None


@pytest.mark.parametrize(
    ("place", "sentence"),
    [
        ("no/such/folder/out.html", "cannot be written to {} (No such file or directory): name a file in a folder"),
        (".", "cannot be written to {} (Is a directory): name a file in a folder"),
        ("precious.yml", "is not written to {}, because that file exists and is something else: name a new file"),
    ],
)  # fmt: skip
def test_a_page_that_cannot_be_written_is_one_sentence_and_overwrites_nothing(tmp_path, place, sentence):
    (tmp_path / "precious.yml").write_text("precious")
    result, _ = make_page(tmp_path, runs(1), place)
    assert result.code == 2
    assert f"The report {sentence.format(tmp_path / place)}" in result.message
    assert (tmp_path / "precious.yml").read_text() == "precious"


def test_nothing_but_an_older_page_is_written_over_by_any_name(tmp_path):
    (tmp_path / "precious.html").write_text("<!DOCTYPE html><title>precious</title>")
    (tmp_path / "link.html").symlink_to(tmp_path / "other.yml")
    os.mkfifo(tmp_path / "pipe.html")
    for name in ("precious.html", "link.html", "pipe.html"):
        result, _ = make_page(tmp_path, runs(1), name)
        assert result.code == 2
        assert "is something else: name a new file" in result.message
    assert "precious" in (tmp_path / "precious.html").read_text()
    assert not (tmp_path / "other.yml").exists()


def test_a_page_is_written_over_an_older_one_and_to_a_new_file_of_any_name(tmp_path):
    for name in ("old.HTML", "new.txt", "old.HTML", "new.txt"):
        result, source = make_page(tmp_path, runs(2), name)
        assert result.code == 0, result.log
        assert "2 runs" in Page(source).text


def test_the_journal_may_be_named_by_the_environment_or_by_any_url(tmp_path):
    (tmp_path / "my journal").write_bytes(b"".join(encoded(runs(2))))
    for url in (str(tmp_path / "my journal"), f"file://{tmp_path}/my journal"):
        env = {"TARGET_CORDIAL_JOURNAL_URL": url}
        arguments = ["--config", "ENV", "--report", str(tmp_path / "out.html")]
        result = run({"list_name": "other"}, arguments=arguments, env=env)
        assert result.code == 0, result.log
        assert "2 runs" in Page((tmp_path / "out.html").read_text(encoding="utf-8")).text


@pytest.mark.parametrize("count", [1, 2, 60, 61, 1_000])
def test_no_run_is_lost_and_the_last_sixty_are_drawn(count):
    lines = list(runs(count))
    ends = [line for line in reversed(lines) if line["event"] == "run"]
    page = page_of(lines)
    all_runs = ("All runs", "The last 60 runs", "Older runs")
    rejected = [sum(end["rejects"].values()) for end in ends]
    assert numbers(page, all_runs, "Rejected") == rejected
    assert sum(numbers(page, [REJECTS], "All runs")) == sum(rejected)
    for head, key in (("Enters", "enters"), ("Exits", "exits"), ("Size after", "size_after")):
        if key != "size_after":
            sums = [sum(counts[key] for counts in end["lists"].values()) for end in ends]
            assert numbers(page, all_runs, head) == sums
        for name in LISTS:
            drawn = [end["lists"][name][key] for end in ends[:60]]
            assert numbers(page, [by_run(name)], head) == [number for number in drawn if number is not None]
    moves = [
        counts[key] for end in ends[:60] for counts in end["lists"].values() for key in ("enters", "exits")
    ]
    bars = re.findall('<rect class="(enter|exit)"', page.source)
    assert len(bars) == sum(map(bool, moves)), "each move is a bar"
    assert page.source.count('<rect class="hint"') == 5 * min(count, 60), "five charts tell of each run"
    assert len(page.source) < 300_000


def test_the_members_of_the_audience_are_drawn_beside_the_list_where_a_run_tells_them():
    lines = list(runs(3, lists={"one": 10}))
    assert "Members" not in page_of(lines).text
    lines[-1]["lists"]["one"]["members"] = 1_234
    page = page_of(lines)
    assert column(page, LAST, "Members") == ["1,234"]
    assert column(page, by_run("one"), "Members") == ["1,234", "\u2013", "\u2013"]
    assert page.source.count('<polyline class="members"') == 1
    assert "1,234 members" in page.text


def test_several_pipelines_are_a_table_and_a_failure_says_what_helps():
    lines = list(runs(20))
    assert "The last run of each pipeline" not in page_of(lines).tables
    for line in lines:
        line["pipeline"] = f"sftp://host/{int(line['run'][-4:], 16) % 2}"
    failed = lines[-1]
    failed |= {"outcome": "failed", "failure": "It cannot be: do that.", "failure_class": "person"}
    page = page_of(lines)
    _, other, last = page.tables["The last run of each pipeline"]
    assert (other[0], other[1]) == ("sftp://host/0", "\u2713 done")
    assert last[0] == "sftp://host/1"
    assert "failed" in last[1]
    assert "It cannot be: do that. (a person has to act)" in last[1]
    assert other[3] != last[3] != "\u2013"
    assert page.text.count("(a person has to act)") == 3


def test_the_page_needs_nothing_from_elsewhere_and_no_script():
    page = page_of(runs(40))
    assert "svg" in page.tags
    assert not {"script", "img", "image", "use", "iframe", "object", "embed", "base", "form"} & set(page.tags)
    references = [value for name, value in page.attributes if name in {"src", "href", "xlink:href", "action"}]
    assert references == ["data:,"]
    assert not re.search(r"url\(|@import|https?:|//", page.source.replace("data:,", ""))
    assert not [name for name, _ in page.attributes if name.startswith("on")]


NASTY = [
    "<script>alert(1)</script>",
    "\"'><img src=x onerror=alert(1)>",
    "</title></style><b>&amp; &lt;",
    "x\u202ey{0}%s{{ 1 }}",
    "bell\x07 and zero\x00",
    "x" * 300,
]


@pytest.mark.parametrize("name", NASTY)
def test_a_name_that_holds_markup_is_text_and_no_more(name):
    lines, plain = list(runs(3, lists={"one": 10})), page_of(runs(3, lists={"one": 10}))
    for line in lines:
        if line["event"] == "run":
            line |= {
                "outcome": name,
                "failure": name,
                "rejects": {name: 3},
                "lists": {name: line["lists"]["one"]},
            }
    page = page_of(lines)
    assert set(page.tags) == {*plain.tags, "p"}
    assert {key for key, _ in page.attributes} == {key for key, _ in plain.attributes}
    assert page.tables[LAST][1][0] == name
    assert page.tables[REJECTS][1][0] == name


DAMAGE = [
    b'{"time":"2026-01-02T04:00:09.000Z","run":"20260102040000abcd","event":"imp',
    b"\x00\xff\xfe garbage",
    b'{"event":"run","run":"x","started":"2026-01-02T04:00:00Z","ended":"yesterday","outcome":"done"}',
    b'{"event":"run","run":"x","started":"0001-01-01T00:00:00+05:00","ended":"2026-01-02T04:00:00Z","outcome":"done"}',
    b'{"event":"run","run":"x","started":"2026-01-02T04:00:00","ended":"2026-01-02T04:00:00Z","outcome":"done"}',
    b'{"event":"import","run":"x","time":"2026-01-02T04:00:00Z","kind":"enter","rows":-1,"seconds":1}',
    b'{"event":"import","run":"x","time":"2026-01-02T04:00:00Z","kind":"enter","rows":1,"seconds":1e300}',
    b'{"event":"run","run":"x","started":"2026-01-02T04:00:00Z","ended":"2026-01-02T04:00:00Z","outcome":"done","lists":[]}',
    b'{"event":"something else","run":"x"}',
    b"[]",
    b"[" * 100_000,
    b'"\\ud83d"',
]


@pytest.mark.parametrize("damaged", DAMAGE, ids=range(len(DAMAGE)))
def test_a_damaged_line_is_left_out_and_counted_on_the_page(damaged):
    lines = encoded(runs(3))
    history = history_of([lines[0], damaged + b"\n", *lines[1:], b"\n", damaged])
    assert history.runs == history_of(lines).runs
    assert history.unreadable == 2
    assert "2 lines of the journal could not be read and are left out." in Page(render(history, NOW)).text


def test_how_many_lines_could_not_be_read_is_told_on_the_command_line_too(tmp_path):
    result, _ = make_page(tmp_path, [*runs(1), {"half": 1}])
    assert result.code == 0
    assert "1 line of the journal could not be read and is left out" in result.output


@pytest.mark.parametrize("more", [{}, {"weather": {"rain": True}}], ids=["older", "newer"])
def test_lines_of_other_versions_are_read_as_far_as_they_are_known(more):
    page = page_of([OLD_LINES[0], OLD_LINES[1] | more])
    assert "could not be read" not in page.text
    assert page.tables[LAST][1] == [LIST, "\u2013", "\u2013", "\u2013", "7", "0"]
    assert column(page, "All runs", "Took") == ["10 s"]


@pytest.mark.parametrize("year", ["0001", "9999"])
def test_a_clock_that_was_wrong_breaks_no_page(year):
    wrong = {
        **OLD_LINES[1],
        "run": "x",
        "started": f"{year}-06-01T04:00:00Z",
        "ended": f"{year}-06-01T04:00:00Z",
    }
    page = page_of([*OLD_LINES, wrong])
    assert column(page, "All runs", "Enters") == ["7", "7"]


def test_a_run_that_was_killed_is_told_by_its_imports():
    lines = list(runs(3))
    page = page_of(lines[:-1])
    assert column(page, "All runs", "Outcome")[0] == "? no end"
    assert "it was killed, or was still running" in page.text
    assert sum(numbers(page, ["All runs"], "Enters")) == sum(
        line["rows"] for line in lines if line["event"] == "import" and line["kind"] == "enter"
    )


def test_contacts_on_no_list_have_no_size():
    page = page_of([{**OLD_LINES[1], "lists": {"(contacts alone)": {"enters": 7}}}])
    assert "Contacts on no list" in page.text
    assert "size is not known" not in page.text


def test_a_journal_of_plans_alone_shows_them_as_plans():
    page = page_of([{**OLD_LINES[1], "outcome": "plan done"}])
    assert "Last plan" in page.text
    assert column(page, "All runs", "Outcome") == ["\u2713 plan done"]
    assert by_run(LIST) not in page.tables, "it did nothing to the list"


def test_a_bar_that_would_flatten_all_others_is_cut_and_the_table_has_its_number():
    lines = list(runs(30, lists={"one": 95_500}))
    moves = [line["lists"]["one"] for line in lines if line["event"] == "run"]
    longest = max(max(one["enters"], one["exits"]) for one in moves[1:])
    page = page_of(lines)
    assert f"bars above {longest:,} are cut" in page.text
    heights = [
        float(height) for height in re.findall(r'<rect class="enter".* height="([\d.]+)"', page.source)
    ]
    assert len(heights) == 30
    assert 100 < heights[0] + max(heights[1:]) < 220
    assert heights[0] > max(heights[1:]) > 20
    assert column(page, by_run("one"), "Enters")[-1] == "95,500"


def test_every_chart_and_table_says_what_it_is():
    page = page_of(runs(1_000))
    labels = [value for name, value in page.attributes if name == "aria-label"]
    assert len(labels) == page.source.count('role="img"') == page.tags.count("svg") == 5
    assert page.tags.count("h1") == 1
    assert page.tags.index("h1") < page.tags.index("h2") < page.tags.index("h3")
    assert page.tags.count("table") == page.tags.count("caption") == 6


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_colours_stand_out_from_what_is_behind_them(scheme):
    style = resources.files("target_cordial.history").joinpath("page.html").read_text(encoding="utf-8")
    light, dark, *_ = style.split("prefers-color-scheme: dark")
    colours = dict(re.findall(r"--(\w+): (#\w{6});", light if scheme == "light" else dark))
    least = dict.fromkeys(("text", "soft", "good", "bad", "warn"), 4.5) | {"enter": 3, "exit": 3}
    assert set(colours) == {*least, "card", "ground", "line"}
    for name, ratio in least.items():
        for ground in ("card", "ground"):
            assert contrast(colours[name], colours[ground]) >= ratio, (name, ground)


def contrast(one, other):
    """As WCAG 2 defines it."""
    low, high = sorted(map(luminance, (one, other)))
    return (high + 0.05) / (low + 0.05)


def luminance(colour):
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
