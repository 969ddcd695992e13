"""The report in a real browser: on a phone and on a desktop, by day and by night."""

import itertools
from urllib.parse import unquote

import pytest

from tests.target.browser import BROWSER, look_at
from tests.target.journals import runs
from tests.target.test_report import page_of

pytestmark = pytest.mark.skipif(BROWSER is None, reason="needs Chromium or Chrome")

JOURNALS = {
    "1.html": lambda: runs(1),
    "18, and the last one failed.html": lambda: runs(18, lists={"Lytics_VIP_Customers": 2_345_678}),
    "1000.html": lambda: runs(1_000),
    "many lists with long names.html": lambda: runs(45, lists={f"Lytics_{'x' * 100}_{n}": 10 ** (n % 8) for n in range(12)}),
}  # fmt: skip
WIDTHS = [320, 360, 768, 1280]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("pages")
    for name, lines in JOURNALS.items():
        (made / name).write_text(page_of(lines()).source, encoding="utf-8")
    return made


@pytest.fixture(scope="module", params=["light", "dark"])
def seen(request, folder):
    return request.param, look_at(folder, list(JOURNALS), WIDTHS, request.param)


def test_nothing_is_wider_than_the_screen(seen):
    for page in seen[1]:
        assert page.bars > 0
        assert page.scroll_width <= page.width, (page.name, page.width)
        assert page.outside == [], (page.name, page.width)


def test_dates_under_a_chart_do_not_touch_each_other(seen):
    for page in seen[1]:
        assert any(page.dates)
        for dates in page.dates:
            for left, right in itertools.pairwise(sorted(dates)):
                assert left[1] + 4 < right[0], (page.name, page.width)


def test_letters_are_large_enough_to_read(seen):
    assert all(page.smallest >= 12 for page in seen[1])


def test_the_page_is_dark_in_the_dark(seen):
    scheme, pages = seen
    for page in pages:
        is_dark = sum(map(int, page.ground[4:-1].split(","))) < 3 * 128
        assert is_dark is (scheme == "dark")
        assert sum(map(int, page.colour[4:-1].split(","))) > 3 * 128 or not is_dark


def test_the_browser_asks_for_nothing_but_the_page(seen):
    asked = {unquote(path) for path in seen[1][0].requests}
    assert asked == {"/measure.html", *[f"/{name}" for name in JOURNALS]}
