"""Real traces, where this machine has them: tests that need one are skipped elsewhere, saying so."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

_BESIDE = Path(__file__).resolve().parents[4] / "shared" / "traces"


def folder() -> Path:
    """Where real traces lie: $ADVISOR_TRACES, else `shared/traces` beside the repository."""
    return Path(os.environ.get("ADVISOR_TRACES") or _BESIDE)


def trace(name: str) -> Path:
    """The trace of this name; skips the test where it is not there."""
    path = folder() / name
    if not path.is_file():
        pytest.skip(f"needs the real trace {name} in {folder()} (set ADVISOR_TRACES)")
    return path
