"""How long the parts of a probe run may take before something is taken to hang."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from probes.lab import MODE_SCALE
from probes.metrics import METRICS
from probes.record import Plan
from probes.registry import Probe

# Probes that run a sustained loop for every metric.
_SUSTAINING = frozenset({"tensor", "gemm"})


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """How long to wait before something is taken to hang.

    driver_s: for the driver to say who uses the device (it may wake eight GPUs without persistence first).
    start_s: until the device is open (a cold import of torch from a network drive). A probe gets its budget
    times `factor`, and `extra_s` for first imports and compilations; the whole run gets the budgets times
    `factor`, `start_s` and `whole_extra_s`. restarts: workers after the first. end_s: for a worker that has
    told everything to end, which CUDA may hang at.

    That is for what hangs. What is merely slow is left out once the budgets times `slack` and `slack_s` are
    over: half as long as planned, and the first imports and compilations on a slow disk.
    """

    driver_s: float = 45.0
    start_s: float = 120.0
    factor: float = 4.0
    extra_s: float = 60.0
    whole_extra_s: float = 180.0
    restarts: int = 6
    end_s: float = 5.0
    slack: float = 1.5
    slack_s: float = 3.0

    def probe_s(self, probe: Probe, plan: Plan) -> float:
        """How long one probe may take."""
        return self.extra_s + self._expected_s(probe, plan)

    def whole_s(self, probes: Iterable[Probe], plan: Plan) -> float:
        """How long all of them may take."""
        return self.start_s + self.whole_extra_s + sum(self._expected_s(probe, plan) for probe in probes)

    def measuring_s(self, probes: Iterable[Probe], plan: Plan) -> float:
        """How long open devices are measured on before probes still to come are left out."""
        return self.slack_s + sum(_planned_s(probe, plan, self.slack) for probe in probes)

    def _expected_s(self, probe: Probe, plan: Plan) -> float:
        return _planned_s(probe, plan, self.factor)


def _planned_s(probe: Probe, plan: Plan, factor: float) -> float:
    """The budget in this mode, that many times, and the sustained loops that were asked for."""
    loops = sum(m.probe == probe.name for m in METRICS.values()) if probe.name in _SUSTAINING else 0
    return probe.budget_s * MODE_SCALE[plan.mode] * factor + loops * (plan.sustained_s or 0.0)


DEFAULT_LIMITS = Limits()
