"""Check of a built site in a browser: ``python docs/check_pages.py docs/_build/html``.

Headless Chromium opens every page at the width of a phone and of a notebook. A page fails if the
console shows an error, if the page itself scrolls sideways, if a table of results hides its first
result, or if axe-core reports a serious or critical problem of accessibility. axe-core is a file of
its npm package (``npm pack axe-core``); without ``--axe`` accessibility is not checked.
"""

from __future__ import annotations

import argparse
import base64
import fcntl
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

WIDTHS = (420, 1300)
HEIGHT = 900
ALL_PAGES = "**/*.html"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
_TIMEOUT = 60  # seconds for one command

# Elements that reach beyond the window and are not inside an element that scrolls by itself.
_OVERFLOW = """(() => {
  const width = document.documentElement.clientWidth;
  if (document.documentElement.scrollWidth <= width) return [];
  const scrolls = (e) => e && (/auto|scroll|hidden|clip/.test(getComputedStyle(e).overflowX)
    || scrolls(e.parentElement));
  return [...document.body.querySelectorAll("*")]
    .filter((e) => e.getBoundingClientRect().right > width + 1 && !scrolls(e.parentElement))
    .slice(0, 3).map((e) => e.tagName.toLowerCase() + "." + e.className).concat("page");
})()"""

_HIDDEN_RESULTS = """[...document.querySelectorAll("table.results")].filter((table) => {
  const cell = table.querySelector("th:nth-child(2)");
  return cell && cell.getBoundingClientRect().right > document.documentElement.clientWidth;
}).map((table) => table.caption ? table.caption.innerText : "table")"""

_AXE = """axe.run(document, {resultTypes: ["violations"]}).then((found) => found.violations
  .filter((rule) => ["serious", "critical"].includes(rule.impact))
  .map((rule) => rule.id + ", " + rule.nodes[0].html.replace(/ (href|id|src)="[^"]*"/g, "")
    .slice(0, 100)))"""


class Browser:
    """A tab of headless Chromium, controlled through pipes by the DevTools protocol."""

    def __init__(self, executable: str) -> None:
        to_read, self._commands = os.pipe()
        self._answers, to_write = os.pipe()
        # Chromium reads file descriptor 3 and writes 4; copies above them are not overwritten.
        read, write = (fcntl.fcntl(end, fcntl.F_DUPFD, 10) for end in (to_read, to_write))
        self._profile = tempfile.mkdtemp()
        options = [
            "--headless=new",
            "--remote-debugging-pipe",
            "--disable-gpu",
            "--hide-scrollbars",
        ]
        options += ["--no-first-run", "--disable-extensions", f"--user-data-dir={self._profile}"]
        if os.geteuid() == 0:
            options.append("--no-sandbox")  # it refuses to run as root

        def connect() -> None:
            os.dup2(read, 3)
            os.dup2(write, 4)

        self._process = subprocess.Popen(
            [executable, *options, "about:blank"],
            preexec_fn=connect,
            pass_fds=(3, 4),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for end in (to_read, to_write, read, write):
            os.close(end)
        self._buffer, self._n_sent = b"", 0
        self._session: str | None = None
        self.events: deque[dict[str, Any]] = deque()
        target = self.send("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.send("Target.attachToTarget", targetId=target, flatten=True)[
            "sessionId"
        ]
        for domain in ("Page", "Runtime", "Log"):
            self.send(f"{domain}.enable")

    def send(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Send a command and return its result; events until then are appended to `events`."""
        self._n_sent += 1
        message = {"id": self._n_sent, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        self._write(message)
        for answer in self._messages():
            if answer.get("id") == self._n_sent:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']['message']}")
                return answer["result"]
            self.events.append(answer)
        raise RuntimeError("The browser has closed the connection.")

    def _write(self, message: dict[str, Any]) -> None:
        data = json.dumps(message).encode() + b"\0"
        while data:
            data = data[os.write(self._commands, data) :]

    def _messages(self) -> Iterator[dict[str, Any]]:
        while True:
            while b"\0" in self._buffer:
                message, self._buffer = self._buffer.split(b"\0", 1)
                yield json.loads(message)
            part = os.read(self._answers, 1 << 20)
            if not part:
                return
            self._buffer += part

    def evaluate(self, expression: str) -> Any:
        """Return the value of a JavaScript expression, awaited if it is a promise."""
        result = self.send(
            "Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True
        )
        if "exceptionDetails" in result:
            raise RuntimeError(result["exceptionDetails"]["exception"]["description"])
        return result["result"].get("value")

    def open(self, url: str, width: int) -> list[str]:
        """Open a page, wait until its scripts have run, and return errors of the console."""
        self.send(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=HEIGHT,
            deviceScaleFactor=1,
            mobile=False,
        )
        self.events.clear()
        self.send("Page.navigate", url=url)
        start = time.monotonic()
        while not self.evaluate("document.readyState == 'complete'"):
            if time.monotonic() > start + _TIMEOUT:
                raise RuntimeError(f"{url} was not loaded within {_TIMEOUT} s.")
            time.sleep(0.02)
        # Two frames later, scripts that run on load have changed the layout.
        self.evaluate("new Promise((r) => requestAnimationFrame(() => requestAnimationFrame(r)))")
        return console_errors(self.events)

    def screenshot(self, path: Path) -> None:
        """Write the whole page as PNG."""
        size = self.send("Page.getLayoutMetrics")["cssContentSize"]
        clip = {
            "x": 0,
            "y": 0,
            "width": size["width"],
            "height": min(size["height"], 6000),
            "scale": 1,
        }
        data = self.send("Page.captureScreenshot", clip=clip, captureBeyondViewport=True)["data"]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(base64.b64decode(data))

    def close(self) -> None:
        """Close the browser and remove its profile."""
        self._session = None
        self.send("Browser.close")
        self._process.wait(timeout=_TIMEOUT)
        shutil.rmtree(self._profile, ignore_errors=True)


def console_errors(events: Iterable[dict[str, Any]]) -> list[str]:
    """Return the texts of errors and uncaught exceptions among the events of a page."""
    errors = []
    for event in events:
        found = event.get("params", {})
        if event.get("method") == "Runtime.exceptionThrown":
            details = found["exceptionDetails"]
            errors.append(details.get("exception", {}).get("description", details["text"]))
        elif event.get("method") == "Runtime.consoleAPICalled" and found["type"] == "error":
            errors.append(" ".join(str(part.get("value", "")) for part in found["args"]))
        elif event.get("method") == "Log.entryAdded" and found["entry"]["level"] == "error":
            errors.append(f"{found['entry']['text']} {found['entry'].get('url', '')}".strip())
    return errors


class Quiet(SimpleHTTPRequestHandler):
    """Request handler without a log."""

    def log_message(self, format: str, *args: Any) -> None:
        """Drop the message."""


def page_problems(browser: Browser, url: str, width: int, axe: str | None) -> list[str]:
    """Open a page at one width and return its problems."""
    problems = [f"console: {error}" for error in browser.open(url, width)]
    if overflow := browser.evaluate(_OVERFLOW):
        problems.append("scrolls sideways: " + ", ".join(overflow))
    problems += [f"result column hidden: {title}" for title in browser.evaluate(_HIDDEN_RESULTS)]
    if axe is not None:
        browser.evaluate(axe + "; true")
        problems += [f"axe: {finding}" for finding in browser.evaluate(_AXE)]
    return problems


def site_pages(site: Path, only: str = ALL_PAGES) -> list[str]:
    """Return the pages of a built site that match a pattern, relative to its folder."""
    pages = (path.relative_to(site) for path in sorted(site.glob(only)))
    # _static contains templates of the theme.
    return [path.as_posix() for path in pages if path.parts[0] != "_static"]


def report_lines(found: Mapping[str, Sequence[str]]) -> list[str]:
    """Return a line for each problem, with the first page that has it and their number."""
    return [
        f"{views[0]}{f' and {len(views) - 1} more' if len(views) > 1 else ''}: {problem}"
        for problem, views in found.items()
    ]


def main() -> int:
    """Print the problems of all pages; return 1 if there are any."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("site", type=Path)
    parser.add_argument("--axe", type=Path, help="axe.min.js of the npm package axe-core")
    parser.add_argument(
        "--pages", default=ALL_PAGES, help='pattern of pages, such as "generated/*.html"'
    )
    parser.add_argument("--widths", type=int, nargs="+", default=WIDTHS)
    parser.add_argument("--dark", action="store_true", help="the colors of the dark mode")
    parser.add_argument("--screenshots", type=Path, help="folder for a PNG of each page and width")
    options = parser.parse_args()
    executable = next(filter(None, map(shutil.which, BROWSERS)), None)
    if executable is None:
        print(f"no browser: install one of {', '.join(BROWSERS)}")
        return 2
    pages = site_pages(options.site, options.pages)
    if not pages:
        print(f"{options.site} has no such pages: run make docs first")
        return 2
    axe = options.axe.read_text(encoding="utf-8") if options.axe else None
    # A page opened as a file may not read the list of versions.
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(options.site)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    browser = Browser(executable)
    scheme = {"name": "prefers-color-scheme", "value": "dark" if options.dark else "light"}
    browser.send("Emulation.setEmulatedMedia", features=[scheme])
    found: dict[str, list[str]] = {}
    for page in pages:
        for width in options.widths:
            url = f"http://127.0.0.1:{server.server_port}/{page}"
            for problem in page_problems(browser, url, width, axe):
                found.setdefault(problem, []).append(f"{page}, {width} px")
            if options.screenshots:
                browser.screenshot(options.screenshots / f"{page.replace('/', '-')}-{width}.png")
    browser.close()
    server.shutdown()
    print(*report_lines(found), sep="\n", end="\n" if found else "")
    print(f"{len(pages)} pages at {len(options.widths)} widths, {len(found)} problems")
    return bool(found)


if __name__ == "__main__":
    sys.exit(main())
