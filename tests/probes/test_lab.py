"""The lab: from timings and what the meter saw to a record."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from probes import lab as module
from probes.lab import Lab, UnsupportedError, device_lost, memory_share, spec_figure, unsteady
from probes.meter import Meter, NoMeter, Observed
from probes.metrics import METRICS
from probes.record import Conditions, DeviceFacts, Measurement, Plan
from probes.specs import GpuSpec, find_spec
from probes.timing import Call, CpuTimer, Policy, Windows, taken

SHORT = Policy(windows=3, window_s=1e-4, total_s=1e-3, warm_s=0.0)
CPU = DeviceFacts(kind="cpu", key="cpu:1", name="a CPU", memory_free_bytes=123)
H100 = DeviceFacts(
    kind="cuda",
    key="GPU-1",
    name="NVIDIA H100 80GB HBM3",
    compute_capability="9.0",
    memory_total_bytes=85_520_809_984,
    pcie_gen_max=5,
    pcie_width_max=16,
)


def sheet() -> GpuSpec:
    found = find_spec(H100.name, H100.memory_total_bytes)
    assert found is not None
    return found


class Recorder:
    """A meter that keeps count, and can hush."""

    def __init__(self, *seen: Observed, sibling: Meter | None = None) -> None:
        self._seen = list(seen) or [Observed()]
        self._sibling = sibling
        self.started = self.stopped = 0

    def start(self) -> None:
        self.started += 1

    def stop(self) -> Observed:
        self.stopped += 1
        return self._seen[min(self.stopped, len(self._seen)) - 1]

    def close(self) -> None:
        """Nothing is held."""

    def quiet(self) -> Meter:
        return self._sibling or self


class Timer:
    """Gives windows of a planned spread, one plan a run of `timed`, each of a second a call."""

    def __init__(self, *spreads: float) -> None:
        self._spreads = list(spreads)
        self.runs = 0

    def windows(self, call: Call, calls: int, count: int) -> list[float]:
        return [calls * (1.0 + self._spread * (-1) ** i) for i in range(count)]

    def synchronize(self) -> None:
        """The stream is always empty."""

    def next_run(self) -> None:
        self.runs += 1

    @property
    def _spread(self) -> float:
        return self._spreads[min(self.runs, len(self._spreads)) - 1]


def make(facts: DeviceFacts = CPU, meter: Meter | None = None, **changes: Any) -> Lab:
    timer = changes.pop("timer", CpuTimer())
    return Lab(facts, Plan(seed=7), timer=timer, meter=meter or NoMeter("nothing to read"), **changes)


def planned(
    monkeypatch: pytest.MonkeyPatch, spreads: tuple[float, ...], meter: Meter
) -> tuple[Measurement, Timer]:
    timer = Timer(*spreads)
    plain = taken

    def counted(*args: Any) -> Windows:
        timer.next_run()
        return plain(*args)

    monkeypatch.setattr("probes.lab.taken", counted)
    lab = make(meter=meter, timer=timer)
    return lab.measure("host_copy", lambda: None, work=10.0, method="m", policy=SHORT), timer


def test_a_record_says_what_how_and_under_what_circumstances() -> None:
    seen = Observed(
        sm_mhz=1755, power_w=680, throttle_reasons=("sw_power_cap",), counters={"dram_active": 0.9}
    )
    lab = make(H100, Recorder(seen), spec=sheet(), timer=Timer(0.0))
    lab.versions = {"torch": "2.13"}
    told = Conditions(dtype="bf16", shape="1x1x1", tried={"a": 1.0}, missing={"x": "why"})
    m = lab.measure("bf16", lambda: None, work=1e6, method="torch.mm", conditions=told, policy=SHORT)
    assert (m.probe, m.metric, m.unit, m.valid, m.label) == ("tensor", "bf16", "flop_s", "valid", "measured")
    assert m.p10 is not None and m.median is not None and m.p90 is not None
    assert m.p10 <= m.median <= m.p90
    assert m.of_spec == pytest.approx(m.median / 989.4e12)
    assert m.counters_at_ceiling == {"dram_active": 0.9}
    c = m.conditions
    assert (c.method, c.dtype, c.shape, c.seed, c.sm_mhz, c.power_w) == (
        "torch.mm",
        "bf16",
        "1x1x1",
        7,
        1755,
        680,
    )
    assert (c.throttle_reasons, c.versions, c.tried) == (("sw_power_cap",), {"torch": "2.13"}, {"a": 1.0})
    assert c.missing == {"x": "why"}
    assert c.windows >= 3
    assert c.window_s is not None and c.calls is not None
    assert c.calls / c.window_s == pytest.approx(m.median / 1e6)


def test_rates_divide_work_by_time_and_costs_time_by_work() -> None:
    windows = Windows(call_s=(2.0, 4.0), calls=1)
    assert module.values("host_copy", windows, 8.0) == [4.0, 2.0]
    assert module.values("launch_call", windows, 8.0) == [0.25, 0.5]


@pytest.mark.parametrize(
    ("spreads", "rerun", "valid_cv"), [((0.0,), False, 0.0), ((0.1, 0.0), True, 0.0), ((0.1, 0.2), True, 0.2)]
)
def test_unsteady_windows_are_taken_once_more_and_no_more(
    monkeypatch: pytest.MonkeyPatch, spreads: tuple[float, ...], rerun: bool, valid_cv: float
) -> None:
    meter = Recorder()
    found, timer = planned(monkeypatch, spreads, meter)
    assert found.conditions.rerun is rerun
    assert timer.runs == meter.started == meter.stopped == 1 + rerun
    assert found.cv is not None
    assert found.cv == pytest.approx(valid_cv, rel=0.3)


def test_a_drifting_clock_makes_it_take_the_figure_once_more(monkeypatch: pytest.MonkeyPatch) -> None:
    drifting = Observed(sm_mhz_min=1500, sm_mhz_max=1600)
    found, timer = planned(
        monkeypatch, (0.0,), Recorder(drifting, Observed(sm_mhz_min=1590, sm_mhz_max=1600))
    )
    assert timer.runs == 2
    assert found.conditions.sm_mhz_min == 1590


def test_steadiness() -> None:
    even = Windows(call_s=(1.0, 1.0, 1.0), calls=1)
    assert not unsteady(even, Observed())
    assert not unsteady(even, Observed(sm_mhz_min=1900, sm_mhz_max=1980))
    assert unsteady(even, Observed(sm_mhz_min=1800, sm_mhz_max=1980))
    assert unsteady(Windows(call_s=(1.0, 1.1, 1.0), calls=1), Observed())


def test_a_quiet_measurement_uses_the_quiet_sibling_alone() -> None:
    sibling = Recorder(Observed(temp_c=44))
    loud = Recorder(sibling=sibling)
    m = make(meter=loud).measure("launch_call", lambda: None, method="m", policy=SHORT, quiet=True)
    assert loud.started == 0
    assert sibling.started >= 1
    assert m.conditions.temp_c == 44


def test_a_meter_that_cannot_hush_is_used_as_it_is() -> None:
    lab = make(meter=NoMeter("no driver"))
    assert lab.quiet_meter is lab.meter
    assert lab.metered(lambda: 5, quiet=True) == (5, Observed(missing={"conditions": "no driver"}))


def test_the_meter_is_stopped_when_the_work_fails() -> None:
    meter = Recorder()

    def fail() -> None:
        raise ValueError("planted")

    with pytest.raises(ValueError, match="planted"):
        make(meter=meter).metered(fail)
    assert meter.stopped == 1


def attempt(lab: Lab, take: Callable[[], Measurement]) -> Measurement:
    (found,) = lab.attempt("bf16", take)
    return found


def raising(error: Exception) -> Callable[[], Measurement]:
    def take() -> Measurement:
        raise error

    return take


def test_an_attempt_that_works_is_passed_on() -> None:
    good = Measurement(probe="tensor", metric="bf16", unit="flop_s", median=1.0)
    assert attempt(make(), lambda: good) == good


def test_what_is_not_there_is_unsupported_and_what_breaks_is_failed() -> None:
    lacking = attempt(make(), raising(UnsupportedError("needs compute capability ≥ 8.9")))
    assert (lacking.valid, lacking.reason) == ("unsupported", "unsupported: needs compute capability ≥ 8.9")
    assert lacking.unit == METRICS["bf16"].unit
    broken = attempt(make(), raising(RuntimeError("CUDA out of memory.\nTried to allocate")))
    assert (broken.valid, broken.reason) == ("failed", "RuntimeError: CUDA out of memory.")
    assert attempt(make(), raising(MemoryError())).reason == "MemoryError: no message"


def test_a_failure_without_a_metric_of_its_own_stands_for_its_probe() -> None:
    found = module.failure("tensor", "it broke")
    assert (found.probe, found.metric, found.unit, found.valid) == ("tensor", "tensor", "count", "failed")


@pytest.mark.parametrize(
    "text",
    [
        "CUDA error: an illegal memory access was encountered",
        "CUDA error: device-side assert triggered",
        "cudaErrorECCUncorrectable: uncorrectable ECC error encountered",
        "CUDA error: the launch timed out and was terminated",
        "CUDA error: unspecified launch failure",
    ],
)
def test_a_lost_device_ends_the_attempt(text: str) -> None:
    assert device_lost(RuntimeError(text))
    with pytest.raises(RuntimeError):
        attempt(make(), raising(RuntimeError(text)))


def test_running_out_of_memory_loses_no_device() -> None:
    assert not device_lost(RuntimeError("CUDA out of memory. Tried to allocate 20.00 GiB"))


class FakeTorch:
    """torch.cuda's cache, which can refuse to be emptied."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error
        self.emptied = 0
        self.cuda = SimpleNamespace(empty_cache=self._empty, mem_get_info=lambda: (11, 22))

    def _empty(self) -> None:
        self.emptied += 1
        if self.error is not None:
            raise self.error


def test_memory_is_given_back_after_each_attempt_on_a_gpu() -> None:
    lab = make(H100)
    lab.__dict__["torch"] = torch = FakeTorch()
    attempt(lab, raising(RuntimeError("CUDA out of memory.")))
    assert torch.emptied == 1
    assert lab.free_bytes() == 11


def test_a_gpu_without_torch_still_gives_a_record(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> Any:
        raise ImportError(f"No module named {name!r}")

    monkeypatch.setattr("importlib.import_module", absent)
    lab = make(H100)
    found = attempt(lab, lambda: lab.torch.mm())
    assert found.valid == "unsupported"
    assert "torch is not installed" in str(found.reason)


def test_giving_memory_back_hides_no_record_but_shows_a_lost_device() -> None:
    lab = make(H100)
    lab.__dict__["torch"] = FakeTorch(RuntimeError("some complaint"))
    assert attempt(lab, raising(ValueError("first"))).reason == "ValueError: first"
    lab.__dict__["torch"] = FakeTorch(RuntimeError("an illegal memory access was encountered"))
    with pytest.raises(RuntimeError, match="illegal memory access"):
        attempt(lab, raising(ValueError("first")))


def test_errors_are_cut_to_a_line() -> None:
    assert module.first_line(ValueError("a" * 999 + "\nb")) == "a" * 200
    assert module.first_line(ValueError("  \n x\ny")) == "x"


@pytest.mark.parametrize(
    ("key", "expected"),
    [("dram", 3350e9), ("bf16", 989.4e12), ("pcie", 64e9), ("fp4", None), (None, None)],
)
def test_the_data_sheets_figure(key: str | None, expected: float | None) -> None:
    found = spec_figure(H100, sheet(), key)
    assert found == (None if expected is None else pytest.approx(expected))
    assert module.spec_value(make(H100, spec=sheet()), key) == found


def test_without_a_data_sheet_the_link_is_still_known() -> None:
    assert spec_figure(H100, None, "bf16") is None
    assert spec_figure(H100, None, "pcie") == 64e9
    assert spec_figure(CPU, None, "pcie") is None


def test_a_host_reached_over_nvlink_is_not_bound_by_pcie() -> None:
    gh200 = find_spec("NVIDIA GH200 480GB", 97_000_000_000)
    assert gh200 is not None
    assert spec_figure(H100, gh200, "pcie") is None
    gb10 = msgspec.structs.replace(H100, name="NVIDIA GB10")
    assert spec_figure(gb10, None, "pcie") is None


@pytest.mark.parametrize(
    ("profile", "mib", "share"),
    [
        ("1g.10gb", 9984, 1 / 8),
        ("1g.20gb", 20096, 2 / 8),
        ("3g.40gb", 40448, 4 / 8),
        ("7g.80gb", 81_000, 1.0),
    ],
)
def test_a_mig_instances_memory_is_counted_in_eighths(profile: str, mib: int, share: float) -> None:
    slice_ = msgspec.structs.replace(
        H100, mig_profile=profile, memory_total_bytes=mib * 2**20, slice_frac=0.2
    )
    assert memory_share(slice_, sheet()) == share
    assert spec_figure(slice_, sheet(), "dram") == 3350e9 * share
    assert spec_figure(slice_, sheet(), "bf16") == pytest.approx(989.4e12 * 0.2)


def test_a_mig_instance_of_unknown_memory_is_taken_by_its_sms() -> None:
    slice_ = msgspec.structs.replace(H100, mig_profile="1g.10gb", memory_total_bytes=None, slice_frac=0.125)
    assert memory_share(slice_, sheet()) == 0.125
    assert memory_share(H100, sheet()) == 1.0


def test_budgets_follow_the_mode() -> None:
    for mode, scale in module.MODE_SCALE.items():
        lab = Lab(CPU, Plan(mode=mode), timer=CpuTimer(), meter=NoMeter(""))  # type: ignore[arg-type]
        assert lab.time_left_s() == float("inf")
        lab.begin(1000.0)
        assert lab.scale == scale
        assert 1000 * scale - 60 < lab.time_left_s() <= 1000 * scale


def test_the_cpu_has_the_memory_its_facts_tell() -> None:
    assert make().free_bytes() == 123
    assert (make().device, make(H100).device) == ("cpu", "cuda:0")


def test_the_generator_is_seeded_by_the_plan() -> None:
    torch = pytest.importorskip("torch")
    one, other = (torch.rand(4, generator=make().generator()).tolist() for _ in range(2))
    assert one == other
