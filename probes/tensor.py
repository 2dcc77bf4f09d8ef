"""GEMM throughput of a GPU, precision by precision: the best of a few shapes, at once and held.

FLOPs are 2·M·N·K. Operands are random (see probes.operands), B is column-major, the result's buffer exists
before. The figure is the median over windows of back-to-back calls at the fastest shape, from when the clock
has settled under them. `burst` is what the first 100 ms after a pause give, `sustained` what is held for
seconds: under a power limit the two differ by more than a tenth, and loads that run for hours are judged by
the latter.

Time goes to where it is needed most: first every precision has a figure at a large shape, be the budget over
or not; then come more shapes, settled clocks, a second take, a burst and a loop, while enough is left for the
precisions to come.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import NamedTuple

import msgspec

from probes import timing
from probes.flags import gemm_flags
from probes.lab import Lab, of, spec_value
from probes.matmul import Choice, Shape, Steady, choose, look, measured, survivable
from probes.meter import Observed
from probes.metrics import METRICS
from probes.operands import ELEMENT_BYTES
from probes.peaks import FP64_TENSOR, peak_flop_s
from probes.precisions import PRECISIONS, Gemm, Precision, Variant, lacking, suited
from probes.record import Conditions, Measurement, Mode
from probes.timing import Call

# Where large GEMMs of several chips were seen to be fastest, with cubes beside them.
SHAPES = (
    Shape(4096, 4096, 4096),
    Shape(2048, 2048, 13312),
    Shape(1024, 9216, 14336),
    Shape(8192, 8192, 8192),
    Shape(4096, 9728, 2048),
    Shape(1792, 16128, 3072),
)
QUICK_SHAPES = SHAPES[:3]
START = (Shape(2048, 2048, 2048), Shape(1024, 1024, 1024))
# A call longer than this (rate-limited fp64) says nothing that a smaller one does not.
LIMIT_S = 0.05

# What one precision takes without burst and loop, first calls included; kept for those still to come.
EACH_S: dict[Mode, float] = {"quick": 0.5, "default": 2.0, "full": 5.0}
# Of that, what the figure takes once the shape is known: settling, and timing. Not spent on more shapes, but
# for operands of a width that no shape was tried for yet.
FIGURE_S: dict[Mode, float] = {"quick": 0.4, "default": 1.1, "full": 2.5}
# How long to wait at most for clocks to settle, and at least so long the first time, when the card is cool; a
# stretch is a third of the least.
SETTLE_S: dict[Mode, float] = {"quick": 0.5, "default": 1.5, "full": 4.0}
STRETCH_S: dict[Mode, float] = {"quick": 0.06, "default": 0.1, "full": 0.1}
# A card that is kept below its boost clock hops between clocks within milliseconds: windows average that.
WINDOW_S = 5e-3
QUICK_TOTAL_S = 0.1
BURST_COST_S = timing.IDLE_BEFORE_BURST_S + timing.BURST_S + 0.1
# A GPU leaves its boost within seconds; three steady windows of a second are the least.
SUSTAINED_S: dict[Mode, float] = {"default": 4.0, "full": 10.0}
# Lengths of windows: each five of them wait behind a 5 ms blocker, which must not cool the card.
BURST_WINDOW_S = 4e-3
SUSTAINED_WINDOW_S = 20e-3

# What changes cuBLAS's choices from outside, reported beside the figures.
ENVIRONMENT = (
    "CUBLAS_WORKSPACE_CONFIG",
    "CUBLASLT_WORKSPACE_SIZE",
    "NVIDIA_TF32_OVERRIDE",
    "TORCH_BLAS_PREFER_CUBLASLT",
    "PYTORCH_TUNABLEOP_ENABLED",
)
_QUICK = "left out in quick mode"
_NO_TIME = "no time left for it in this mode; a longer mode has more"


def tensor(lab: Lab) -> Iterator[Measurement]:
    """GEMM throughput in every precision the card has."""
    yield from each(lab, PRECISIONS)


def each(
    lab: Lab,
    precisions: Sequence[Precision],
    shapes: Sequence[Shape] = SHAPES,
    start: Sequence[Shape] = START,
) -> Iterator[Measurement]:
    """One record a precision, in order; time is kept for those still to come."""
    torch = lab.torch
    lacks = {p.metric: lacking(p, torch, lab.facts, os.environ) for p in precisions}
    left = sum(why is None for why in lacks.values())
    if lab.plan.mode == "quick":
        shapes = shapes[: len(QUICK_SHAPES)]
    best: dict[float, Shape] = {}
    for at, precision in enumerate(precisions):
        lab.say(METRICS[precision.metric].title, at / len(precisions))
        why = lacks[precision.metric]
        if why is not None:
            yield lab.unsupported(precision.metric, why)
            continue
        left -= 1
        width = ELEMENT_BYTES[precision.a]
        turn = Turn.of(lab, left, seen=width in best, cool=not best)
        ordered = likely_first(shapes, best, width)
        for found in lab.attempt(precision.metric, partial(take, lab, precision, ordered, start, turn)):
            _remember(best, precision, shapes, found)
            yield found


class Turn(NamedTuple):
    """One precision's share of the time. keep_s: what its figure leaves to those that come after it: what
    they need, or where that is more than there is, their equal part. later_s: what they need, and what is on
    top of the figure leaves to them. seen: whether a shape was tried for operands as wide. cool: whether the
    card has done nothing yet."""

    keep_s: float
    later_s: float
    seen: bool = False
    cool: bool = False

    @classmethod
    def of(cls, lab: Lab, later: int, *, seen: bool = False, cool: bool = False) -> Turn:
        """The turn of a precision that `later` others come after."""
        later_s = later * EACH_S[lab.plan.mode]
        fair_s = max(0.0, lab.time_left_s()) * later / (later + 1)
        return cls(min(later_s, fair_s), later_s, seen, cool)


def likely_first(
    shapes: Sequence[Shape], best: Mapping[float, Shape], element_bytes: float
) -> tuple[Shape, ...]:
    """The shapes, those first that were best for operands as wide, then for others, the latest first."""
    known = [best[element_bytes]] if element_bytes in best else []
    return tuple(dict.fromkeys((*known, *reversed(list(best.values())), *shapes)))


def _remember(
    best: dict[float, Shape], precision: Precision, shapes: Sequence[Shape], found: Measurement
) -> None:
    """Note which shape was best for the width of these operands, if one was."""
    shape = next((shape for shape in shapes if str(shape) == found.conditions.shape), None)
    if shape is not None and found.valid == "valid":
        width = ELEMENT_BYTES[precision.a]
        best.pop(width, None)
        best[width] = shape


def take(
    lab: Lab, precision: Precision, shapes: Sequence[Shape], start: Sequence[Shape], turn: Turn
) -> Measurement:
    """All there is to say of one precision."""
    precision, mode = suited(precision, lab.facts), lab.plan.mode
    with gemm_flags(lab.torch, precision.fp32):
        expected = expected_flop_s(lab, precision.metric)
        keep_s = turn.keep_s + (FIGURE_S[mode] if turn.seen else 0.0)
        choice = choose(lab, precision, start, shapes, LIMIT_S, expected_flop_s=expected, keep_s=keep_s)
        found, gemm, call = measured(lab, precision, choice, steady=steady(lab, turn))
        if found.valid != "valid":
            return _told(_relative(lab, precision.metric, found, None))
        if lab.time_left_s() > turn.keep_s:
            found = with_variants(lab, precision, choice, gemm, found)
        found = with_burst(lab, choice.shape, call, found, turn.later_s)
        found, held = with_sustained(lab, choice.shape, call, found, turn.later_s)
    return _told(_relative(lab, precision.metric, found, held))


def expected_flop_s(lab: Lab, metric: str) -> float | None:
    """The most that this card can be expected to do; None where nothing is known of it."""
    sheet = spec_value(lab, spec_key(lab, metric))
    return sheet or peak_flop_s(lab.facts, metric, lab.facts.sm_mhz_max)[0]


def steady(lab: Lab, turn: Turn) -> Steady:
    """How to settle and time in this turn.

    An unsteady figure is taken twice, so that each take has half of what the turn has left, but windows
    enough; settling has the rest.
    """
    mode, policy = lab.plan.mode, lab.policy
    spare_s = lab.time_left_s() - turn.keep_s
    longest_s = min(policy.total_s, QUICK_TOTAL_S) if mode == "quick" else policy.total_s
    total_s = min(longest_s, max(spare_s / 2, QUICK_TOTAL_S))
    settle_s = SETTLE_S[mode] if turn.cool else min(SETTLE_S[mode], max(0.0, spare_s - total_s))
    windows = msgspec.structs.replace(
        policy, window_s=max(policy.window_s, WINDOW_S), total_s=total_s, warm_s=0.0
    )
    return Steady(STRETCH_S[mode], settle_s, windows)


def with_variants(
    lab: Lab, precision: Precision, choice: Choice, gemm: Gemm, found: Measurement
) -> Measurement:
    """The record with a quick look at the other ways to call, among `tried`."""
    tried, missing = dict(found.conditions.tried), dict(found.conditions.missing)
    for variant in precision.variants:
        if variant.full and lab.plan.mode != "full":
            continue
        key = f"{choice.shape}, {variant.label}"
        try:
            tried[key] = choice.shape.flops / _look(lab, variant, gemm)
        except Exception as error:
            missing[key] = survivable(error)
    return _with(found, tried=tried, missing=missing)


def _look(lab: Lab, variant: Variant, gemm: Gemm) -> float:
    with gemm_flags(lab.torch, fp16_accumulation=variant.fp16_accumulation):
        return look(lab.timer, variant.call(lab.torch, gemm))


def with_burst(lab: Lab, shape: Shape, call: Call, found: Measurement, later_s: float) -> Measurement:
    """The record with what the first 100 ms after a pause give, time permitting."""
    if lab.time_left_s() - later_s < BURST_COST_S:
        return _lacks(found, "burst", _NO_TIME)
    call_s = timing.burst(lab.timer, call, _calls(found, BURST_WINDOW_S))
    return msgspec.structs.replace(found, burst=shape.flops / call_s)


def with_sustained(
    lab: Lab, shape: Shape, call: Call, found: Measurement, later_s: float
) -> tuple[Measurement, Observed | None]:
    """The record with what the card holds, and what it went through meanwhile."""
    seconds = loop_s(lab, later_s)
    if seconds is None:
        return _lacks(found, "sustained", _QUICK if lab.plan.mode == "quick" else _NO_TIME), None
    begin = time.monotonic()
    lab.meter.start()
    try:
        call_s, settled = timing.sustained(lab.timer, call, _calls(found, SUSTAINED_WINDOW_S), seconds)
    finally:
        seen = lab.meter.stop()
    if lab.plan.sustained_s is not None:
        lab.extend(time.monotonic() - begin)
    found = msgspec.structs.replace(found, sustained=shape.flops / call_s)
    return _held(found, seen, seconds, settled), seen


def loop_s(lab: Lab, later_s: float) -> float | None:
    """How long the sustained loop may take at most; None for not at all.

    What the plan asks for is taken on top of the budget; else the precisions to come keep their time.
    """
    if lab.plan.sustained_s is not None:
        return lab.plan.sustained_s or None
    seconds = SUSTAINED_S.get(lab.plan.mode)
    return None if seconds is None or lab.time_left_s() - later_s < seconds else seconds


def _held(found: Measurement, seen: Observed, seconds: float, settled: bool) -> Measurement:
    """The record with the loop's circumstances beside those of the windows."""
    figures = {
        "sustained_limit_s": seconds,
        "sustained_settled": float(settled),
        "sustained_sm_mhz": seen.sm_mhz,
        "sustained_power_w": seen.power_w,
        "sustained_temp_c": seen.temp_c,
    }
    reasons = dict.fromkeys((*found.conditions.throttle_reasons, *seen.throttle_reasons))
    extra = {**found.conditions.extra, **{k: v for k, v in figures.items() if v is not None}}
    found = _with(found, extra=extra, throttle_reasons=tuple(reasons))
    return msgspec.structs.replace(found, counters_at_ceiling=found.counters_at_ceiling or seen.counters)


def _relative(lab: Lab, metric: str, found: Measurement, held: Observed | None) -> Measurement:
    """The record with its ceiling over the data sheet's figure, and over the chip's peak at its clock."""
    clock = held.sm_mhz if held is not None and held.sm_mhz is not None else found.conditions.sm_mhz
    peak, why = peak_flop_s(lab.facts, metric, clock)
    sheet = spec_value(lab, spec_key(lab, metric))
    found = msgspec.structs.replace(found, of_spec=of(found.value, sheet), of_clock=of(found.value, peak))
    return found if peak is not None else _lacks(found, "of_clock", why)


def spec_key(lab: Lab, metric: str) -> str | None:
    """The data sheet's column: without fp64 tensor cores, fp64 GEMMs run on the plain fp64 units."""
    if metric == "fp64" and lab.facts.compute_capability not in FP64_TENSOR:
        return "fp64"
    return METRICS[metric].spec


def _told(found: Measurement) -> Measurement:
    """The record with the environment that cuBLAS and torch look at."""
    told = {name: os.environ[name] for name in ENVIRONMENT if name in os.environ}
    return _with(found, versions={**found.conditions.versions, **told})


def _calls(found: Measurement, window_s: float) -> int:
    """Calls that take `window_s`, by the windows of the figure."""
    conditions = found.conditions
    if not conditions.window_s or not conditions.calls:
        return 1
    return max(1, round(window_s * conditions.calls / conditions.window_s))


def _lacks(found: Measurement, what: str, why: str) -> Measurement:
    return _with(found, missing={**found.conditions.missing, what: why})


def _with(found: Measurement, **changes: object) -> Measurement:
    conditions: Conditions = msgspec.structs.replace(found.conditions, **changes)
    return msgspec.structs.replace(found, conditions=conditions)
