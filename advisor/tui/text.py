"""Untrusted text on its way to the screen: names of processes and jobs, and what is built from them."""

from __future__ import annotations

from functools import lru_cache

from advisor.reports.escape import terminal


@lru_cache(maxsize=2048)
def safe(text: str) -> str:
    """One line that cannot move the cursor, colour the screen or hide what follows."""
    return terminal(text)
