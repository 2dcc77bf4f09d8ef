"""The two dialects of a ticket: GitHub's Markdown and Jira's wiki markup."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal, Protocol

from advisor.reports import escape
from advisor.reports.common import Style, bounded

Align = Literal["left", "right"]

COMMAND_SIZE = 1000


class Markup(Protocol):
    """What a dialect can draw. Texts that come in are ready to show; what comes out ends in an empty line."""

    style: Style

    def heading(self, level: int, text: str) -> str:
        """A heading of level 2 or 3."""
        ...

    def bold(self, text: str) -> str:
        """Inline strong text."""
        ...

    def paragraph(self, text: str) -> str:
        """One paragraph."""
        ...

    def label(self, text: str) -> str:
        """A paragraph that must not be overlooked."""
        ...

    def bullets(self, items: Sequence[str]) -> str:
        """A flat list."""
        ...

    def table(self, heads: Sequence[tuple[str, Align]], rows: Sequence[Sequence[str]]) -> str:
        """A table with a heading row."""
        ...

    def block(self, command: str) -> str:
        """A command, shown as it is. It is untrusted, and escaped here."""
        ...

    def details(self, summary: str, body: str) -> str:
        """A part that is folded where the dialect can fold. `summary` is our own words."""
        ...


class GitHub:
    """GitHub-flavoured Markdown."""

    style = Style(escape.markdown, lambda raw: escape.markdown_code(raw, table=False))

    def heading(self, level: int, text: str) -> str:
        """A heading of level 2 or 3."""
        return f"{'#' * level} {text}\n\n"

    def bold(self, text: str) -> str:
        """Inline strong text."""
        return f"**{text}**"

    def paragraph(self, text: str) -> str:
        """One paragraph."""
        return f"{text}\n\n"

    def label(self, text: str) -> str:
        """A quoted, strong paragraph."""
        return f"> **{text}**\n\n"

    def bullets(self, items: Sequence[str]) -> str:
        """A flat list."""
        return "".join(f"- {item}\n" for item in items) + "\n"

    def table(self, heads: Sequence[tuple[str, Align]], rows: Sequence[Sequence[str]]) -> str:
        """A table with a heading row."""
        rule = "".join("---:|" if align == "right" else "---|" for _, align in heads)
        lines = [_row("|", [name for name, _ in heads]), f"|{rule}", *(_row("|", row) for row in rows)]
        return "\n".join(lines) + "\n\n"

    def block(self, command: str) -> str:
        """A fenced block whose fence is longer than any run of backticks inside."""
        line = bounded(escape.terminal, command, COMMAND_SIZE)
        fence = "`" * max(3, 1 + max((len(run) for run in re.findall("`+", line)), default=0))
        return f"{fence}\n{line}\n{fence}\n\n"

    def details(self, summary: str, body: str) -> str:
        """A folded part."""
        return f"<details><summary>{summary}</summary>\n\n{body}</details>\n\n"


class Jira:
    """Jira's wiki markup, as its text fields take it. Nothing is folded: not every Jira can."""

    def __init__(self) -> None:
        self.style = Style(escape.jira, self._code)

    def heading(self, level: int, text: str) -> str:
        """A heading of level 2 or 3."""
        return f"h{level}. {text}\n\n"

    def bold(self, text: str) -> str:
        """Inline strong text."""
        return f"*{text}*"

    def paragraph(self, text: str) -> str:
        """One paragraph."""
        return f"{text}\n\n"

    def label(self, text: str) -> str:
        """A quoted, strong paragraph."""
        return f"bq. *{text}*\n\n"

    def bullets(self, items: Sequence[str]) -> str:
        """A flat list."""
        return "".join(f"* {item}\n" for item in items) + "\n"

    def table(self, heads: Sequence[tuple[str, Align]], rows: Sequence[Sequence[str]]) -> str:
        """A table with a heading row."""
        return (
            "\n".join([_row("||", [name for name, _ in heads]), *(_row("|", row) for row in rows)]) + "\n\n"
        )

    def block(self, command: str) -> str:
        """A block that is not interpreted; the one thing that would end it is taken apart."""
        line = bounded(escape.terminal, command, COMMAND_SIZE)
        line = re.sub(r"(?i)\{(?=noformat)", "{ ", line)
        return f"{{noformat}}\n{line}\n{{noformat}}\n\n"

    def details(self, summary: str, body: str) -> str:
        """A part of its own."""
        return self.heading(3, summary) + body

    def _code(self, raw: str) -> str:
        shown = escape.jira(raw)
        return f"{{{{{shown}}}}}" if shown else " "


def _row(bar: str, cells: Sequence[str]) -> str:
    """Cells between bars; an empty cell keeps a space, or the bars would read as a heading's."""
    return bar + bar.join(f" {cell or ' '} " for cell in cells) + bar
