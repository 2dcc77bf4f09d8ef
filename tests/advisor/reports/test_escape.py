"""Untrusted text is shown as text everywhere: parsers of each format find nothing but text in it."""

from __future__ import annotations

import html as html_lib
import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token

from advisor.reports import escape

HOSTILE = (
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "[click](javascript:alert(1))",
    "![x](http://evil.example/track.png)",
    "**bold** _em_ ~~gone~~ `code`",
    "a | b || c \\| d",
    "a\\\\| b",
    "# heading",
    "- item",
    "1. item",
    "> quote",
    "===",
    "```\ncode\n```",
    "</details>",
    "&lt;b&gt; &#60;b&#62;",
    "\x1b[2J\x1b]0;title\x07",
    "\u202egnp.exe\u2066",
    "a\u200bb\ufeffc",
    "\ud800lone",
    "\x9b31m c1",
    "[bold red]x[/] [@click=app.quit]q[/]",
    "[/nothing]",
    "ends with \\",
    "\\[b]x[/b]",
    "@everyone see org/repo#12 GH-7",
    "http://evil.example www.evil.example me@evil.example",
    "{code}x{code} [~admin] !http://x/y.png! h1. x",
    "<!-- hidden",
    "``` `` `",
    "     indented",
    "[ref]: http://evil.example",
    "\u3164\u2800",
    "",
)

# Ordinary characters, and those that mean something somewhere, often.
texts = st.one_of(
    st.text(),
    st.text(st.characters(categories=["Cs", "Cc", "Cf", "Zl", "Zp", "Lu"])),
    st.text(st.sampled_from("\\`*_[]()<>!#~|&{}@:/.-+=1\n\t \"'$^?abwhtp\u202e\x1b"), max_size=40),
    st.lists(st.sampled_from(HOSTILE), max_size=3).map(" ".join),
)

MARKDOWN = MarkdownIt("commonmark").enable(["table", "strikethrough"])


def leaves(tokens: list[Token]) -> list[Token]:
    """Every inline token of a parse."""
    return [child for token in tokens for child in token.children or []]


def blocks(tokens: list[Token]) -> list[str]:
    return [token.type for token in tokens]


@given(texts)
def test_terminal_is_one_printable_line(text: str) -> None:
    shown = escape.terminal(text)
    assert shown.isprintable()
    assert not re.search(r"[\u202a-\u202e\u2066-\u2069\u200b-\u200f\x00-\x1f\x7f-\x9f\ud800-\udfff]", shown)
    shown.encode("utf-8")
    assert escape.terminal(shown) == shown


def test_terminal_keeps_what_is_readable() -> None:
    assert escape.terminal("train.py é 模型 ▓") == "train.py é 模型 ▓"
    assert escape.terminal("a\nb\tc\r") == "a b c "
    assert escape.terminal("a\x1b[31mb") == "a\ufffd[31mb"


@given(texts)
@example("@everyone")
def test_markdown_paragraph_holds_only_that_text(text: str) -> None:
    tokens = MARKDOWN.parse("before " + escape.markdown(text) + " after")
    assert blocks(tokens) == ["paragraph_open", "inline", "paragraph_close"]
    assert {token.type for token in leaves(tokens)} == {"text"}
    shown = "".join(token.content for token in leaves(tokens)).replace(escape.WORD_JOINER, "")
    assert shown == f"before {escape.terminal(text).strip()} after"


@given(texts)
def test_markdown_alone_on_a_line_starts_no_block(text: str) -> None:
    line = escape.markdown(text)
    assert set(blocks(MARKDOWN.parse(line))) <= {"paragraph_open", "inline", "paragraph_close"}
    assert set(blocks(MARKDOWN.parse(f"before\n{line}\nafter"))) <= {
        "paragraph_open",
        "inline",
        "paragraph_close",
    }


@given(texts)
def test_markdown_stays_in_its_table_cell(text: str) -> None:
    tokens = MARKDOWN.parse(f"| a | b |\n|---|---|\n| {escape.markdown(text)} | next |\n")
    assert blocks(tokens).count("td_open") == 2
    cells = [token for token in tokens if token.type == "inline"][2:]
    assert cells[1].content == "next"
    assert {child.type for child in cells[0].children or []} <= {"text"}


@given(texts)
def test_forges_find_no_mention_link_or_reference(text: str) -> None:
    shown = html_lib.unescape(re.sub(r"<[^>]+>", "", MARKDOWN.render("x " + escape.markdown(text))))
    assert not re.search(r"(?i)@\w|#\d|\bgh-\d|[a-z]://|www\.|mailto:|xmpp:|:[\w+-]+:", shown)


@given(texts)
def test_code_is_one_code_span(text: str) -> None:
    tokens = MARKDOWN.parse("x " + escape.markdown_code(text, table=False) + " y")
    kinds = [token.type for token in leaves(tokens)]
    assert kinds == ["text", "code_inline", "text"]
    assert leaves(tokens)[1].content.strip() == escape.terminal(text).strip()


@given(texts)
def test_code_stays_in_its_table_cell(text: str) -> None:
    tokens = MARKDOWN.parse(f"| a | b |\n|---|---|\n| {escape.markdown_code(text)} | next |\n")
    cells = [token for token in tokens if token.type == "inline"][2:]
    assert [child.type for child in cells[0].children or []] == ["code_inline"]
    assert cells[1].content == "next"


@given(texts)
def test_no_pipe_in_a_table_is_left_to_parsers_that_count_backslashes(text: str) -> None:
    cell = escape.markdown_code(text)
    assert not re.search(r"(?<!\\)\||\\\\\|", cell)


@given(texts)
def test_jira_holds_only_words_and_escapes(text: str) -> None:
    line = escape.jira(text)
    assert html_lib.unescape(re.sub(r"\\(.)", r"\1", line)) == escape.terminal(text).strip()
    bare = re.sub(r"&#\d+;|\\[-\[\]*^~!+_?]", "\u00b7", line)
    assert not re.search(r"[\\{}\[\]|*^~!#@<>&]|\?\?|^(h[1-6]|bq)\.|://|[A-Z]-[0-9]", bare)
    assert not re.search(r"(?<![A-Za-z0-9])[-+_]|[-+_](?![A-Za-z0-9])", bare)
    assert not re.search(r"(?i)[:;]-?[()]|\((?:[yni/x!+?-]|on|off|\*[rgby]?|flag|flagoff|c|r|tm)\)", bare)


def test_jira_leaves_what_formats_nothing() -> None:
    for text in ("100 % (of $6.88), a = b; what?", "sm_active", "a-b", "0.5 s: ok", "libnvidia-ml.so.1"):
        assert escape.jira(text) == text
    assert escape.jira("--num-workers 8") == "\\-\\-num-workers 8"


@pytest.mark.parametrize("text", HOSTILE)
def test_every_hostile_text_is_shown_by_every_format(text: str) -> None:
    for shown in (escape.markdown(text), escape.markdown_code(text), escape.jira(text)):
        assert shown.isprintable() or escape.WORD_JOINER in shown
