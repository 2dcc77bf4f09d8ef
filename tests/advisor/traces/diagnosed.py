"""Traces read, analysed and diagnosed as the command does it, for tests."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from advisor.config import Config
from advisor.document import Diagnosis
from advisor.pricer import Pricer
from advisor.traces.analyse import Analysis, analyse
from advisor.traces.diagnosing import Made, ceilings_of, diagnose_traces
from advisor.traces.read import read

CREATED_S = 1_800_000_000.0


def analysed(paths: Sequence[Path], gpu_model: str | None = None) -> Analysis:
    """The analysis of files; gpu_model: a person's word for the GPU."""
    return analyse([read(path) for path in paths], lambda t, d: ceilings_of(t, d, gpu_model))


def diagnosed(paths: Sequence[Path], price: float | None = None, gpu_model: str | None = None) -> Diagnosis:
    """The document of files. price: dollars an hour, as `--price` gives them."""
    prices = Pricer(price, {}, Config())
    return diagnose_traces(
        analysed(paths, gpu_model), prices.of, Made(created_s=CREATED_S, gpu_model=gpu_model)
    )
