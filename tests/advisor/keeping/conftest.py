"""A history of the test's own."""

from __future__ import annotations

from pathlib import Path

import pytest

from advisor.keeping.history import HistoryFile


@pytest.fixture
def kept(tmp_path: Path) -> HistoryFile:
    """An empty history."""
    return HistoryFile(tmp_path / "state" / "history.sqlite3")
