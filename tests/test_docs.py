"""Pages that are made from the code are what the code says now."""

from __future__ import annotations

import runpy
from pathlib import Path

DOCS = Path(__file__).resolve().parent.parent / "docs"


def test_rule_pages_are_up_to_date() -> None:
    made = runpy.run_path(str(DOCS / "make_rules.py"))["pages"]()
    kept = {path.name: path.read_text() for path in (DOCS / "rules").glob("*.md")}
    assert kept == made, "run `python docs/make_rules.py`"
