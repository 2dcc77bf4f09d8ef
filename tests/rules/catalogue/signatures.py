"""Contexts of what rules of arithmetic, memory, shape, links and capacity look for; planted figures."""

from __future__ import annotations

from typing import Any

import msgspec

from probes.ceilings import Ceiling, Ceilings, Reading
from rules.evidence import Evidence, SubWindow, Workload
from rules.registry import Context
from tests.rules.contexts import make_context, make_evidence

GIB = 1 << 30
RATES = {"fp64": 1e12, "fp32": 50e12, "tf32": 400e12, "bf16": 800e12, "fp8": 1400e12}
PIPES = ("dram_active", "tensor_active", "hmma", "fp32")


def card(label: Any = "measured", **rates: float) -> Ceilings:
    """A made-up card: readings of 0.8 at the ceiling, these rates, and both links."""
    links = {"pcie": 50e9, "nvlink": 400e9}
    return Ceilings(
        model="made-up card",
        label=label,
        readings=tuple(Reading(counter=n, frac=0.8, label=label, source="planted") for n in PIPES),
        ceilings=tuple(
            Ceiling(metric=metric, value=value, unit="flop_s", label=label, source="planted")
            for metric, value in {**RATES, **links, **rates}.items()
        ),
    )


def at_roof(
    class_: Any,
    counters: dict[str, Any],
    roof: float = 0.9,
    pipe: str | None = None,
    ceilings: Ceilings | None = None,
    **more: Any,
) -> Context:
    """A device that spends 0.9 of its time at `class_`, at `roof` of its own ceiling."""
    shares: dict[str, Any] = {class_: 0.9}
    return make_context(
        make_evidence({"gr_active": 1.0} | counters, **more),
        class_=class_,
        useful=0.9 * roof,
        verdict={"pipe": pipe, "roofs": {class_: roof}},
        ceilings=ceilings or card(),
        **shares,
    )


def low(counters: dict[str, Any], **more: Any) -> Context:
    """Busy and far below every roof."""
    return at_roof("device", {"tensor_active": 0.1, "fp32": 0.05} | counters, 0.2, **more)


def long(counters: dict[str, Any], used_gib: int, **more: Any) -> Evidence:
    """A minute and a half."""
    window = SubWindow(t_s=0.0, duration_s=1.0, **counters)
    windows = tuple(msgspec.structs.replace(window, t_s=float(i + 1)) for i in range(90))
    given = {"windows": windows, "t_end_s": 90.0, "mem_used_bytes": used_gib * GIB, **more}
    return make_evidence(**given)


def bursts(*seconds: float) -> Evidence:
    """Quiet and busy seconds by turns, quiet first."""
    windows: list[SubWindow] = []
    for number, length in enumerate(seconds):
        windows += [
            SubWindow(t_s=0.0, duration_s=0.5, has_process=True, gr_active=float(number % 2))
            for _ in range(int(2 * length))
        ]
    return make_evidence(windows=tuple(windows), t_end_s=sum(seconds), mem_used_bytes=16 * GIB)


SMALL = {"gr_active": 0.3, "sm_active": 0.1, "tensor_active": 0.05, "fp32": 0.05, "dram_active": 0.05}
MIG = {"compute_capability": "9.0"}
ASLEEP = {"process_cpu_cores": 0.02}
TWO = Workload(pid=4242, name="train.py", user="alice", others=1)
COPIES = {"gr_active": 1.0, "pcie_rx_bytes_s": 45e9, "pcie_tx_bytes_s": 1e9, "nvlink_rx_bytes_s": 1e9}

SIGNATURES: dict[str, Context] = {
    "IDLE003": make_context(bursts(10, 5, 10, 5), class_="idle", idle_held=0.66),
    "MEM003": at_roof("memory", {"tensor_active": 0.1, "sm_occupancy": 0.1}, 0.65),
    "MEM004": at_roof("memory", {"tensor_active": 0.0, "fp32": 0.1, "sm_occupancy": 0.8}),
    "COMP003": at_roof("compute", {"tensor_active": 0.0, "fp32": 0.7}, pipe="fp32"),
    "COMP004": at_roof("compute", {"tensor_active": 0.0, "fp64": 0.7}, pipe="fp64"),
    "COMP005": at_roof("compute", {"tensor_active": 0.7}, pipe="hmma"),
    "COMP006": at_roof(
        "device", {"tensor_active": 0.0, "fp32": 0.3, "sm_active": 0.95, "sm_occupancy": 0.6}, 0.4
    ),
    "COMP007": at_roof("compute", {"tensor_active": 0.5}, 0.65, pipe="imma", ceilings=card(fp8=1.0)),
    "DEV007": low({"sm_active": 0.1}),
    "DEV008": low({"sm_active": 0.95, "sm_occupancy": 0.1}),
    "DEV009": low({"sm_active": 0.7, "sm_occupancy": 0.5}),
    "CAP001": make_context(make_evidence(mem_used_bytes=78 * GIB), class_="compute"),
    "CAP002": low({"sm_active": 0.1}, mem_used_bytes=8 * GIB),
    "CAP003": make_context(long(SMALL, 4, host=ASLEEP, device=MIG), host=0.7, ceilings=card()),
    "CAP004": make_context(make_evidence({"gr_active": 0.8}, workload=TWO), class_="compute"),
    "COMM002": make_context(
        make_evidence(COPIES), class_="communication", communication=0.5, ceilings=card()
    ),
}
# What contributes, or speaks of capacity, comes beside what names the cause.
BESIDE = {
    "MEM003": {"MEM002"},
    "MEM004": {"MEM001"},
    "COMP005": {"COMP001"},
    "COMP006": {"DEV001"},
    "COMP007": {"COMP001"},
    "CAP002": {"DEV007"},
    "CAP003": {"HOST009"},
}
