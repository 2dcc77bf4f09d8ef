"""How a page shows untrusted text, and how it comes through Jinja's escaping.

Text is made printable here and escaped by Jinja, always. Code is set between two characters of the private
use area, which `terminal` lets nobody else bring in; they become tags once everything has been escaped.
"""

from __future__ import annotations

from markupsafe import Markup, escape

from advisor.reports.common import Style
from advisor.reports.escape import terminal

CODE_BEGIN = "\ue000"
CODE_END = "\ue001"

STYLE = Style(terminal, lambda raw: f"{CODE_BEGIN}{terminal(raw)}{CODE_END}")


def finalize(value: object) -> object:
    """What Jinja puts into the page for a value: strings escaped, with code marked up."""
    if isinstance(value, Markup) or not isinstance(value, str):
        return value
    shown = str(escape(value))
    return Markup(shown.replace(CODE_BEGIN, "<code>").replace(CODE_END, "</code>"))  # noqa: S704 - escaped


def plain(text: str) -> str:
    """The text without marks of code, for a title or an attribute."""
    return text.replace(CODE_BEGIN, "").replace(CODE_END, "")
