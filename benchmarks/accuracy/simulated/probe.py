"""A simulated probe of the simulated card: the same kernels a probe runs, through the same model.

Its records go through `probes.derive`, so that recordings carry ceilings made as a real probe's are.
"""

from __future__ import annotations

from benchmarks.accuracy.simulated.card import Card, Kernel
from benchmarks.accuracy.simulated.kernels import product, stream
from probes.ceilings import Ceilings
from probes.derive import ceilings_of
from probes.record import Conditions, DeviceFacts, Measurement, ProbeReport, Unit

_METHOD = "SIMULATED"


def ceilings(card: Card, key: str, t_s: float) -> Ceilings:
    """What the probe finds of this card, at its full power limit."""
    report = ProbeReport(
        device=DeviceFacts(
            kind="cuda",
            key=key,
            name=card.name,
            index=0,
            compute_capability="9.0",
            sm_count=card.sms,
            memory_total_bytes=card.memory_bytes,
            sm_mhz_max=card.boost_mhz,
            power_limit_w=card.power_limit_w,
        ),
        mode="default",
        t_s=t_s,
        wall_s=60.0,
        method_version=1,
        measurements=tuple(_memory(card) + _products(card) + _links(card)),
    )
    found = ceilings_of(report, None)
    assert found is not None
    return found


def _memory(card: Card) -> list[Measurement]:
    kinds = {
        "dram_copy": stream(1.0),
        "dram_triad": stream(1.2, writes=0.333),
        "dram_read": stream(1.2, writes=0.0),
        "dram_write": stream(1.2, writes=1.0),
    }
    return [
        _taken(card, name, "bytes_s", card.useful_bytes_s(kernel), kernel) for name, kernel in kinds.items()
    ]


def _products(card: Card) -> list[Measurement]:
    kinds: dict[str, Kernel] = {
        "bf16": product(card, 1.0),
        "fp16": product(card, 1.0, "fp16"),
        "tf32": product(card, 1.0, "tf32"),
        "fp8_e4m3": product(card, 1.0, "fp8"),
        "int8": product(card, 1.0, "int8"),
        "fp64": product(card, 1.0, "fp64", copy=0.06),
        "fp32": Kernel(fp32=card.probe["fp32"], copy=0.09, writes=0.1, warps=0.12),
    }
    return [_held(card, name, kernel) for name, kernel in kinds.items()]


def _held(card: Card, name: str, kernel: Kernel) -> Measurement:
    mhz = card.clock_mhz({kernel: 1.0})
    unit: Unit = "op_s" if name == "int8" else "flop_s"
    return _taken(card, name, unit, card.flops_s(kernel, mhz), kernel)


def _taken(card: Card, name: str, unit: Unit, value: float, kernel: Kernel) -> Measurement:
    mhz = card.clock_mhz({kernel: 1.0})
    capped = mhz < card.boost_mhz
    power_w = min(card.power_limit_w, card.mean_w({kernel: 1.0}, mhz))
    return Measurement(
        probe=name,
        metric=name,
        unit=unit,
        median=value,
        p10=value * 0.995,
        p90=value * 1.004,
        cv=0.003,
        sustained=value if unit != "bytes_s" else None,
        counters_at_ceiling={"gr_active": 1.0, "sm_active": kernel.fill, **card.reads(kernel)},
        conditions=Conditions(
            method=_METHOD,
            sm_mhz=mhz,
            power_w=power_w,
            power_limit_w=card.power_limit_w,
            throttle_reasons=("sw_power_cap",) if capped else (),
            extra={"sustained_sm_mhz": mhz, "sustained_power_w": power_w},
        ),
    )


def _links(card: Card) -> list[Measurement]:
    rates = {"h2d_pinned": card.h2d_bytes_s, "d2h_pinned": card.h2d_bytes_s * 0.99}
    return [
        Measurement(
            probe="transfer",
            metric=name,
            unit="bytes_s",
            median=rate,
            conditions=Conditions(method=_METHOD),
        )
        for name, rate in rates.items()
    ]
