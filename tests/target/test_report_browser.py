"""The report in a real browser: on a phone and on a desktop, by day and by night."""

import itertools
import os

import pytest

from tests.target.browser import BROWSER, measure
from tests.target.journals import runs
from tests.target.test_report import page_of

# Where a change is judged, tests that did not run must not look like tests that passed.
pytestmark = pytest.mark.skipif(BROWSER is None and "CI" not in os.environ, reason="needs Chromium or Chrome")

JOURNALS = {
    "1": lambda: runs(1),
    "18, and the last one failed": lambda: runs(18, lists={"Lytics_VIP_Customers": 2_345_678}),
    "1000": lambda: runs(1_000),
    "many lists with long names": lambda: runs(45, lists={f"Lytics_{'x' * 100}_{n}": 10 ** (n % 8) for n in range(12)}),
}  # fmt: skip
WIDTHS = [320, 360, 768, 1280]
BAD = """<!DOCTYPE html><style>td { display: flex } td::before { content: "b" }</style><body style="font-size:8px">
<img src="missing.png"><div style="width:2000px">wide</div>
<div class="dates"><span>touching</span><span>dates</span></div>
<table><thead><tr><th>a</th></tr></thead><tbody><tr><td>1</td></tr></tbody></table>"""


@pytest.fixture(scope="module", params=["light", "dark"])
def seen(request):
    pages = {name: page_of(lines()).source for name, lines in JOURNALS.items()}
    measured = measure(pages, WIDTHS, request.param)
    assert [(page["name"], page["width"]) for page in measured] == list(itertools.product(pages, WIDTHS))
    assert all(page["elements"] > 100 for page in measured)
    return request.param, measured


def problems(page):
    """What is wrong with a page, whatever its colours."""
    pairs = [pair for dates in page["dates"] for pair in itertools.pairwise(dates)]
    faults = {
        "wider than the screen": page["scroll_width"] > page["width"] or page["outside"],
        "dates that touch each other": [pair for pair in pairs if pair[0][1] + 4 >= pair[1][0]],
        "letters too small to read": page["letters"] < 12,
        "labels that are not their column's": [pair for pair in page["labels"] if pair[0] != pair[1]],
        "fetched": page["fetched"],
    }
    return {name: what for name, what in faults.items() if what}


def test_pages_fit_the_screen_can_be_read_and_fetch_nothing(seen):
    _, pages = seen
    assert {(page["name"], page["width"]): problems(page) for page in pages if problems(page)} == {}
    assert all(page["dates"] and all(page["dates"]) for page in pages), "each page has dates"
    assert all(bool(page["labels"]) is (page["width"] < 600) for page in pages), (
        "tables are stacked on phones"
    )


def test_pages_are_dark_in_the_dark(seen):
    scheme, pages = seen
    grounds, letters = ({brightness(page[key]) > 0.5 for page in pages} for key in ("ground", "colour"))
    assert (grounds, letters) == ({scheme == "light"}, {scheme == "dark"})


def test_what_is_wrong_with_a_page_is_found():
    [page] = measure({"bad": BAD}, [320], "light")
    assert list(problems(page)) == [
        "wider than the screen",
        "dates that touch each other",
        "letters too small to read",
        "labels that are not their column's",
        "fetched",
    ]


def brightness(colour):
    """Of a colour such as `rgb(1, 2, 3)`, from 0 to 1."""
    return sum(map(int, colour[4:-1].split(","))) / (3 * 255)
