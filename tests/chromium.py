"""Headless Chromium, spoken to over WebDriver with the standard library alone."""

import json
import shutil
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path
from urllib.request import Request, urlopen

SWITCHES = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


def missing_browser() -> str | None:
    """What is not installed, if anything."""
    names = [name for name in ("chromium", "chromedriver") if shutil.which(name) is None]
    return f"install {' and '.join(names)} (Debian: chromium, chromium-driver)" if names else None


class Browser:
    def __init__(self, session: str):
        self.session = session

    def open(self, path: Path, width: int = 1200) -> None:
        _call(f"{self.session}/window/rect", {"width": width, "height": 900})
        # Away from the browser's own start page, whose requests are not ours.
        _call(f"{self.session}/url", {"url": "about:blank"})
        self.requests()
        address = path.absolute().as_uri()
        _call(f"{self.session}/url", {"url": address})
        # On a busy machine the driver may answer before a large page is whole.
        whole = f"return document.readyState === 'complete' && location.href === {address!r}"
        for _ in range(600):
            if self.run(whole):
                return
            time.sleep(0.05)
        raise TimeoutError(address)

    def run(self, script: str):
        """What ``script``, the body of a function, returns in the page."""
        return _call(f"{self.session}/execute/sync", {"script": script, "args": []})

    def requests(self) -> list[str]:
        """Address of every request since the last call, refused ones too."""
        entries = _call(f"{self.session}/se/log", {"type": "performance"})
        messages = [json.loads(entry["message"])["message"] for entry in entries]
        return [
            message["params"]["request"]["url"]
            for message in messages
            if message["method"] == "Network.requestWillBeSent"
        ]


@contextmanager
def browser(folder: Path):
    """A browser with a fresh profile in ``folder``."""
    port_line = "started successfully on port "
    driver = subprocess.Popen(
        ["chromedriver", "--port=0"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    try:
        line = next(line for line in driver.stdout if port_line in line)
        base = f"http://127.0.0.1:{line.split(port_line)[1].strip().rstrip('.')}"
        options = {
            "args": [*SWITCHES, f"--user-data-dir={folder}"],
            "binary": shutil.which("chromium"),
        }
        wanted = {
            "browserName": "chrome",
            "goog:chromeOptions": options,
            "goog:loggingPrefs": {"performance": "ALL"},
        }
        begun = _call(f"{base}/session", {"capabilities": {"alwaysMatch": wanted}})
        session = f"{base}/session/{begun['sessionId']}"
        try:
            yield Browser(session)
        finally:
            _send(Request(session, method="DELETE"))
            # Chromium goes on writing its profile for a moment; pytest is to find it at rest.
            time.sleep(0.2)
    finally:
        driver.terminate()
        driver.wait(timeout=20)
        driver.stdout.close()


def _call(url: str, body: dict):
    return _send(Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"}))


def _send(request: Request):
    with urlopen(request, timeout=60) as answer:
        return json.load(answer)["value"]
