"""Escaping of untrusted text (process names, command lines, trace names) for each place it is shown in.

Every function is total over `str`: control characters, bidirectional overrides, invisible characters and
lone surrogates included. Call the one for the place, once, on the raw text.
"""

from __future__ import annotations

import re
import unicodedata

REPLACEMENT = "\ufffd"

# Printable by category, yet drawn as nothing: fillers, grapheme joiner, variation selectors, blank Braille.
_INVISIBLE = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0") | {
    chr(c) for c in range(0xFE00, 0xFE10)
}

# Breaks a mention, an autolink or an emoji code apart, and is drawn as nothing.
WORD_JOINER = "\u2060"

_ASCII = str.maketrans("×–·█░…µ\u00a0", "x-|#..u ")
_ASCII_MARKUP = str.maketrans("×–·…µ\u00a0", "x--.u ")

_MARKDOWN_SPECIAL = re.compile(r"([\\`*_\[\]<>!#~|&{}$^])")
_MARKDOWN_LEAD = re.compile(r"^([-+=:])")
_MARKDOWN_ORDERED = re.compile(r"^(\d+)([.)])")
_AUTOLINK = re.compile(r"(?i)(?<=[a-z0-9])(:)(?=//)|\b(www)(?=\.)|\b(mailto|xmpp)(?=:)")
_EMOJI_CODE = re.compile(r":(?=[\w+-]+:)")
_ISSUE_REFERENCE = re.compile(r"(?i)(?<=\bgh)-(?=\d)")
_BACKTICKS = re.compile(r"`+")
_JIRA_ALWAYS = re.compile(r"[\\{}\[\]|*_^~!#@<>&()?:;=$%]")
_JIRA_BOUNDARY = re.compile(r"(?<![A-Za-z0-9])[-+.]|[-+](?![A-Za-z0-9])|(?<=[A-Z0-9])-(?=[0-9])")
_JIRA_BLOCK = re.compile(r"(?i)^(h[1-6]|bq)\.")


def terminal(text: str) -> str:
    """One line that is safe to print: whitespace becomes a space, control characters become U+FFFD.

    Bidirectional controls, zero-width and other invisible characters are dropped.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(_terminal_char(char) for char in text)


def _terminal_char(char: str) -> str:
    if char.isspace():
        return " "
    if char in _INVISIBLE or unicodedata.category(char) == "Cf":
        return ""
    return char if char.isprintable() else REPLACEMENT


def as_ascii(text: str) -> str:
    """Text that is ready to show, for a place that takes ASCII alone. One column stays one column."""
    return text.replace("°C", "C ").translate(_ASCII).encode("ascii", "replace").decode()


def markup_as_ascii(text: str) -> str:
    """Markup that is ready to show, in ASCII alone. Nothing becomes a character that markup obeys."""
    plain = text.replace(WORD_JOINER, f"&#{ord(WORD_JOINER)};").translate(_ASCII_MARKUP)
    return plain.encode("ascii", "replace").decode()


def markdown(text: str) -> str:
    """Inline text that Markdown shows as it is, in a paragraph, a heading or a table cell.

    Mentions, issue references, autolinked URLs, e-mail addresses and emoji codes are broken by a word joiner
    (U+2060), since forges look for them in the rendered text, where an escape no longer protects.
    """
    line = _split_references(terminal(text).strip())
    line = _MARKDOWN_SPECIAL.sub(r"\\\1", line)
    line = _MARKDOWN_LEAD.sub(r"\\\1", line)
    return _MARKDOWN_ORDERED.sub(r"\1\\\2", line)


def _split_references(text: str) -> str:
    text = text.replace("@", "@" + WORD_JOINER).replace("#", "#" + WORD_JOINER)
    text = _AUTOLINK.sub(lambda match: match[0] + WORD_JOINER, text)
    text = _ISSUE_REFERENCE.sub("-" + WORD_JOINER, text)
    return _EMOJI_CODE.sub(":" + WORD_JOINER, text)


def markdown_code(text: str, table: bool = True) -> str:
    """Inline code whose fence is longer than any run of backticks inside.

    table: escape pipes, as a table cell needs; outside a table pass False, or the backslash is shown. A pipe
    after a backslash becomes a broken bar, as parsers of tables disagree on how to read that pair.
    """
    line = terminal(text)
    if table:
        line = line.replace("\\|", "\\¦").replace("|", "\\|")
    if not line.strip():
        return "` `"
    fence = "`" * (1 + max((len(run) for run in _BACKTICKS.findall(line)), default=0))
    pad = " " if line[0] in "` " or line[-1] in "` " else ""
    return f"{fence}{pad}{line}{pad}{fence}"


def jira(text: str) -> str:
    """Inline text for Jira's wiki markup, also inside a table. Special characters become HTML entities.

    A backslash cannot escape itself there (two of them are a line break), entities work everywhere.
    """
    line = terminal(text).strip()
    line = _JIRA_ALWAYS.sub(_entity, line)
    line = _JIRA_BLOCK.sub(r"\1&#46;", line)
    return _JIRA_BOUNDARY.sub(_entity, line)


def _entity(match: re.Match[str]) -> str:
    return f"&#{ord(match[0])};"
