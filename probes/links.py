"""What a copy between host and device is held against: the line rate of the link as it ran."""

from __future__ import annotations

import re

import msgspec

from probes.ceilings import pcie_line_bytes_s
from probes.metrics import METRICS
from probes.record import Conditions, DeviceFacts, Measurement
from probes.specs import GpuSpec

# Boards whose host is reached over NVLink-C2C, faster than any PCIe link they also have.
_C2C = re.compile(r"\b(GH200|GB200|GB300|GB10)\b")
# A rate beyond what a link carries shows that it was not the link.
_BEYOND = 1.02


def has_c2c(facts: DeviceFacts, spec: GpuSpec | None) -> bool:
    """Whether the host is behind NVLink-C2C, told by the model's name."""
    names = (facts.name, facts.model or "", spec.gpu if spec else "")
    return any(_C2C.search(name) for name in names)


def held_against_link(m: Measurement, facts: DeviceFacts, spec: GpuSpec | None) -> Measurement:
    """The record with of_spec over the link as it ran under load; over the most it can where that is unknown
    or cannot be. Says which in the method; `of_max_link` stands beside it where the link ran below its most.
    """
    if METRICS[m.metric].spec != "pcie" or m.median is None:
        return m
    if has_c2c(facts, spec):
        return _told(m, None, missing={"of_spec": "the host is behind NVLink-C2C, not PCIe"})
    line, text, missing = _line(m.median, m.conditions, facts)
    if line is None:
        return _told(m, None, missing=missing)
    extra = _below_most(m.median, line, facts)
    return _told(m, m.median / line, note=f"; of the line rate of PCIe {text}", extra=extra, missing=missing)


def _line(rate: float, seen: Conditions, facts: DeviceFacts) -> tuple[float | None, str, dict[str, str]]:
    """Line rate, which link it is of, and what is not known of it."""
    ran = pcie_line_bytes_s(seen.pcie_gen, seen.pcie_width)
    most = pcie_line_bytes_s(facts.pcie_gen_max, facts.pcie_width_max)
    if ran is not None and (rate <= _BEYOND * ran or most is None):
        return ran, f"gen {seen.pcie_gen} x{seen.pcie_width}, as it ran", {}
    if ran is None:
        why = "the driver did not say how the link ran under load"
    else:
        why = (
            f"the driver said gen {seen.pcie_gen} x{seen.pcie_width} under load, which cannot carry this rate"
        )
    if most is None:
        return None, "", {"of_spec": why}
    return most, f"gen {facts.pcie_gen_max} x{facts.pcie_width_max}, its most", {"link": why}


def _below_most(rate: float, line: float, facts: DeviceFacts) -> dict[str, float]:
    most = pcie_line_bytes_s(facts.pcie_gen_max, facts.pcie_width_max)
    return {"of_max_link": rate / most} if most is not None and most > line else {}


def _told(
    m: Measurement,
    of_spec: float | None,
    *,
    note: str = "",
    extra: dict[str, float] | None = None,
    missing: dict[str, str] | None = None,
) -> Measurement:
    c = m.conditions
    told = msgspec.structs.replace(
        c,
        method=c.method + note,
        extra={**c.extra, **(extra or {})},
        missing={**c.missing, **(missing or {})},
    )
    return msgspec.structs.replace(m, of_spec=of_spec, conditions=told)
