"""torch's attention by one implementation: which one it takes by itself depends on version and card."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from benchmarks.workloads.spec import Bench


class Attention(NamedTuple):
    """A call of attention, and the name under which an account counts it: by which implementation it runs."""

    call: Callable[[], Any]
    counted_as: str


def by_backend(bench: Bench, name: str, attend: Callable[[], Any]) -> Attention:
    """The call by a backend of torch.nn.attention.SDPBackend, or as torch chooses where it cannot.

    One call is made to see. On the CPU as torch chooses.
    """
    chosen = Attention(attend, "calls_as_torch_chose")
    if bench.device == "cpu":
        return chosen
    attention = bench.torch.nn.attention
    backend = getattr(attention.SDPBackend, name, None)

    def call() -> Any:
        with attention.sdpa_kernel(backend):
            return attend()

    if backend is None or not _runs(bench, call):
        return chosen
    return Attention(call, f"calls_by_{name.lower()}")


def _runs(bench: Bench, call: Callable[[], Any]) -> bool:
    try:
        call()
        bench.sync()
    except RuntimeError:
        return False
    return True
