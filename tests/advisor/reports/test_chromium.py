"""The page in a real browser: its policy stops nothing of its own, and nothing is asked of anybody."""

from __future__ import annotations

import http.server
import shutil
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from advisor.reports.html import render_html
from tests.advisor.reports.illustrated import illustrated
from tests.advisor.reports.nasty import nasty
from tests.advisor.reports.test_html import Page
from tests.advisor.reports.traced import traced

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome") or shutil.which("chromium-browser")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here")
REFUSED = ("Refused to", "Content Security Policy", "violates")


class Served:
    """Pages over HTTP, and every path that was asked for."""

    def __init__(self, server: http.server.ThreadingHTTPServer, folder: Path, asked: list[str]) -> None:
        self.folder = folder
        self.asked = asked
        self.url = f"http://127.0.0.1:{server.server_address[1]}"


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    """A server of a folder of its own."""
    asked: list[str] = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args: object, **kwargs: object) -> None:
            super().__init__(*args, directory=str(tmp_path), **kwargs)  # type: ignore[arg-type]

        def do_GET(self) -> None:
            asked.append(self.path)
            super().do_GET()

        def log_message(self, *args: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield Served(server, tmp_path, asked)
    server.shutdown()
    server.server_close()


def opened(served: Served, text: str, profile: Path) -> tuple[str, str]:
    """What the browser makes of a page: its document, and what it complained of."""
    (served.folder / "page.html").write_text(text, encoding="utf-8")
    flags = ("--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--dump-dom")
    done = subprocess.run(
        [str(CHROMIUM), *flags, f"--user-data-dir={profile}", f"{served.url}/page.html"],
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout, "\n".join(line for line in done.stderr.splitlines() if "CONSOLE" in line)


def test_the_browser_would_complain(served: Served, tmp_path: Path) -> None:
    """That a page breaks its own policy shows here; else the tests below could not fail."""
    bad = render_html(illustrated()).replace("<main>", '<main><p style="color: red"><img src="/x.png"></p>')
    _, said = opened(served, bad, tmp_path / "profile")
    assert any(word in said for word in REFUSED)


PAGES = {"illustrated": lambda: illustrated(2), "nasty": nasty, "traced": traced}


@pytest.mark.parametrize("name", PAGES)
def test_nothing_is_refused_and_nothing_requested(served: Served, tmp_path: Path, name: str) -> None:
    text = render_html(PAGES[name]())
    dom, said = opened(served, text, tmp_path / "profile")
    assert said == ""
    assert served.asked == ["/page.html"]
    ours, theirs = Page(text), Page(dom)
    assert "script" not in theirs.tags
    assert sorted(set(theirs.tags)) == sorted(set(ours.tags))
    assert theirs.tags.count("svg") == ours.tags.count("svg") > 0
