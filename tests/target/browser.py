"""A real browser, without a window, that measures pages: Chromium or Chrome, where one is installed."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

BROWSER = next(
    filter(
        None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable"))
    ),
    None,
)
OPTIONS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--hide-scrollbars", "--dump-dom",
)  # fmt: skip
SCHEMES = {"dark": 0, "light": 1}
TIMEOUT_SECONDS = 240
_FRAME = '<iframe name="{name}" style="border:0;width:{width}px;height:3000px" srcdoc="{page}"></iframe>'
# A browser lists what it fetches from servers, not files: so relative addresses lead to a server that is not there.
_MEASURE = """
<!DOCTYPE html><meta charset="utf-8"><base href="http://127.0.0.1:9/"><body>%s
<script>
const labelled = (cell, style) => [style(cell, "::before").content.slice(1, -1),
  cell.closest("table").querySelectorAll("thead th")[cell.cellIndex].textContent];
function measure(frame) {
  const page = frame.contentDocument, style = frame.contentWindow.getComputedStyle, width = frame.clientWidth;
  page.querySelectorAll("details").forEach(details => { details.open = true; });
  const all = [...page.body.querySelectorAll("*")].filter(element => element.getClientRects().length);
  const box = element => element.getBoundingClientRect();
  const cells = all.filter(element => element.matches("tbody td"));
  return {
    name: frame.name, width, elements: all.length, scroll_width: page.documentElement.scrollWidth,
    outside: all.filter(e => box(e).left < -0.5 || box(e).right > width + 0.5).map(e => e.outerHTML.slice(0, 200)),
    dates: [...page.querySelectorAll(".dates")].map(dates =>
      [...dates.children].filter(date => date.getClientRects().length).map(date => [box(date).left, box(date).right])),
    labels: cells.filter(cell => style(cell).display === "flex").map(cell => labelled(cell, style)),
    letters: Math.min(...all.filter(e => e.textContent.trim()).map(e => parseFloat(style(e).fontSize))),
    colour: style(page.body).color, ground: style(page.body).backgroundColor,
    fetched: frame.contentWindow.performance.getEntriesByType("resource").map(entry => entry.name),
  };
}
addEventListener("load", () => {
  const seen = JSON.stringify([...document.querySelectorAll("iframe")].map(measure));
  document.body.replaceChildren(Object.assign(document.createElement("pre"), {id: "seen", textContent: seen}));
});
</script>
"""


def measure(pages: dict[str, str], widths: list[int], scheme: str) -> list[dict[str, Any]]:
    """Return what `measure` above finds in each page at each width; pages are given by name."""
    assert BROWSER, "install Chromium: these tests judge what it shows"
    frames = "".join(
        _FRAME.format(name=name, width=width, page=html.escape(source))
        for name, source in pages.items()
        for width in widths
    )
    with tempfile.TemporaryDirectory(prefix="browser-") as folder:
        page = Path(folder) / "measure.html"
        page.write_text(_MEASURE % frames, encoding="utf-8")
        scheme_option = f"--blink-settings=preferredColorScheme={SCHEMES[scheme]}"
        command = [BROWSER, *OPTIONS, f"--user-data-dir={folder}/profile", scheme_option, page.as_uri()]
        reply = subprocess.run(command, capture_output=True, timeout=TIMEOUT_SECONDS, check=True)
    seen = re.search(r'<pre id="seen">(.*?)</pre>', reply.stdout.decode(), re.DOTALL)
    assert seen, reply.stdout.decode()[-2000:]
    measured: list[dict[str, Any]] = json.loads(html.unescape(seen[1]))
    assert len(measured) == len(pages) * len(widths)
    return measured
