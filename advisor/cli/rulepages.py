"""Rules as a list, as records, and as pages a terminal can show."""

from __future__ import annotations

import io
from collections.abc import Sequence

from advisor.cli import output
from advisor.reports.escape import terminal
from rules.registry import Rule, all_rules, page


def listing(rules: Sequence[Rule], width: int) -> str:
    """One line a rule, cut at the terminal's width."""
    wide = max((len(r.code) for r in rules), default=0) + 2
    lines = [f"{r.code:<{wide}}{r.severity:<10}{r.owner:<7}{_said(r)}" for r in rules]
    return "".join(line[:width].rstrip() + "\n" for line in lines)


def _said(rule: Rule) -> str:
    """The title, and where it is not our own rule the package that brought it. Both may be anybody's text."""
    return terminal(rule.title if rule.distribution is None else f"{rule.title} [{rule.distribution}]")


def family(word: str) -> list[Rule]:
    """The rules whose codes are this word and a number; none for a whole code or an unknown word."""
    wanted = word.upper()
    return [rule for rule in all_rules() if rule.code.rstrip("0123456789") == wanted]


def as_record(rule: Rule, with_page: bool) -> dict[str, str | None]:
    """A rule for JSON; its Markdown page only where that is asked for."""
    record: dict[str, str | None] = {
        "code": rule.code,
        "title": rule.title,
        "severity": rule.severity,
        "owner": rule.owner,
        "term": rule.term,
        "distribution": rule.distribution,
    }
    return record | ({"page": page(rule.code)} if with_page else {})


def shown_page(code: str) -> str:
    """The page: rendered where a person reads it, and as Markdown in a pipe."""
    text = page(code)
    return _rendered(text) if output.is_terminal() else text


def _rendered(markdown: str) -> str:
    from rich.console import Console
    from rich.markdown import Markdown

    held = io.StringIO()
    width = min(output.columns(), 110)
    console = Console(file=held, width=width, force_terminal=output.use_color(), highlight=False)
    console.print(Markdown(markdown, hyperlinks=False))
    return held.getvalue()
