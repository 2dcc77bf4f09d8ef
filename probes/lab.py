"""Lab: what a probe works with, and how its timings become a record. Lives in the probe worker only."""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable, Iterator
from functools import cached_property
from typing import Any, TypeVar

import msgspec

from probes.ceilings import pcie_line_bytes_s
from probes.links import has_c2c
from probes.meter import Hushable, Meter, Observed, within
from probes.metrics import METRICS
from probes.record import Conditions, DeviceFacts, Measurement, Plan
from probes.specs import GpuSpec
from probes.stats import summary
from probes.timing import POLICIES, Call, Policy, Timer, Windows, calibrate, taken

# Beyond this spread, or drift of the SM clock within a run, a figure is taken once more.
STEADY_CV = 0.03
CLOCK_DRIFT = 0.05
# Budgets are for default mode.
MODE_SCALE = {"quick": 0.2, "default": 1.0, "full": 4.0}
# What the rules need of the counters in every mode, and how long it takes until two windows of 110 ms lie
# wholly within what is timed, wherever the first begins.
COUNTED = frozenset({"dram_read", "dram_copy", "bf16", "fp32"})
COUNTED_S = 0.42
# In quick mode reads alone stand for memory: they drive its counter highest.
QUICK_COUNTED = COUNTED - {"dram_copy"}


T = TypeVar("T")


class UnsupportedError(Exception):
    """This card or installation has no such thing; the text says what it would need."""


class Lab:
    """One device under measurement.

    timer times calls on it, meter says what it went through. say(text, frac): progress, 0 to 1 of the
    probe that runs. torch and cupy are imported when first asked for; without cupy, `cupy` raises
    UnsupportedError, and a probe falls back on torch or says so.
    """

    def __init__(
        self,
        facts: DeviceFacts,
        plan: Plan,
        *,
        timer: Timer,
        meter: Meter,
        spec: GpuSpec | None = None,
        say: Callable[[str, float], None] | None = None,
    ) -> None:
        self.facts = facts
        self.plan = plan
        self.timer = timer
        self.meter = meter
        self.spec = spec
        self.say = say or _silent
        self.policy: Policy = POLICIES[plan.mode]
        self.versions: dict[str, str] = {}
        self._counted: set[str] = set()
        self._end_s = float("inf")

    @cached_property
    def torch(self) -> Any:
        """The torch module. Raises UnsupportedError without it."""
        return _module(
            "torch", "torch is not installed; install the extra cuda13 or cuda12, for the CPU torch alone"
        )

    @cached_property
    def cupy(self) -> Any:
        """The cupy module. Raises UnsupportedError without it."""
        return _module("cupy", "cupy is not installed")

    @property
    def device(self) -> str:
        """torch's name of the device: the worker sees one GPU only."""
        return "cuda:0" if self.facts.kind == "cuda" else "cpu"

    @property
    def scale(self) -> float:
        """How long the mode looks, as a multiple of default mode."""
        return MODE_SCALE[self.plan.mode]

    def begin(self, budget_s: float, most_s: float = float("inf")) -> None:
        """Start the clock of one probe. budget_s: in default mode; most_s: what is left of the run for it."""
        self._end_s = time.monotonic() + min(budget_s * self.scale, most_s)

    def time_left_s(self) -> float:
        """What is left of the probe's budget; a probe leaves out its least wanted parts when it runs out."""
        return self._end_s - time.monotonic()

    def extend(self, seconds: float) -> None:
        """Put the end of the probe's budget off by time that the plan asked for on top of it."""
        self._end_s += seconds

    def free_bytes(self) -> int:
        """Device memory that can be had now (on the CPU: what the kernel calls available)."""
        if self.facts.kind == "cuda":
            return int(self.torch.cuda.mem_get_info()[0])
        return self.facts.memory_free_bytes or 0

    def generator(self) -> Any:
        """torch's random generator on the device, seeded by the plan."""
        return self.torch.Generator(device=self.device).manual_seed(self.plan.seed)

    @cached_property
    def quiet_meter(self) -> Meter:
        """The meter that runs no thread while something is timed."""
        return self.meter.quiet() if isinstance(self.meter, Hushable) else self.meter

    def metered(self, run: Callable[[], T], *, quiet: bool = False) -> tuple[T, Observed]:
        """Do something, such as time windows, while the meter looks.

        quiet: the meter looks only once it is over. For microseconds on the host's clock, which a polling
        thread would lengthen by taking the interpreter's lock; such a stretch has no counters.
        """
        meter = self.quiet_meter if quiet else self.meter
        meter.start()
        try:
            done = run()
        finally:
            seen = meter.stop()
        return done, seen

    def measure(
        self,
        metric: str,
        call: Call,
        *,
        work: float = 1.0,
        method: str,
        conditions: Conditions | None = None,
        policy: Policy | None = None,
        quiet: bool = False,
    ) -> Measurement:
        """Time `call` and give its record: work over seconds for a rate, seconds over work for a cost.

        Taken once more, time permitting, where the windows spread by more than 3 % or the SM clock drifts by
        more than 5 %.
        `conditions` holds what the caller knows (dtype, shape, buffer_bytes, tried, extra). quiet: for
        figures on the host's clock, see `metered`.
        """
        policy = self._long_enough(metric, policy or self.policy)
        windows, seen = self._timed(call, policy, quiet=quiet)
        rerun = unsteady(windows, seen) and self.time_left_s() > policy.total_s
        if rerun:
            windows, seen = self._timed(call, policy, quiet=quiet)
        if seen.counters:
            self._counted.add(metric)
        told = msgspec.structs.replace(conditions or Conditions(), method=method, rerun=rerun)
        return self.record(metric, values(metric, windows, work), windows, seen, told)

    def _timed(self, call: Call, policy: Policy, *, quiet: bool) -> tuple[Windows, Observed]:
        """Windows, and what the meter saw while nothing else ran: it starts once the call is warm and
        calibrated."""
        pace = calibrate(self.timer, call, policy)
        windows, seen = self.metered(lambda: taken(self.timer, call, pace, policy), quiet=quiet)
        return windows, within(seen, windows.span)

    def _long_enough(self, metric: str, policy: Policy) -> Policy:
        """The policy, prolonged for the first take of what rules need the counters of."""
        counted = QUICK_COUNTED if self.plan.mode == "quick" else COUNTED
        if self.facts.kind != "cuda" or metric not in counted or metric in self._counted:
            return policy
        return msgspec.structs.replace(policy, total_s=max(policy.total_s, COUNTED_S))

    def record(
        self, metric: str, figures: list[float], windows: Windows | None, seen: Observed, told: Conditions
    ) -> Measurement:
        """A record from figures in the metric's unit, one a window, with what the meter saw."""
        known = METRICS[metric]
        s = summary(figures)
        of_spec = of(s.median, spec_value(self, known.spec))
        return Measurement(
            probe=known.probe,
            metric=metric,
            unit=known.unit,
            median=s.median,
            p10=s.p10,
            p90=s.p90,
            cv=s.cv,
            of_spec=of_spec,
            counters_at_ceiling=seen.counters,
            conditions=self._conditions(told, s.count, windows, seen),
        )

    def unsupported(self, metric: str, reason: str) -> Measurement:
        """A record of something this card or installation does not have."""
        return failure(metric, f"unsupported: {reason}", unsupported=True)

    @property
    def no_time(self) -> str:
        """Why something was left out."""
        return f"no time left in {self.plan.mode} mode"

    def left_out(self, metric: str) -> Measurement:
        """A record of something that was not measured, for want of time."""
        return failure(metric, self.no_time, unsupported=True)

    def unless_late(self, metric: str, take: Callable[[], Measurement]) -> Iterator[Measurement]:
        """As `attempt`, or a record that says that the probe's time was over."""
        if self.time_left_s() > 0:
            yield from self.attempt(metric, take)
        else:
            yield self.left_out(metric)

    def failed(self, metric: str, reason: str) -> Measurement:
        """A record of something that broke."""
        return failure(metric, reason)

    def attempt(self, metric: str, take: Callable[[], Measurement]) -> Iterator[Measurement]:
        """The record `take` gives, or one that says why there is none; device memory is given back.

        A lost device is not caught: nothing after it could be trusted.
        """
        taken = self._taken(metric, take)
        self._give_memory_back()
        yield taken

    def _taken(self, metric: str, take: Callable[[], Measurement]) -> Measurement:
        try:
            return take()
        except UnsupportedError as error:
            return self.unsupported(metric, str(error))
        except Exception as error:
            if device_lost(error):
                raise
            return self.failed(metric, f"{type(error).__name__}: {first_line(error)}")

    def _give_memory_back(self) -> None:
        """Return what torch and cupy keep for later, where they were used at all. Raises only when the
        device is lost."""
        try:
            if self.facts.kind == "cuda" and "torch" in self.__dict__:
                self.torch.cuda.empty_cache()
            if self.facts.kind == "cuda" and "cupy" in self.__dict__:
                self.cupy.get_default_memory_pool().free_all_blocks()
        except Exception as error:
            if device_lost(error):
                raise

    def _conditions(
        self, told: Conditions, count: int, windows: Windows | None, seen: Observed
    ) -> Conditions:
        return msgspec.structs.replace(
            told,
            windows=count,
            window_s=windows.window_s if windows else told.window_s,
            calls=windows.calls if windows else told.calls,
            seed=self.plan.seed,
            sm_mhz=seen.sm_mhz,
            sm_mhz_min=seen.sm_mhz_min,
            sm_mhz_max=seen.sm_mhz_max,
            mem_mhz=seen.mem_mhz,
            power_w=seen.power_w,
            power_limit_w=seen.power_limit_w,
            temp_c=seen.temp_c,
            throttle_reasons=seen.throttle_reasons,
            pcie_gen=seen.pcie_gen,
            pcie_width=seen.pcie_width,
            versions=self.versions,
            missing={**told.missing, **seen.missing},
        )


def values(metric: str, windows: Windows, work: float) -> list[float]:
    """One figure a window, in the metric's unit."""
    if METRICS[metric].unit == "s":
        return [s / work for s in windows.call_s]
    return [work / s for s in windows.call_s]


def unsteady(windows: Windows, seen: Observed) -> bool:
    """Whether a figure should be taken once more. A clock that moves under the power limit alone, while
    windows stay as long, is a healthy card's."""
    if summary(windows.call_s).cv > STEADY_CV:
        return True
    if seen.throttle_reasons == ("sw_power_cap",):
        return False
    low, high = seen.sm_mhz_min, seen.sm_mhz_max
    return low is not None and high is not None and high - low > CLOCK_DRIFT * high


def spec_value(lab: Lab, key: str | None) -> float | None:
    """The data sheet's figure for the device under measurement, see `spec_figure`."""
    return spec_figure(lab.facts, lab.spec, key)


def spec_figure(facts: DeviceFacts, spec: GpuSpec | None, key: str | None) -> float | None:
    """The data sheet's figure, scaled to a MIG slice, or the link's line rate; None where unknown.

    A rate scales with the slice's SMs, memory bandwidth with its memory, which MIG hands out apart.
    """
    if key == "pcie":
        beyond = has_c2c(facts, spec)
        return None if beyond else pcie_line_bytes_s(facts.pcie_gen_max, facts.pcie_width_max)
    if spec is None or key is None:
        return None
    if key == "dram":
        return spec.dram_bytes_s * memory_share(facts, spec)
    whole = spec.flop_s.get(key)
    return None if whole is None else whole * (facts.slice_frac or 1.0)


def memory_share(facts: DeviceFacts, spec: GpuSpec) -> float:
    """The share of its GPU's memory system that a MIG instance has, in eighths (NVIDIA MIG user guide: a
    memory slice is an eighth); 1 for a whole GPU."""
    if facts.mig_profile is None:
        return 1.0
    if facts.memory_total_bytes is None:
        return facts.slice_frac or 1.0
    eighths = round(8 * facts.memory_total_bytes / (min(spec.memory_gb) * 1e9))
    return min(8, max(1, eighths)) / 8


def of(value: float | None, whole: float | None) -> float | None:
    """A figure as a fraction of another; None where either is unknown."""
    return None if value is None or not whole else value / whole


def failure(metric: str, reason: str, *, unsupported: bool = False) -> Measurement:
    """A record without a figure. An unknown metric name stands for a whole probe."""
    known = METRICS.get(metric)
    return Measurement(
        probe=known.probe if known else metric,
        metric=metric,
        unit=known.unit if known else "count",
        valid="unsupported" if unsupported else "failed",
        reason=reason,
    )


def first_line(error: BaseException) -> str:
    """The first line of what an error says, as far as a table can show it."""
    text = str(error).strip().splitlines()
    return (text[0] if text else "no message")[:200]


def device_lost(error: BaseException) -> bool:
    """Errors after which the CUDA context is unusable, so that the worker must end."""
    text = str(error)
    return any(sign in text for sign in _LOST)


_LOST = (
    "device-side assert",
    "illegal memory access",
    "illegal instruction",
    "invalid program counter",
    "hardware stack error",
    "launch timed out",
    "unspecified launch failure",
    "GPU is lost",
    "fallen off the bus",
    "uncorrectable ECC",
    "uncorrectable NVLink",
    "misaligned address",
)


def _silent(_text: str, _frac: float) -> None:
    """Nobody wants to know."""


def _module(name: str, absent: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise UnsupportedError(f"{absent} ({first_line(error)})") from error
