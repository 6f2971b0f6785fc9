"""A headless Chromium, driven over its own debugging pipe: pages are opened, used, and asked what they did."""

from __future__ import annotations

import base64
import contextlib
import fcntl
import json
import os
import select
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

__all__ = ["PROGRAMS", "Browser", "Page", "chromium"]

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
PATIENCE = 30.0
# Nothing but the loopback interface can be reached, and nothing is asked for that the page did not ask for.
FLAGS = (
    "--headless=new",
    "--remote-debugging-pipe",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-quic",
    "--hide-scrollbars",
)


class Browser:
    """One running Chromium; commands go to its file descriptor 3, answers and events come from its 4."""

    def __init__(self, commands: int, answers: int) -> None:
        self._commands = commands
        self._answers = answers
        self._read = b""
        self._last = 0
        self._context: str | None = None
        self._pages: dict[str, Page] = {}

    def page(self, *, width: int = 1280, height: int = 900, dark: bool = False) -> Page:
        """Close the page before, and open one that shares nothing with it."""
        if self._context is not None:
            self._pages.clear()
            self.call("Target.disposeBrowserContext", browserContextId=self._context)
        self._context = self.call("Target.createBrowserContext")["browserContextId"]
        target = self.call("Target.createTarget", url="about:blank", browserContextId=self._context)["targetId"]
        session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        page = self._pages[session] = Page(self, session)
        for domain in ("Page", "Network", "Runtime", "Log", "Audits"):
            page.call(f"{domain}.enable")
        page.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 500
        )
        page.prefer(dark=dark)
        return page

    def call(self, method: str, session: str | None = None, /, **parameters: Any) -> dict[str, Any]:
        """Send one command and wait for its answer; events that come before it go to their pages."""
        self._last += 1
        message = {"id": self._last, "method": method, "params": parameters}
        if session is not None:
            message["sessionId"] = session
        _write(self._commands, json.dumps(message).encode() + b"\0")
        while True:
            received = self._receive()
            if received.get("id") == self._last:
                assert "error" not in received, f"{method}: {received['error']['message']}"
                result: dict[str, Any] = received["result"]
                return result
            page = self._pages.get(received.get("sessionId", ""))
            if page is not None and "method" in received:
                page.saw(received["method"], received["params"])

    def _receive(self) -> dict[str, Any]:
        while b"\0" not in self._read:
            readable, _, _ = select.select([self._answers], [], [], PATIENCE)
            piece = os.read(self._answers, 1 << 20) if readable else b""
            assert piece, "the browser does not answer"
            self._read += piece
        message, _, self._read = self._read.partition(b"\0")
        received: dict[str, Any] = json.loads(message)
        return received


class Page:
    """One page: what it asked for in ``requests``, and what it did wrong in ``problems``."""

    def __init__(self, browser: Browser, session: str) -> None:
        self._browser = browser
        self._session = session
        self.requests: list[str] = []
        self.problems: list[str] = []

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Send one command to this page."""
        return self._browser.call(method, self._session, **parameters)

    def saw(self, event: str, detail: dict[str, Any]) -> None:
        """Keep what an event says, where it says something that tests ask about."""
        if event == "Network.requestWillBeSent":
            self.requests.append(detail["request"]["url"])
        elif event == "Audits.issueAdded" and detail["issue"]["code"] == "ContentSecurityPolicyIssue":
            self.problems.append(f"against the policy: {detail['issue']['details']}")
        elif event == "Runtime.exceptionThrown":
            self.problems.append(f"exception: {detail['exceptionDetails']}")
        elif event == "Log.entryAdded" and detail["entry"]["level"] == "error":
            self.problems.append(f"log: {detail['entry']['text']} {detail['entry'].get('url', '')}")

    def prefer(self, *, dark: bool) -> None:
        """Let the person prefer dark or light pages."""
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])

    def open(self, url: str) -> None:
        """Go to an address and wait until the page and all it names are loaded."""
        answer = self.call("Page.navigate", url=url)
        assert not answer.get("errorText"), f"{url}: {answer['errorText']}"
        self.until("document.readyState === 'complete'")

    def ask(self, expression: str) -> Any:
        """Evaluate JavaScript in the page; the page's policy does not bind it."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, f"{expression}: {answer['exceptionDetails']}"
        return answer["result"].get("value")

    def until(self, expression: str) -> None:
        """Wait until an expression is true."""
        deadline = time.monotonic() + PATIENCE
        while not self.ask(f"!!({expression})"):
            assert time.monotonic() < deadline, f"never true: {expression}\n{self.text}\n{self.problems}"
            time.sleep(0.02)

    def click(self, selector: str) -> None:
        """Click an element as soon as it is there."""
        found = f"document.querySelector({json.dumps(selector)})"
        self.until(found)
        self.ask(f"{found}.click()")

    def type(self, selector: str, text: str) -> None:
        """Replace what a field holds by a text that is typed."""
        found = f"document.querySelector({json.dumps(selector)})"
        self.until(found)
        self.ask(f"{found}.focus(); {found}.select()")
        self.call("Input.insertText", text=text)

    @property
    def text(self) -> str:
        """What can be read on the page."""
        return str(self.ask("document.body.innerText"))

    def screenshot(self, path: Path, *, whole: bool = False) -> None:
        """Write what can be seen into a PNG file."""
        data = self.call("Page.captureScreenshot", captureBeyondViewport=whole)["data"]
        path.write_bytes(base64.b64decode(data))


def _write(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]


@contextlib.contextmanager
def chromium() -> Iterator[Browser]:
    """Start the Chromium of this machine, with an empty profile, and end it."""
    program = next(path for name in PROGRAMS if (path := shutil.which(name)))
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        theirs_in, ours_out = _pipe()
        ours_in, theirs_out = _pipe()
        actions = [
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0),
            (os.POSIX_SPAWN_DUP2, 1, 2),
            (os.POSIX_SPAWN_DUP2, theirs_in, 3),
            (os.POSIX_SPAWN_DUP2, theirs_out, 4),
        ]
        arguments = [program, *FLAGS, f"--user-data-dir={profile}", "about:blank"]
        # A process group of its own, with all the processes it starts.
        process = os.posix_spawn(program, arguments, os.environ, file_actions=actions, setpgroup=0)
        for descriptor in (theirs_in, theirs_out):
            os.close(descriptor)
        try:
            yield Browser(ours_out, ours_in)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process, signal.SIGKILL)
            os.waitpid(process, 0)
            for descriptor in (ours_in, ours_out):
                os.close(descriptor)


def _pipe() -> tuple[int, int]:
    """Make a pipe whose ends are none of the descriptors that the browser is given them under."""
    ends = os.pipe()
    moved = [fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 10) for end in ends]
    for end in ends:
        os.close(end)
    return moved[0], moved[1]
