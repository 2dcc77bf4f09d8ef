"""The GEMM probe's course of events, on precisions that run on this CPU and on clocks that are made up."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from probes import tensor as probe
from probes import timing
from probes.lab import Lab
from probes.matmul import Shape, gemm_bytes
from probes.meter import Observed
from probes.precisions import PRECISIONS, Gemm, Needs, Precision, mm
from probes.record import Measurement
from probes.specs import find_spec
from tests.probes.labs import H100, CpuBackedLab, SteadyMeter, SteadyTimer, lab

torch = pytest.importorskip("torch")

BY_METRIC = {p.metric: p for p in PRECISIONS}
START, SHAPES = (Shape(64, 64, 64),), (Shape(96, 64, 128), Shape(128, 128, 128))
SEEN = Observed(
    sm_mhz=1500.0, power_w=650.0, throttle_reasons=("power cap",), counters={"tensor_active": 0.9}
)
SPEC = find_spec("NVIDIA H100 80GB HBM3", None)
HAS_TIME = 1e9


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timing, "IDLE_BEFORE_BURST_S", 0.0)
    monkeypatch.setattr(timing, "BURST_S", 0.0)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: None)


def gpu(mode: Any = "quick", **more: Any) -> Lab:
    here = lab(H100, mode, timer=SteadyTimer(), meter=SteadyMeter(SEEN), spec=SPEC, kind=CpuBackedLab, **more)
    here.begin(HAS_TIME)
    return here


def run(here: Lab, *metrics: str, **changes: Any) -> list[Measurement]:
    chosen = [msgspec.structs.replace(BY_METRIC[m], **changes) for m in metrics]
    return list(probe.each(here, chosen, SHAPES, START))


def test_one_record_a_precision_in_order() -> None:
    found = run(gpu(), "bf16", "fp8_e4m3", "fp16", "fp32", "int8", "fp64")
    assert [m.metric for m in found] == ["bf16", "fp8_e4m3", "fp16", "fp32", "int8", "fp64"]
    assert {m.valid for m in found} == {"valid"}
    for m in found:
        assert m.median == pytest.approx(SHAPES[-1].flops / 1e-3)
        assert m.conditions.shape == str(SHAPES[-1])
        assert m.counters_at_ceiling == {"tensor_active": 0.9}
    assert found[4].unit == "op_s"


def test_what_the_card_lacks_is_said_and_the_rest_goes_on() -> None:
    found = run(gpu(), "nvfp4", "mxfp8", "mxfp4", "bf16")
    assert [m.valid for m in found] == ["unsupported"] * 3 + ["valid"]
    assert found[0].reason == "unsupported: needs compute capability ≥ 10.0"
    assert found[2].reason == "unsupported: needs compute capability 10.x"


def test_a_failure_of_one_precision_leaves_the_others() -> None:
    def broken(_torch: Any, _g: Gemm) -> Any:
        raise RuntimeError("CUBLAS_STATUS_EXECUTION_FAILED")

    precisions = [
        msgspec.structs.replace(BY_METRIC["bf16"], call=broken),
        msgspec.structs.replace(BY_METRIC["fp8_e4m3"], call=broken),
        BY_METRIC["fp32"],
    ]
    found = list(probe.each(gpu(), precisions, SHAPES, START))
    assert [m.valid for m in found] == ["failed", "unsupported", "valid"]
    assert found[0].reason == "RuntimeError: CUBLAS_STATUS_EXECUTION_FAILED"
    assert found[1].reason == "unsupported: torch cannot here: CUBLAS_STATUS_EXECUTION_FAILED"


def test_a_lost_device_ends_the_probe() -> None:
    def lost(_torch: Any, _g: Gemm) -> Any:
        raise RuntimeError("CUDA error: unspecified launch failure")

    with pytest.raises(RuntimeError, match="unspecified launch failure"):
        run(gpu(), "bf16", "fp32", call=lost)


def test_flags_are_back_after_each_precision() -> None:
    matmul = torch.backends.cuda.matmul
    before = (matmul.fp32_precision, matmul.allow_fp16_accumulation)
    within: list[str] = []

    def spying(torch_: Any, g: Gemm) -> Any:
        within.append(matmul.fp32_precision)
        return mm(torch_, g)

    run(gpu(), "tf32", call=spying)
    assert set(within) == {"tf32"}
    within.clear()
    run(gpu(), "fp32", call=spying)
    assert set(within) == {"ieee"}
    assert (matmul.fp32_precision, matmul.allow_fp16_accumulation) == before


def test_tf32_that_did_not_happen_is_rejected() -> None:
    (found,) = run(gpu("full"), "tf32")
    assert found.valid == "rejected"
    assert "a finer arithmetic than tf32 ran" in str(found.reason)
    assert (found.burst, found.sustained) == (None, None)


def test_quick_has_a_burst_and_no_loop() -> None:
    (found,) = run(gpu(), "bf16")
    assert found.burst == pytest.approx(SHAPES[-1].flops / 1e-3)
    assert found.sustained is None
    assert found.conditions.missing["sustained"] == "left out in quick mode"


def test_full_holds_it_and_says_what_the_card_went_through(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[int, float]] = []

    def sustained(_timer: Any, call: Any, calls: int, seconds: float) -> tuple[float, bool]:
        asked.append((calls, seconds))
        return 2e-3, True

    monkeypatch.setattr(timing, "sustained", sustained)
    (found,) = run(gpu("full"), "bf16")
    assert asked == [(20, 10.0)]
    assert found.sustained == pytest.approx(SHAPES[-1].flops / 2e-3)
    assert found.value == found.sustained
    extra = found.conditions.extra
    assert extra["sustained_settled"] == 1.0
    assert extra["sustained_sm_mhz"] == 1500.0
    assert found.conditions.throttle_reasons == ("power cap",)
    assert found.of_spec == pytest.approx(SHAPES[-1].flops / 2e-3 / 989.4e12)
    assert found.of_clock == pytest.approx(SHAPES[-1].flops / 2e-3 / (132 * 4096 * 1.5e9))


def loops(monkeypatch: pytest.MonkeyPatch, here: Lab, *metrics: str) -> list[float]:
    asked: list[float] = []

    def sustained(_timer: Any, _call: Any, _calls: int, seconds: float) -> tuple[float, bool]:
        asked.append(seconds)
        return 1e-3, False

    monkeypatch.setattr(timing, "sustained", sustained)
    run(here, *metrics)
    return asked


def test_default_holds_while_time_is_left_for_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    here = gpu("default")
    each_s = probe.EACH_S["default"]
    monkeypatch.setattr(here, "time_left_s", lambda: 4.1 + each_s)
    assert loops(monkeypatch, here, "bf16", "fp16") == [4.0, 4.0]
    monkeypatch.setattr(here, "time_left_s", lambda: 3.9 + each_s)
    assert loops(monkeypatch, here, "bf16", "fp16") == [4.0]
    monkeypatch.setattr(here, "time_left_s", lambda: 3.0)
    assert loops(monkeypatch, here, "bf16", "fp16") == []


def test_the_plan_decides_how_long(monkeypatch: pytest.MonkeyPatch) -> None:
    assert loops(monkeypatch, gpu("quick", sustained_s=120.0), "bf16") == [120.0]
    assert loops(monkeypatch, gpu("full", sustained_s=0.0), "bf16") == []


def test_a_loop_that_the_plan_asked_for_takes_no_time_from_the_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    here = gpu("default", sustained_s=1.0)
    extended: list[float] = []
    monkeypatch.setattr(here, "extend", extended.append)
    loops(monkeypatch, here, "bf16", "fp16")
    assert len(extended) == 2
    plain = gpu("default")
    monkeypatch.setattr(plain, "extend", lambda _seconds: pytest.fail("the budget holds"))
    assert loops(monkeypatch, plain, "bf16") == [4.0]


def test_the_end_of_the_budget_can_be_put_off() -> None:
    here = gpu()
    here.begin(0.0)
    assert here.time_left_s() <= 0
    here.extend(100.0)
    assert 90 < here.time_left_s() <= 100


def test_no_time_left_means_the_figure_of_one_large_shape_alone() -> None:
    here = gpu("default")
    here.begin(0.0)
    bf16, fp8 = run(here, "bf16", "fp8_e4m3")
    assert bf16.valid == fp8.valid == "valid"
    assert (bf16.burst, bf16.sustained) == (None, None)
    assert bf16.conditions.missing["burst"] == bf16.conditions.missing["sustained"]
    assert bf16.conditions.shape == str(SHAPES[0])
    assert bf16.conditions.missing[str(SHAPES[1])] == "no time left"
    assert not [key for key in fp8.conditions.tried if "accum" in key]


def test_long_after_the_end_a_figure_is_of_a_small_shape_and_says_so() -> None:
    here = gpu("default")
    here.begin(-1000.0)
    (found,) = run(here, "bf16")
    assert (found.valid, found.reason) == ("degraded", "degraded: no time for larger shapes")
    assert found.conditions.shape == str(START[0])
    assert (found.burst, found.sustained) == (None, None)
    assert found.of_spec is not None


def test_shapes_that_were_best_come_first() -> None:
    a, b, c = Shape(1, 1, 1), Shape(2, 2, 2), Shape(3, 3, 3)
    assert probe.likely_first((a, b, c), {}, 2) == (a, b, c)
    assert probe.likely_first((a, b, c), {2: b}, 2) == (b, a, c)
    assert probe.likely_first((a, b, c), {2: b, 1: c}, 2) == (b, c, a)
    assert probe.likely_first((a, b, c), {2: b, 1: c}, 4) == (c, b, a)


def test_each_turn_leaves_the_others_what_they_need_or_an_equal_part(monkeypatch: pytest.MonkeyPatch) -> None:
    here, each_s = gpu("default"), probe.EACH_S["default"]
    monkeypatch.setattr(here, "time_left_s", lambda: 100.0)
    assert probe.Turn.of(here, 7)[:2] == (7 * each_s, 7 * each_s)
    monkeypatch.setattr(here, "time_left_s", lambda: 8.0)
    assert probe.Turn.of(here, 7)[:2] == (7.0, 7 * each_s)
    monkeypatch.setattr(here, "time_left_s", lambda: -1.0)
    assert probe.Turn.of(here, 7)[:2] == (0.0, 7 * each_s)
    monkeypatch.setattr(here, "time_left_s", lambda: float("inf"))
    assert probe.Turn.of(here, 0)[:2] == (0.0, 0.0)


def test_a_second_take_has_room_in_a_turn_and_settling_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    here = gpu("default")
    here.policy = timing.POLICIES["default"]
    turn = probe.Turn(2.0, 2.0)
    for left_s, total_s, settle_s in ((9.0, 0.6, 1.5), (3.0, 0.5, 0.5), (2.1, 0.1, 0.0), (-5.0, 0.1, 0.0)):
        monkeypatch.setattr(here, "time_left_s", lambda left_s=left_s: left_s)
        steady = probe.steady(here, turn)
        assert (steady.policy.total_s, steady.limit_s) == pytest.approx((total_s, settle_s))
        assert steady.policy.window_s == probe.WINDOW_S
    assert probe.steady(here, turn._replace(cool=True)).limit_s == probe.SETTLE_S["default"]


def test_a_card_that_adds_up_in_fp32_at_half_rate_is_measured_at_that() -> None:
    here = gpu()
    here.facts = msgspec.structs.replace(H100, name="NVIDIA GeForce RTX 4090", compute_capability="8.9")
    (found,) = run(here, "fp8_e4m3")
    assert "use_fast_accum=False" in found.conditions.method
    assert [key for key in found.conditions.tried if "use_fast_accum=True" in key]
    (found,) = run(gpu(), "fp8_e4m3")
    assert "use_fast_accum=True" in found.conditions.method


def test_slower_ways_stand_beside_the_ceiling() -> None:
    (fp8,) = run(gpu(), "fp8_e4m3")
    assert fp8.conditions.tried[f"{SHAPES[-1]}, use_fast_accum=False"] > 0
    (quick,) = run(gpu("quick"), "fp16")
    assert not [key for key in quick.conditions.tried if "accumulation" in key]
    (full,) = run(gpu("full", sustained_s=0.0), "fp16")
    assert [key for key in full.conditions.tried if "accumulation" in key]


def test_fp64_is_held_against_the_units_it_runs_on() -> None:
    here = gpu()
    assert probe.spec_key(here, "fp64") == "fp64_tensor"
    here.facts = msgspec.structs.replace(H100, compute_capability="8.9")
    assert probe.spec_key(here, "fp64") == "fp64"
    assert probe.spec_key(here, "fp8_e5m2") == "fp8"


def test_unknown_clocks_leave_of_clock_out_with_the_reason() -> None:
    here = gpu()
    here.meter = SteadyMeter(Observed())
    (found,) = run(here, "bf16")
    assert found.of_clock is None
    assert found.conditions.missing["of_clock"] == "the SM clock during the run is not known"


def test_the_environment_of_cublas_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    monkeypatch.delenv("CUBLASLT_WORKSPACE_SIZE", raising=False)
    (found,) = run(gpu(), "bf16")
    assert found.conditions.versions["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"
    assert "CUBLASLT_WORKSPACE_SIZE" not in found.conditions.versions


def test_every_shape_suits_every_precision_and_an_h100() -> None:
    for precision in PRECISIONS:
        for m, n, k in (*probe.SHAPES, *probe.START):
            assert m > 16
            assert n % 16 == 0
            assert k % 128 == 0
            assert gemm_bytes(precision, Shape(m, n, k)) < 2.5e9


def as_floats(_torch: Any, g: Gemm) -> Any:
    return lambda: g.out.copy_(g.a.float() @ g.b.float().t())


def test_a_new_precision_is_one_entry() -> None:
    new = Precision(
        metric="fp16",
        a="float16",
        b="bfloat16",
        out="float32",
        method="x",
        tolerance=1e-2,
        needs=Needs(),
        call=as_floats,
    )
    (found,) = probe.each(gpu(), [new], SHAPES, START)
    assert (found.valid, found.conditions.dtype) == ("valid", "float16×bfloat16")
