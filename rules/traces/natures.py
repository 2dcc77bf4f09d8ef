"""How far a trace can be trusted: kernels that go by their family, a profiler that slows its host."""

from __future__ import annotations

import math

from rules import thresholds as th
from rules.traces.records import DeviceTrace
from rules.traces.shares import share_us

# Nothing is surer: of what was measured to the nanosecond, and of what goes by a kernel's family.
CAP_MEASURED = th.TRACE_CAP_MEASURED.value
CAP_FAMILY = th.TRACE_CAP_FAMILY.value


def by_family(trace: DeviceTrace) -> float:
    """Part of the kernel time whose nature goes by the kernel's family or size; what is not listed counts."""
    known = math.fsum(
        row.total_us * row.known_frac for row in trace.kernels if row.nature_basis in ("measured", "shape")
    )
    whole = math.fsum(row.total_us for row in trace.kernels) + trace.kernels_left_us
    return 1.0 - known / whole if whole > 0.0 else 1.0


def perturbed(trace: DeviceTrace) -> float:
    """How much longer the profiler's options may have made the host's share: launches, above all."""
    whole = share_us(trace)["host"]
    part = trace.causes.get("host_launch", 0.0) / whole if whole > 0.0 else 0.0
    return th.TRACE_PERTURBED.value * len(trace.perturbed) * min(1.0, part)
