"""Redaction: secrets, user names and host names leave a document before it leaves the node."""

from __future__ import annotations

from collections.abc import Sequence

from advisor.document import Diagnosis


def redact_command(argv: Sequence[str]) -> tuple[str, int]:
    """One line for a command with its secrets removed, and how many were."""
    raise NotImplementedError


def redact_text(text: str) -> tuple[str, list[str]]:
    """The text without secrets, and the kinds that were removed."""
    raise NotImplementedError


def host_hash(hostname: str) -> str:
    """A stable pseudonym such as "node-7f3a1c"."""
    raise NotImplementedError


def user_hash(user: str) -> str:
    """A stable pseudonym such as "user:7f3a1c"."""
    raise NotImplementedError


def redact_diagnosis(diagnosis: Diagnosis, keep: bool = False) -> Diagnosis:
    """The document without secrets, user and host names; provenance.redacted lists what went."""
    raise NotImplementedError
