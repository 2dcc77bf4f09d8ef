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

    start_s: until the device is open (a cold import of torch from a network drive, eight GPUs without
    persistence). A probe gets its budget times `factor`, and `extra_s` for first imports and compilations;
    the whole run gets the budgets times `factor`, `start_s` and `whole_extra_s`. restarts: workers after the
    first. end_s: for a worker that has told everything to end, which CUDA may hang at.
    """

    start_s: float = 120.0
    factor: float = 4.0
    extra_s: float = 60.0
    whole_extra_s: float = 180.0
    restarts: int = 6
    end_s: float = 5.0

    def probe_s(self, probe: Probe, plan: Plan) -> float:
        """How long one probe may take."""
        return self.extra_s + self._expected_s(probe, plan)

    def whole_s(self, probes: Iterable[Probe], plan: Plan) -> float:
        """How long all of them may take."""
        return self.start_s + self.whole_extra_s + sum(self._expected_s(probe, plan) for probe in probes)

    def _expected_s(self, probe: Probe, plan: Plan) -> float:
        loops = sum(m.probe == probe.name for m in METRICS.values()) if probe.name in _SUSTAINING else 0
        sustained_s = loops * (plan.sustained_s or 0.0)
        return probe.budget_s * MODE_SCALE[plan.mode] * self.factor + sustained_s


DEFAULT_LIMITS = Limits()
