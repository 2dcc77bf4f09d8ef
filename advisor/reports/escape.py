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

_ASCII = str.maketrans("×–·█░…µ±\u00a0", "x-|#..u~ ")
_ASCII_MARKUP = str.maketrans("×–·…µ±\u00a0", "x--.u~ ")

_MARKDOWN_SPECIAL = re.compile(r"([\\`*_\[\]<>!#~|&{}$^])")
_MARKDOWN_LEAD = re.compile(r"^([-+=:])")
_MARKDOWN_ORDERED = re.compile(r"^(\d+)([.)])")
_AUTOLINK = re.compile(r"(?i)(?<=[a-z0-9])(:)(?=//)|\b(www)(?=\.)|\b(mailto|xmpp)(?=:)")
_EMOJI_CODE = re.compile(r":(?=[\w+-]+:)")
_ISSUE_REFERENCE = re.compile(r"(?i)(?<=\bgh)-(?=\d)")
_BACKTICKS = re.compile(r"`+")
# What a backslash before it does not protect everywhere, or what other tools read as HTML.
_JIRA_ENTITY = re.compile(
    r"[\\{}|#@<>&]|(?<=[A-Z0-9])-(?=[0-9])|:(?=//)"
    r"|[:;](?=-?[()])|:(?=[PpD](?![A-Za-z0-9]))"
    r"|\((?=(?i:[yni/x!+?-]|on|off|\*[rgby]?|flag|flagoff|c|r|tm)\))"
)
# Formatting anywhere: links, images, strong text; the marks of phrases only where one can start or end.
_JIRA_BACKSLASH = re.compile(r"[\[\]*^~!]|(?<![A-Za-z0-9])[-+_]|[-+_](?![A-Za-z0-9])|\?(?=\?)|(?<=\?)\?")
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
    """Inline text for Jira's wiki markup, also inside a table. Formatting is escaped with a backslash.

    What a backslash does not protect becomes an entity: itself (two of them are a line break), a table's bar,
    braces, issue keys, URLs, emoticons. What formats nothing stays as it is.
    """
    line = terminal(text).strip()
    return "".join(_jira_char(line, position) for position in range(len(line)))


def _jira_char(line: str, position: int) -> str:
    """Each character is judged by its neighbours in the raw text, so that no escape hides another."""
    char = line[position]
    if char.isalnum():
        return char
    if _JIRA_ENTITY.match(line, position) or (char == "." and _is_block_lead(line, position)):
        return f"&#{ord(char)};"
    return f"\\{char}" if _JIRA_BACKSLASH.match(line, position) else char


def _is_block_lead(line: str, position: int) -> bool:
    """The dot of `h1.` or `bq.` at the start of a line."""
    found = _JIRA_BLOCK.match(line)
    return found is not None and found.end() == position + 1
