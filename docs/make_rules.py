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

    rows = [f"| [{r.code}]({r.code}.md) | {r.title} | {r.severity} | {r.owner} |" for r in all_rules()]
    table = "\n".join(("| code | finding | up to | who can act |", "|---|---|---|---|", *rows))
    how = "Made by `python docs/make_rules.py`; `advisor explain CODE` prints the same pages."
    index = f"# Rules\n\n{how}\n\n{table}\n"
    return {"README.md": index, **{f"{r.code}.md": page(r.code) for r in all_rules()}}


def main() -> None:
    """Write every page."""
    FOLDER.mkdir(exist_ok=True)
    for name, text in pages().items():
        (FOLDER / name).write_text(text)


if __name__ == "__main__":
    main()
