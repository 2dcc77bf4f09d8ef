"""Every format, byte by byte, for a document of hostile content, and for documents of traces.

After a wanted change, write the files again and read the difference:

    ADVISOR_UPDATE_GOLDEN=1 python -m pytest -n0 tests/advisor/reports/test_golden.py && git diff tests/
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from advisor.document import Diagnosis
from advisor.reports.csv import render_csv
from advisor.reports.json import decode, encode
from advisor.reports.markdown import render_markdown
from advisor.reports.text import render_text
from tests.advisor.reports.nasty import nasty
from tests.advisor.reports.traced import ranked, traced

FOLDER = Path(__file__).parent / "golden"

FORMATS: dict[str, Callable[[Diagnosis], bytes]] = {
    "nasty.md": lambda d: render_markdown(d).encode(),
    "nasty.jira.txt": lambda d: render_markdown(d, "jira").encode(),
    "nasty.txt": lambda d: render_text(d, 80, False).encode(),
    "nasty.ansi": lambda d: render_text(d, 120, True).encode(),
    "nasty.ascii.txt": lambda d: render_text(d, 80, False, unicode=False).encode("ascii"),
    "nasty.json": encode,
}
TRACES: dict[str, Callable[[], bytes]] = {
    "traced.80.txt": lambda: render_text(traced(), 80, False).encode(),
    "traced.ansi": lambda: render_text(traced(), 120, True).encode(),
    "traced.ascii.txt": lambda: render_text(traced(), 60, False, unicode=False).encode("ascii"),
    "traced.md": lambda: render_markdown(traced()).encode(),
    "traced.csv": lambda: render_csv(traced()).encode(),
    "traced-ranks.120.txt": lambda: render_text(ranked(), 120, False).encode(),
    "traced-ranks.jira.txt": lambda: render_markdown(ranked(), "jira").encode(),
}


@pytest.mark.parametrize("name", FORMATS)
def test_bytes_are_as_they_were(name: str) -> None:
    _is_as_it_was(name, FORMATS[name](nasty()))


@pytest.mark.parametrize("name", TRACES)
def test_bytes_of_traces_are_as_they_were(name: str) -> None:
    _is_as_it_was(name, TRACES[name]())


def _is_as_it_was(name: str, made: bytes) -> None:
    path = FOLDER / name
    if os.environ.get("ADVISOR_UPDATE_GOLDEN"):
        path.write_bytes(made)
    assert made == path.read_bytes(), f"{name} changed; see the top of {Path(__file__).name}"


def test_rendering_twice_gives_the_same() -> None:
    for render in FORMATS.values():
        assert render(nasty()) == render(nasty())


def test_the_kept_json_is_still_read_and_gives_the_same_ticket() -> None:
    kept = decode((FOLDER / "nasty.json").read_bytes())
    assert encode(kept) == (FOLDER / "nasty.json").read_bytes()
    assert render_text(kept, 80, False).count("GPU") > 5
