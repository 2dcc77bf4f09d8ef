"""Dispatch costs on a simulated device; what keeps torch.compile away; nothing stays changed."""

from __future__ import annotations

import os
import signal
import sys
import time
from itertools import groupby
from types import SimpleNamespace
from typing import Any

import pytest

from probes import dispatch as module
from probes.dispatch import compile_wanted, dispatch, no_compiler, one_compile_thread, time_limit
from probes.queued import Queue
from tests.probes.host_side import simulated
from tests.probes.host_sim import Costs

torch = pytest.importorskip("torch")


def test_only_the_enqueue_is_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    lab, fake = simulated(monkeypatch, torch, Costs(op_call_s=6e-6, kernel_s=40e-6), mode="default")
    lab.begin(2.0)
    records = {m.metric: m for m in dispatch(lab)}
    assert list(records) == ["dispatch_eager", "dispatch_no_grad", "dispatch_compiled"]
    assert records.pop("dispatch_compiled").reason == (
        "unsupported: in this mode; --full compiles, and so does naming `dispatch`"
    )
    for m in records.values():
        assert m.median == pytest.approx(6e-6, rel=0.01)
        assert m.conditions.shape == "1" and m.conditions.calls == 200
    assert records["dispatch_eager"].conditions.extra["recorded_s"] == pytest.approx(12e-6, rel=0.01)
    assert records["dispatch_no_grad"].conditions.extra["inference_mode_s"] == pytest.approx(6e-6, rel=0.01)
    assert fake.cuda.deepest < fake.cuda.costs.queue


def test_autograd_is_on_off_and_restored(monkeypatch: pytest.MonkeyPatch) -> None:
    lab, _ = simulated(monkeypatch, torch, mode="default")
    lab.begin(2.0)
    modes: list[tuple[bool, bool]] = []
    real = Queue.batch

    def watched(self: Queue, *args: Any, **kwargs: Any) -> Any:
        modes.append((torch.is_grad_enabled(), torch.is_inference_mode_enabled()))
        return real(self, *args, **kwargs)

    monkeypatch.setattr(Queue, "batch", watched)
    with torch.no_grad():
        list(dispatch(lab))
        assert not torch.is_grad_enabled()
    assert torch.is_grad_enabled()
    assert [mode for mode, _ in groupby(modes)] == [(True, False), (False, True), (False, False)]


def test_autograd_is_restored_after_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    lab, _ = simulated(monkeypatch, torch, Costs(blocking=True))
    records = list(dispatch(lab))
    assert [m.valid for m in records] == ["failed", "failed", "unsupported"]
    assert torch.is_grad_enabled() and not torch.is_inference_mode_enabled()


@pytest.mark.parametrize(
    ("mode", "names", "left_s", "wanted"),
    [
        ("quick", ("dispatch",), 100.0, False),
        ("default", (), 2.0, False),
        ("default", ("dispatch",), 2.0, True),
        ("full", (), 8.0, True),
        ("full", (), 1.0, False),
    ],
)
def test_compiling_needs_time(
    monkeypatch: pytest.MonkeyPatch, mode: Any, names: tuple[str, ...], left_s: float, wanted: bool
) -> None:
    lab, _ = simulated(monkeypatch, torch, mode=mode, names=names)
    lab.begin(left_s / lab.scale)
    assert compile_wanted(lab) is wanted


def test_without_triton_compiled_is_unsupported(monkeypatch: pytest.MonkeyPatch) -> None:
    lab, _ = simulated(monkeypatch, torch, mode="full")
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    m = next(m for m in dispatch(lab) if m.metric == "dispatch_compiled")
    assert m.valid == "unsupported"
    assert "triton" in (m.reason or "")


def test_what_a_compiler_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    _, fake = simulated(monkeypatch, torch)
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: object())
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setattr("shutil.which", lambda _name: None)
    assert "C compiler" in (no_compiler(fake) or "")
    monkeypatch.setenv("CC", "cc")
    assert no_compiler(fake) is None
    monkeypatch.setattr(fake.cuda, "get_device_capability", lambda: (6, 1))
    assert "this GPU has 6.1" in (no_compiler(fake) or "")


def compiler_that(monkeypatch: pytest.MonkeyPatch, act: Any) -> tuple[Any, list[str]]:
    """A lab in which compiling does `act`, and what happened to Dynamo."""
    lab, fake = simulated(monkeypatch, torch, mode="full")
    happened: list[str] = []
    monkeypatch.setattr(module, "no_compiler", lambda _torch: None)
    monkeypatch.setattr(module, "one_compile_thread", lambda: time_limit(60))
    monkeypatch.setattr(module, "compiled_add", act)
    fake.__dict__["_dynamo"] = SimpleNamespace(reset=lambda: happened.append("reset"))
    return lab, happened


def test_a_compiled_call_is_timed_and_dynamo_reset(monkeypatch: pytest.MonkeyPatch) -> None:
    lab, happened = compiler_that(monkeypatch, lambda fake, _x: lambda: fake.cuda.launch(15e-6, 2e-6))
    m = next(m for m in dispatch(lab) if m.metric == "dispatch_compiled")
    assert m.median == pytest.approx(15e-6, rel=0.01)
    assert happened == ["reset"]


def test_a_compilation_that_takes_too_long_is_a_record(monkeypatch: pytest.MonkeyPatch) -> None:
    def endless(_torch: Any, _x: Any) -> None:
        time.sleep(30)

    lab, happened = compiler_that(monkeypatch, endless)
    monkeypatch.setattr(module, "COMPILE_LIMIT_S", 0.05)
    m = next(m for m in dispatch(lab) if m.metric == "dispatch_compiled")
    assert m.valid == "failed"
    assert m.reason == "TimeoutError: not done after 0.05 s"
    assert happened == ["reset"]


def test_a_compilation_that_fails_is_a_record(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_torch: Any, _x: Any) -> None:
        raise RuntimeError("Python.h: No such file\nmore")

    lab, _ = compiler_that(monkeypatch, broken)
    m = next(m for m in dispatch(lab) if m.metric == "dispatch_compiled")
    assert (m.valid, m.reason) == ("failed", "RuntimeError: Python.h: No such file")


def test_the_time_limit_leaves_no_alarm_behind() -> None:
    before = signal.getsignal(signal.SIGALRM)
    with time_limit(60):
        assert signal.getsignal(signal.SIGALRM) is not before
    assert signal.getsignal(signal.SIGALRM) is before
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


@pytest.mark.parametrize("before", [None, "7"])
def test_the_number_of_compile_threads_is_restored(
    monkeypatch: pytest.MonkeyPatch, before: str | None
) -> None:
    name = "TORCHINDUCTOR_COMPILE_THREADS"
    monkeypatch.delenv(name, raising=False)
    if before is not None:
        monkeypatch.setenv(name, before)
    seen: list[dict[str, int]] = []

    class Config:
        @staticmethod
        def patch(**changes: int) -> Any:
            seen.append(changes)
            return time_limit(60)

    monkeypatch.setitem(sys.modules, "torch._inductor.config", Config)
    with pytest.raises(KeyError), one_compile_thread():
        assert os.environ[name] == "1"
        raise KeyError
    assert os.environ.get(name) == before
    assert seen == [{"compile_threads": 1}]
