"""Batches queued behind a spin: what is timed, and that the queue is never full nor empty."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest

from probes import queued
from probes.queued import NotHeldError, Queue, batches
from probes.spin import spin_rate
from tests.probes.host_side import simulated
from tests.probes.host_sim import Costs

torch = pytest.importorskip("torch")


def test_host_and_device_time_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    _, fake = simulated(monkeypatch, torch, Costs(call_s=3e-6, kernel_s=2e-6))
    batch = Queue(fake).batch(partial(fake.cuda._sleep, 0))
    assert batch.host_s == pytest.approx(3e-6, rel=0.01)
    assert batch.device_s == pytest.approx(2e-6, rel=0.01)
    assert batch.calls == 200


def test_a_spin_that_ends_too_early_is_made_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    slow_host = Costs(call_s=100e-6, kernel_s=2e-6)
    _, fake = simulated(monkeypatch, torch, slow_host)
    batch = Queue(fake).batch(partial(fake.cuda._sleep, 0))
    assert batch.device_s == pytest.approx(2e-6, rel=0.01)
    assert batch.calls == 200


def test_the_queue_is_never_filled(monkeypatch: pytest.MonkeyPatch) -> None:
    _, fake = simulated(monkeypatch, torch)
    Queue(fake).batch(partial(fake.cuda._sleep, 0), 10_000)
    assert fake.cuda.deepest < fake.cuda.costs.queue


def test_launches_of_a_call_count_towards_the_queue(monkeypatch: pytest.MonkeyPatch) -> None:
    _, fake = simulated(monkeypatch, torch)
    assert Queue(fake).batch(partial(fake.cuda._sleep, 0), 500, launches=100).calls == 8


def test_a_smaller_queue_gets_smaller_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    _, fake = simulated(monkeypatch, torch, Costs(queue=100))
    monkeypatch.setattr(queued, "_TRIES", 20)
    batch = Queue(fake).batch(partial(fake.cuda._sleep, 0))
    assert batch.calls <= 100
    assert batch.host_s == pytest.approx(3e-6, rel=0.01)


def test_launches_that_block_are_no_measurement(monkeypatch: pytest.MonkeyPatch) -> None:
    _, fake = simulated(monkeypatch, torch, Costs(blocking=True))
    with pytest.raises(NotHeldError, match="CUDA_LAUNCH_BLOCKING"):
        Queue(fake).batch(partial(fake.cuda._sleep, 0))


def test_the_spin_is_calibrated(monkeypatch: pytest.MonkeyPatch) -> None:
    _, fake = simulated(monkeypatch, torch, Costs(cycles_s=1.755e9))
    assert spin_rate(fake.cuda) == pytest.approx(1.755e9, rel=0.01)


@pytest.mark.parametrize(("mode", "least"), [("quick", 8), ("default", 20)])
def test_at_least_so_many_batches(monkeypatch: pytest.MonkeyPatch, mode: Any, least: int) -> None:
    lab, fake = simulated(monkeypatch, torch, Costs(call_s=50e-6), mode=mode)
    assert len(batches(lab, Queue(fake), partial(fake.cuda._sleep, 0))) == least
    assert queued.LEAST_BATCHES[lab.plan.mode] == least
