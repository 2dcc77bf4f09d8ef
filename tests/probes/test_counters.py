"""What a record says of the counters, on a card whose counters integrate busy time and whose clock falls."""

from __future__ import annotations

import pytest

from probes import timing
from probes.lab import COUNTED, QUICK_COUNTED, Lab
from probes.record import Measurement, Mode, Plan
from probes.timing import POLICIES, CudaTimer
from tests.probes.fake_card import BOOST_MHZ, HELD_MHZ, LOADED, CardMeter, CardTorch
from tests.probes.fake_cuda import FakeClock
from tests.probes.labs import H100

MODES: tuple[Mode, ...] = ("quick", "default")


class Card:
    """A lab on a card of its own."""

    def __init__(self, mode: Mode, *, decays: bool = False) -> None:
        self.clock = FakeClock()
        self.torch = CardTorch(self.clock)
        self.torch.cuda.decays = decays
        self.meter = CardMeter(self.torch.cuda)
        self.lab = Lab(H100, Plan(mode=mode), timer=CudaTimer(self.torch), meter=self.meter)

    def measure(self, metric: str, device_s: float, host_s: float = 5e-6) -> Measurement:
        return self.lab.measure(metric, self.torch.kernel(device_s, host_s), method="a kernel")


@pytest.fixture
def make(monkeypatch: pytest.MonkeyPatch) -> type[Card]:
    class Clocked(Card):
        def __init__(self, mode: Mode, *, decays: bool = False) -> None:
            super().__init__(mode, decays=decays)
            monkeypatch.setattr(timing, "_now", self.clock)
            monkeypatch.setattr(timing, "_pause", self.clock.sleep)

    return Clocked


@pytest.mark.parametrize(
    ("mode", "metric"),
    [(mode, metric) for mode in MODES for metric in sorted(QUICK_COUNTED if mode == "quick" else COUNTED)],
)
@pytest.mark.parametrize("device_s", [2e-5, 1e-3, 0.03])
def test_counters_are_those_of_the_load_alone(
    make: type[Card], mode: Mode, metric: str, device_s: float
) -> None:
    found = make(mode).measure(metric, device_s).counters_at_ceiling
    for name, loaded in LOADED.items():
        assert found[name] == pytest.approx(loaded, rel=0.01)


def test_a_queue_that_runs_dry_has_no_counters_but_a_reason(make: type[Card]) -> None:
    m = make("default").measure("dram_copy", 2e-6)
    assert m.counters_at_ceiling == {}
    assert "waited between the timed windows" in m.conditions.missing["counters"]


def test_too_short_a_take_has_no_counters_but_a_reason(make: type[Card]) -> None:
    m = make("quick").measure("dram_write", 1e-3)
    assert m.counters_at_ceiling == {}
    assert "fewer than two GPM windows" in m.conditions.missing["counters"]


def test_only_the_first_take_of_a_metric_is_prolonged(make: type[Card]) -> None:
    card = make("quick")
    first, second = (card.measure("dram_read", 1e-3) for _ in range(2))
    assert first.conditions.windows >= 400
    assert second.conditions.windows == pytest.approx(1e3 * POLICIES["quick"].total_s, rel=0.1)


def test_warming_up_and_calibrating_are_not_metered(make: type[Card]) -> None:
    card = make("default")
    m = card.measure("bf16", 1e-3)
    ((begin_s, end_s),) = card.meter.stretches
    assert end_s - begin_s == pytest.approx(m.conditions.windows * 1e-3, rel=0.02)


def test_a_falling_clock_is_seen_and_the_figure_taken_again(make: type[Card]) -> None:
    m = make("default", decays=True).measure("bf16", 1e-3)
    assert m.conditions.rerun
    assert m.median is not None and m.conditions.sm_mhz is not None
    assert HELD_MHZ <= m.conditions.sm_mhz < 0.85 * BOOST_MHZ
    assert 1 / m.median == pytest.approx(1e-3 * BOOST_MHZ / m.conditions.sm_mhz, rel=0.02)


def test_a_sustained_loop_ends_at_the_clock_that_is_held(make: type[Card]) -> None:
    card = make("default", decays=True)
    call_s, settled = timing.sustained(card.lab.timer, card.torch.kernel(1e-3), 1, 10.0)
    assert settled
    assert call_s == pytest.approx(1e-3 * BOOST_MHZ / HELD_MHZ, rel=0.01)


def test_a_sustained_loop_is_the_load_alone(make: type[Card]) -> None:
    card = make("default")
    begin_s = card.clock.now_s
    timing.sustained(card.lab.timer, card.torch.kernel(1e-3), 1, 5.0)
    shares = card.torch.cuda.counters(begin_s, card.clock.now_s)
    assert shares["tensor_active"] == pytest.approx(LOADED["tensor_active"], rel=0.01)
