"""Attention by a named implementation where it runs, and as torch chooses where it does not."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest

from benchmarks.workloads.attention import by_backend
from benchmarks.workloads.spec import Bench


class FakeAttention:
    """torch with the backends `has`, of which those in `broken` raise. used: by which each call ran."""

    def __init__(self, has: tuple[str, ...] = (), broken: tuple[str, ...] = ()) -> None:
        self.used: list[str] = []
        self._current, self._broken = "chosen", broken
        backends = SimpleNamespace(**{name: name for name in has})
        self.nn = SimpleNamespace(
            attention=SimpleNamespace(SDPBackend=backends, sdpa_kernel=self._sdpa_kernel)
        )
        self.cuda = SimpleNamespace(synchronize=lambda: None)

    @contextmanager
    def _sdpa_kernel(self, name: str) -> Iterator[None]:
        self._current = name
        try:
            yield
        finally:
            self._current = "chosen"

    def attend(self) -> str:
        if self._current in self._broken:
            raise RuntimeError("No available kernel. Aborting execution.")
        self.used.append(self._current)
        return "result"

    def bench(self, device: Any = "cuda") -> Bench:
        return Bench(torch=self, cupy=lambda: None, device=device, small=True, seed=0, scratch="")


@pytest.mark.parametrize(
    ("torch", "used", "counted_as"),
    [
        (FakeAttention(has=("CUDNN",)), "CUDNN", "calls_by_cudnn"),
        (FakeAttention(has=("CUDNN",), broken=("CUDNN",)), "chosen", "calls_as_torch_chose"),
        (FakeAttention(), "chosen", "calls_as_torch_chose"),
    ],
    ids=["runs", "raises", "unknown"],
)
def test_the_backend_is_used_where_it_runs_and_counted(
    torch: FakeAttention, used: str, counted_as: str
) -> None:
    attention = by_backend(torch.bench(), "CUDNN", torch.attend)
    assert attention.call() == "result" and attention.counted_as == counted_as
    assert torch.used[-1] == used
    assert torch.attend() == "result" and torch.used[-1] == "chosen"


def test_what_is_no_matter_of_the_backend_is_raised() -> None:
    torch = FakeAttention(has=("CUDNN",))

    def wrong() -> Any:
        raise ValueError("shapes")

    with pytest.raises(ValueError, match="shapes"):
        by_backend(torch.bench(), "CUDNN", wrong)


def test_on_the_cpu_torch_chooses() -> None:
    torch = FakeAttention(has=("CUDNN",))
    by_backend(torch.bench("cpu"), "CUDNN", torch.attend).call()
    assert torch.used == ["chosen"]
