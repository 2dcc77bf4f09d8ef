"""Reading Nsight Systems reports that were exported as SQLite."""

from __future__ import annotations

from advisor.traces.nsight.reading import read_nsight

__all__ = ["read_nsight"]
