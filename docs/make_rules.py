#!/usr/bin/env python3
"""Writes docs/rules/ from the rules' own docstrings. A test checks that the pages are up to date."""

from __future__ import annotations

import sys
from pathlib import Path

FOLDER = Path(__file__).resolve().parent / "rules"
sys.path.insert(0, str(FOLDER.parent.parent))


def pages() -> dict[str, str]:
    """File name -> text."""
    from rules.registry import all_rules, page

    rows = [
        f"| [{r.code}]({r.code}.md) | {r.title} | {r.severity} | {r.owner} | {_term(r.term)} |"
        for r in all_rules()
    ]
    head = ("| code | finding | up to | who can act | explains |", "|---|---|---|---|---|")
    table = "\n".join((*head, *rows))
    how = (
        "Made by `python docs/make_rules.py`; `advisor explain CODE` prints the same pages. Of the findings "
        "that\nexplain one term of the ladder on one device, one is primary and the others contribute; "
        "faults,\nfacts and capacity explain none and stand alone. Rules of your own: "
        "[writing-rules](../writing-rules.md)."
    )
    index = f"# Rules\n\n{how}\n\n{table}\n"
    return {"README.md": index, **{f"{r.code}.md": page(r.code) for r in all_rules()}}


def _term(term: str | None) -> str:
    return "–" if term is None else f"`{term}`"


def main() -> None:
    """Write every page."""
    FOLDER.mkdir(exist_ok=True)
    for name, text in pages().items():
        (FOLDER / name).write_text(text)


if __name__ == "__main__":
    main()
