"""torch's attention by one implementation: which one it takes by itself depends on version and card."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from benchmarks.workloads.spec import Bench


def by_backend(bench: Bench, name: str, attend: Callable[[], Any]) -> Callable[[], Any]:
    """The call by a backend of torch.nn.attention.SDPBackend, or as torch chooses where it cannot.

    One call is made to see. On the CPU as torch chooses.
    """
    if bench.device == "cpu":
        return attend
    attention = bench.torch.nn.attention
    backend = getattr(attention.SDPBackend, name, None)

    def call() -> Any:
        with attention.sdpa_kernel(backend):
            return attend()

    return call if backend is not None and _runs(bench, call) else attend


def _runs(bench: Bench, call: Callable[[], Any]) -> bool:
    try:
        call()
        bench.sync()
    except RuntimeError:
        return False
    return True
