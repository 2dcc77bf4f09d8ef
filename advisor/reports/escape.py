"""Escaping of untrusted text for each place it is shown in. Every function is total over `str`."""

from __future__ import annotations


def terminal(text: str) -> str:
    """One line without control characters, bidirectional overrides or invisible characters."""
    raise NotImplementedError


def rich(text: str) -> str:
    """`terminal`, with Rich's markup escaped."""
    raise NotImplementedError


def markdown(text: str) -> str:
    """Inline text that GitHub and Jira show as it is, also inside a table."""
    raise NotImplementedError


def markdown_code(text: str) -> str:
    """Inline code, also inside a table."""
    raise NotImplementedError


def jira(text: str) -> str:
    """Inline text for Jira's own wiki markup, also inside a table."""
    raise NotImplementedError


def html(text: str) -> str:
    """Text for an HTML element or a quoted attribute."""
    raise NotImplementedError
