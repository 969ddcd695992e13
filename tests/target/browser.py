"""A real browser, without a window, that measures pages: Chromium or Chrome, where one is installed."""

from __future__ import annotations

import contextlib
import functools
import html
import http.server
import json
import re
import shutil
import subprocess
import tempfile
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

BROWSER = next(
    filter(
        None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable"))
    ),
    None,
)
SCHEMES = {"dark": 0, "light": 1}
TIMEOUT_SECONDS = 240
HEIGHT = 3_000

_MEASURE = """
<!DOCTYPE html><meta charset="utf-8"><link rel="icon" href="data:,"><body>%s
<script>
const seen = element => element.getClientRects().length > 0;
const rect = element => { const r = element.getBoundingClientRect(); return [r.left, r.right, r.top, r.bottom]; };
const clipped = element => element.closest("caption") !== null;
function measure(frame) {
  const page = frame.contentDocument, width = frame.clientWidth;
  page.querySelectorAll("details").forEach(details => { details.open = true; });
  const everything = [...page.body.querySelectorAll("*")].filter(e => seen(e) && !clipped(e));
  const outside = everything.filter(e => rect(e)[0] < -0.5 || rect(e)[1] > width + 0.5).map(e => e.outerHTML.slice(0, 200));
  const dates = [...page.querySelectorAll("svg")].map(svg => [...svg.querySelectorAll("text.date")].filter(seen).map(rect));
  const style = frame.contentWindow.getComputedStyle(page.body);
  return {
    name: frame.dataset.name, width, scrollWidth: page.documentElement.scrollWidth, outside, dates,
    colour: style.color, ground: style.backgroundColor, bars: page.querySelectorAll("svg rect").length,
    smallest: Math.min(...everything.filter(e => e.textContent.trim()).map(e => parseFloat(frame.contentWindow.getComputedStyle(e).fontSize))),
  };
}
addEventListener("load", () => {
  const found = [...document.querySelectorAll("iframe")].map(measure);
  document.body.replaceChildren(Object.assign(document.createElement("pre"), {id: "found", textContent: JSON.stringify(found)}));
});
</script>
"""


@dataclass(frozen=True)
class Seen:
    """A page as a browser laid it out.

    Attributes:
        name: The file.
        width: The width that it had.
        scroll_width: The width that it took.
        outside: Elements that stick out at either side.
        dates: Of each chart, the dates in sight: left, right, top and bottom.
        colour: Of the text.
        ground: Behind it.
        bars: How many.
        smallest: The smallest letters, in pixels.
        requests: What the browser asked of the server.
    """

    name: str
    width: int
    scroll_width: int
    outside: list[str]
    dates: list[list[list[float]]]
    colour: str
    ground: str
    bars: int
    smallest: float
    requests: list[str]


def look_at(folder: Path, names: Sequence[str], widths: Sequence[int], scheme: str) -> list[Seen]:
    """Open pages in a browser.

    Args:
        folder: Where they are.
        names: Their files.
        widths: Each is opened at each of these widths, in pixels.
        scheme: light or dark.
    """
    frames = "".join(
        f'<iframe src="{name}" data-name="{name}" style="border:0;width:{width}px;height:{HEIGHT}px"></iframe>'
        for name in names
        for width in widths
    )
    (folder / "measure.html").write_text(_MEASURE % frames, encoding="utf-8")
    with _served(folder) as (url, requests), tempfile.TemporaryDirectory(prefix="browser-") as profile:
        reply = subprocess.run(
            [
                str(BROWSER),
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--no-first-run",
                "--hide-scrollbars",
                f"--user-data-dir={profile}",
                f"--blink-settings=preferredColorScheme={SCHEMES[scheme]}",
                "--dump-dom",
                f"{url}/measure.html",
            ],
            capture_output=True,
            timeout=TIMEOUT_SECONDS,
            check=True,
        )
    found = re.search(r'<pre id="found">(.*?)</pre>', reply.stdout.decode(), re.DOTALL)
    assert found, reply.stdout.decode()[-2000:]
    return [
        Seen(
            name=item["name"],
            width=item["width"],
            scroll_width=item["scrollWidth"],
            outside=item["outside"],
            dates=item["dates"],
            colour=item["colour"],
            ground=item["ground"],
            bars=item["bars"],
            smallest=item["smallest"],
            requests=requests,
        )
        for item in json.loads(html.unescape(found[1]))
    ]


@contextlib.contextmanager
def _served(folder: Path) -> Iterator[tuple[str, list[str]]]:
    requests: list[str] = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: Any) -> None:
            requests.append(self.path)

    server = http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(Handler, directory=str(folder))
    )
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", requests
    finally:
        server.shutdown()
        server.server_close()
