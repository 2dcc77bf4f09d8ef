"""From a precision to a measured GEMM: buffers, the shape that suits the device, the figure, its check."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec

from probes.counting import gemm_flops
from probes.lab import Lab, UnsupportedError, device_lost, first_line
from probes.operands import ELEMENT_BYTES, exact, make, making_bytes, scale
from probes.precisions import Gemm, Precision
from probes.record import Conditions, Measurement
from probes.stats import quantile
from probes.timing import Call, Policy, Timer

# Buffers take no more than this of the memory that is free.
MEMORY_FRAC = 0.25
WARM_CALLS = 3
LOOK_WINDOW_S = 2e-3
LOOK_WINDOWS = 5
# Once the budget is over by as much as this (of default mode), which is more than all GEMMs take on an H100,
# the device is so slow or so shared that what is left had better end.
LATE_S = 40.0
TOO_LONG = "a call would take more than"
# Key of `missing` in a record whose figure comes from a small shape, though larger ones should be faster.
LARGER = "larger shapes"
# A device has settled when three stretches in a row agree within this.
SETTLED_FRAC, SETTLED_STRETCHES = 0.01, 3
SETTLE_WINDOW_S = 0.01
# Rows and columns of the result that are compared with a float64 reference.
CHECKED = 16

_NO_TIME, _NO_MEMORY = "no time", "no memory"
_now = time.monotonic


class Shape(NamedTuple):
    """C (M×N) = A (M×K) · B (K×N)."""

    m: int
    n: int
    k: int

    def __str__(self) -> str:
        return f"{self.m}x{self.n}x{self.k}"

    @property
    def flops(self) -> int:
        """Operations of one product."""
        return gemm_flops(self.m, self.n, self.k)


class Choice(msgspec.Struct, frozen=True, kw_only=True):
    """The best shape, FLOP/s of each that was tried, and why others were not.

    small: why none but a shape to start with was tried, where a larger one should have been; else None.
    """

    shape: Shape
    tried: dict[str, float]
    missing: dict[str, str] = {}
    small: str | None = None


def gemm_bytes(precision: Precision, shape: Shape) -> int:
    """Device memory that the product takes, while its operands are made."""
    a = precision.operand_bytes(shape.m, shape.k)
    out = shape.m * shape.n * ELEMENT_BYTES[precision.out]
    making = max(making_bytes(d, r, shape.k) for d, r in ((precision.a, shape.m), (precision.b, shape.n)))
    return round(a + out + making)


def build(lab: Lab, precision: Precision, shape: Shape) -> Gemm:
    """Random operands from the plan's seed, and a buffer for the result, on the device."""
    torch, device, generator = lab.torch, lab.device, lab.generator()
    m, n, k = shape
    scaling = precision.scaling
    return Gemm(
        a=make(torch, precision.a, m, k, device, generator),
        b=make(torch, precision.b, n, k, device, generator),
        out=torch.empty((m, n), dtype=getattr(torch, precision.out), device=device),
        scale_a=scale(torch, scaling, m, k, device) if scaling else None,
        scale_b=scale(torch, scaling, n, k, device) if scaling else None,
    )


def look(timer: Timer, call: Call) -> float:
    """Seconds a call takes, from a few short windows after as few warm calls."""
    for _ in range(WARM_CALLS):
        call()
    once_s = quantile(timer.windows(call, 1, 3), 0.5)
    calls = max(1, min(200, round(LOOK_WINDOW_S / max(once_s, 1e-9))))
    return quantile(timer.windows(call, calls, LOOK_WINDOWS), 0.5) / calls


def choose(
    lab: Lab,
    precision: Precision,
    start: Sequence[Shape],
    shapes: Sequence[Shape],
    limit_s: float,
    *,
    expected_flop_s: float | None = None,
    keep_s: float = 0.0,
) -> Choice:
    """Try shapes one by one and keep the fastest.

    First the one of `start` that memory allows, to see what a call costs; a device that is expected to do the
    first of `shapes` in `limit_s` at half of expected_flop_s needs no such try. Then of `shapes` those that
    fit in memory and would take no more than `limit_s` a call at the best rate so far, one at least, others
    for as long as more than `keep_s` of the probe's budget is left.
    Raises UnsupportedError where a rare precision does not run at all, else what the first shape raised.
    """
    missing: dict[str, str] = {}
    found: dict[Shape, float] = {}
    if shapes and _is_sure(lab, precision, shapes[0], limit_s, expected_flop_s):
        _try(lab, precision, shapes[0], found, missing)
    large = bool(found)
    if not large:
        first, flop_s = _first(lab, precision, start, missing)
        found = {first: flop_s}
    for shape in shapes:
        if shape in found or str(shape) in missing:
            continue
        why = _left_out(lab, precision, shape, max(found.values()), limit_s, keep_s if large else None)
        if why:
            missing[str(shape)] = why
        else:
            large = _try(lab, precision, shape, found, missing) or large
    return Choice(
        shape=max(found, key=lambda s: found[s]),
        tried={str(shape): flop_s for shape, flop_s in found.items()},
        missing=missing,
        small=None if large or not shapes else _why_small(missing[str(min(shapes, key=_flops))]),
    )


def _is_sure(
    lab: Lab, precision: Precision, shape: Shape, limit_s: float, expected_flop_s: float | None
) -> bool:
    """Whether a shape may be tried at once."""
    if not expected_flop_s or shape.flops > limit_s * expected_flop_s / 2:
        return False
    return fits(precision, shape, lab.free_bytes()) and not _is_late(lab)


def _try(
    lab: Lab, precision: Precision, shape: Shape, found: dict[Shape, float], missing: dict[str, str]
) -> bool:
    """Look at one shape, and say whether it ran."""
    try:
        found[shape] = rate(lab, precision, shape)
    except Exception as error:
        missing[str(shape)] = survivable(error)
    return shape in found


def _flops(shape: Shape) -> int:
    return shape.flops


def _why_small(left_out: str) -> str | None:
    """Why no larger shape was tried, by what the smallest of them was left out for; None where it would take
    too long a call: so low a rate shows in a small shape as well."""
    if left_out.startswith(TOO_LONG):
        return None
    return next((word for word in (_NO_TIME, _NO_MEMORY) if left_out.startswith(word)), left_out)


def rate(lab: Lab, precision: Precision, shape: Shape) -> float:
    """FLOP/s at a quick look. The buffers are gone afterwards."""
    return shape.flops / look(lab.timer, precision.call(lab.torch, build(lab, precision, shape)))


def measured(
    lab: Lab, precision: Precision, choice: Choice, *, steady: Steady | None = None
) -> tuple[Measurement, Gemm, Call]:
    """The figure at the chosen shape, checked against a reference, with what it was taken on.

    steady: how to bring the device to the clocks that it holds before anything is timed; None for not at all.
    """
    shape = choice.shape
    gemm = build(lab, precision, shape)
    call = precision.call(lab.torch, gemm)
    told = Conditions(
        dtype=precision.dtype,
        shape=str(shape),
        buffer_bytes=precision.operand_bytes(shape.m, shape.k),
        tried=choice.tried,
        missing=choice.missing | ({LARGER: choice.small} if choice.small else {}),
    )
    if steady is not None:
        told = _settled(told, settle(lab.timer, call, steady.stretch_s, steady.limit_s))
    policy = steady.policy if steady else None
    found = lab.measure(
        precision.metric, call, work=shape.flops, method=precision.method, conditions=told, policy=policy
    )
    wrong = flaw(precision, error_of(lab.torch, gemm, call()))
    if wrong is not None:
        found = msgspec.structs.replace(found, valid="rejected", reason=wrong)
    elif choice.small is not None:
        why = f"degraded: {choice.small} for larger shapes"
        found = msgspec.structs.replace(found, valid="degraded", reason=why)
    return found, gemm, call


class Steady(NamedTuple):
    """How to have a device settle under a call, and how to time it then: stretches of `stretch_s` until they
    agree, `limit_s` of them at most."""

    stretch_s: float
    limit_s: float
    policy: Policy


def settle(timer: Timer, call: Call, stretch_s: float, limit_s: float) -> bool:
    """Run the call until three successive stretches agree within 1 %, or `limit_s` is over; three at least.

    Gives whether they did. A card leaves its boost clock within some tenths of a second of a large GEMM, and
    what it does until then it does not hold.
    """
    begin, ran_s = _now(), 0.0
    call_s = quantile(timer.windows(call, 1, 3), 0.5)
    medians: list[float] = []
    while len(medians) < SETTLED_STRETCHES or max(ran_s, _now() - begin) < limit_s:
        calls = max(1, round(SETTLE_WINDOW_S / max(call_s, 1e-9)))
        count = max(1, round(stretch_s / max(calls * call_s, 1e-9)))
        windows = timer.windows(call, calls, count)
        call_s = quantile(windows, 0.5) / calls
        ran_s += sum(windows)
        medians.append(call_s)
        last = medians[-SETTLED_STRETCHES:]
        if len(last) == SETTLED_STRETCHES and max(last) - min(last) < SETTLED_FRAC * min(last):
            return True
    return False


def _settled(told: Conditions, did: bool) -> Conditions:
    extra = {**told.extra, "settled": float(did)}
    missing = {} if did else {"settled": "the device was still leaving its boost clock when this was timed"}
    return msgspec.structs.replace(told, extra=extra, missing={**told.missing, **missing})


def error_of(torch: Any, gemm: Gemm, result: Any) -> float:
    """Largest error of some rows and columns of the result, over the largest element among them.

    The reference is the product of the very operands, taken as float64, on the host. Scales are one.
    """
    rows, columns = _stride(gemm.a), _stride(gemm.b)
    reference = exact(torch, gemm.a[::rows]) @ exact(torch, gemm.b[::columns]).t()
    got = result[::rows, ::columns].cpu().to(torch.float64)
    return float((got - reference).abs().max() / reference.abs().max())


def flaw(precision: Precision, error: float) -> str | None:
    """Why a result with this error cannot be the precision's, or None."""
    if not error <= precision.tolerance:
        return (
            f"wrong result: off by {error:.2g} of the largest element from a float64 reference; "
            f"{precision.metric} allows {precision.tolerance:g}"
        )
    if error < precision.coarser_than:
        return (
            f"a finer arithmetic than {precision.metric} ran: off by {error:.2g} of the largest element only"
        )
    return None


def _first(
    lab: Lab, precision: Precision, start: Sequence[Shape], missing: dict[str, str]
) -> tuple[Shape, float]:
    """The first shape that runs, and its rate. Raises MemoryError where memory allows none."""
    for shape in start:
        free = lab.free_bytes()
        if not fits(precision, shape, free):
            missing[str(shape)] = _too_large(precision, shape, free)
            continue
        try:
            return shape, _first_rate(lab, precision, shape)
        except RuntimeError as error:
            if not out_of_memory(error):
                raise
            missing[str(shape)] = first_line(error)
    raise MemoryError(f"not even {start[-1]} fits: {missing[str(start[-1])]}")


def _first_rate(lab: Lab, precision: Precision, shape: Shape) -> float:
    try:
        return rate(lab, precision, shape)
    except (RuntimeError, ValueError, TypeError) as error:
        if device_lost(error) or out_of_memory(error) or not precision.needs.rare:
            raise
        raise UnsupportedError(f"torch cannot here: {first_line(error)}") from error


def _left_out(
    lab: Lab, precision: Precision, shape: Shape, flop_s: float, limit_s: float, keep_s: float | None
) -> str | None:
    """Why a shape is not tried. keep_s: what to leave of the budget; None for a shape that is needed."""
    free = lab.free_bytes()
    if not fits(precision, shape, free):
        return _too_large(precision, shape, free)
    if shape.flops / flop_s > limit_s:
        return f"{TOO_LONG} {limit_s * 1e3:g} ms"
    over = _is_late(lab) if keep_s is None else lab.time_left_s() <= keep_s
    return f"{_NO_TIME} left" if over else None


def _is_late(lab: Lab) -> bool:
    return lab.time_left_s() < -LATE_S * lab.scale


def fits(precision: Precision, shape: Shape, free_bytes: int) -> bool:
    """Whether the product's buffers keep within their share of the free memory."""
    return gemm_bytes(precision, shape) <= MEMORY_FRAC * free_bytes


def out_of_memory(error: BaseException) -> bool:
    """Whether the device's memory did not suffice (a RuntimeError by type in torch)."""
    return type(error).__name__ == "OutOfMemoryError" or "out of memory" in str(error)


def survivable(error: Exception) -> str:
    """What an error says, where other calls may still run. Raises it again where the device is lost."""
    if device_lost(error):
        raise error
    return f"{type(error).__name__}: {first_line(error)}"


def _too_large(precision: Precision, shape: Shape, free_bytes: int) -> str:
    needed = gemm_bytes(precision, shape) / 1e9
    return f"{_NO_MEMORY}: it needs {needed:.2g} GB, a quarter of the free {free_bytes / 1e9:.2g} GB is less"


def _stride(matrix: Any) -> int:
    """Odd, so that the places within a kernel's tile differ."""
    return int(matrix.shape[0]) // CHECKED | 1
