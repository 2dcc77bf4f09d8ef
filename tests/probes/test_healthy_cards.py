"""Healthy cards of many kinds pass the sanity rules.

Every figure here is INVENTED: near what such cards are commonly said to reach, never read from one. They
stand for kinds of health (little power, half-rate fp32 sums, boosting above the data sheet), not for cards.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec
import pytest

from probes.metrics import METRICS
from probes.peaks import FP64_TENSOR, peak_flop_s
from probes.record import Conditions, DeviceFacts, Measurement
from probes.sanity import judge
from probes.specs import GpuSpec, all_specs, find_spec

TERA, GIGA = 1e12, 1e9
CAP = ("sw_power_cap",)


class Card(NamedTuple):
    """A card at its work. gemms: metric -> TFLOP/s and the SM clock meanwhile, in MHz."""

    name: str
    capability: str
    gb: float
    sms: int
    copy_gb_s: float
    gemms: dict[str, tuple[float, float]]
    held: tuple[str, ...] = ()


CARDS = (
    Card(
        "Tesla T4",
        "7.5",
        16,
        40,
        240,
        {"fp16": (22, 750), "fp32": (4.0, 1000), "int8": (45, 800), "fp64": (0.15, 1000)},
        CAP,
    ),
    Card(
        "Tesla V100-SXM2-32GB",
        "7.0",
        32,
        80,
        790,
        {"fp16": (95, 1450), "fp32": (14, 1500), "fp64": (7, 1480)},
    ),
    Card(
        "NVIDIA A10",
        "8.6",
        24,
        72,
        490,
        {
            "bf16": (61, 1080),
            "fp16": (60, 1070),
            "tf32": (30, 1080),
            "fp32": (14.5, 1250),
            "int8": (115, 1050),
            "fp64": (0.47, 1650),
        },
        CAP,
    ),
    Card(
        "NVIDIA A10G",
        "8.6",
        24,
        80,
        480,
        {"bf16": (58, 1550), "fp16": (57, 1550), "tf32": (28, 1600), "fp32": (21, 1500)},
        CAP,
    ),
    Card(
        "NVIDIA A30",
        "8.0",
        24,
        56,
        780,
        {"bf16": (120, 1250), "fp16": (118, 1250), "tf32": (62, 1300), "fp64": (9, 1400)},
        CAP,
    ),
    Card(
        "NVIDIA A40",
        "8.6",
        48,
        84,
        580,
        {"bf16": (110, 1450), "fp16": (109, 1440), "tf32": (56, 1500), "fp32": (25, 1550)},
        CAP,
    ),
    Card(
        "NVIDIA A100-SXM4-80GB",
        "8.0",
        80,
        108,
        1700,
        {
            "bf16": (271, 1350),
            "fp16": (257, 1330),
            "tf32": (132, 1400),
            "fp32": (18.9, 1410),
            "fp64": (18.4, 1400),
            "int8": (470, 1350),
        },
    ),
    Card(
        "NVIDIA A100-PCIE-40GB",
        "8.0",
        40,
        108,
        1330,
        {"bf16": (225, 1150), "fp16": (221, 1140), "tf32": (112, 1200), "fp32": (17, 1300)},
        CAP,
    ),
    Card(
        "NVIDIA L4",
        "8.9",
        24,
        58,
        245,
        {
            "bf16": (55, 1080),
            "fp16": (54, 1070),
            "fp8_e4m3": (100, 1000),
            "fp8_e5m2": (99, 1000),
            "tf32": (27, 1080),
            "fp32": (13, 1250),
            "int8": (105, 1000),
            "fp64": (0.46, 2000),
        },
        CAP,
    ),
    Card(
        "NVIDIA L40",
        "8.9",
        48,
        142,
        720,
        {
            "bf16": (150, 2350),
            "fp16": (149, 2350),
            "fp8_e4m3": (290, 2300),
            "tf32": (72, 2350),
            "fp32": (66, 2300),
            "int8": (280, 2300),
        },
        CAP,
    ),
    Card(
        "NVIDIA L40S",
        "8.9",
        48,
        142,
        720,
        {
            "bf16": (250, 1950),
            "fp16": (248, 1950),
            "fp8_e4m3": (470, 1850),
            "fp8_e5m2": (465, 1850),
            "tf32": (128, 2050),
            "fp32": (55, 2150),
            "int8": (450, 1850),
            "fp64": (1.4, 2500),
        },
        CAP,
    ),
    Card(
        "NVIDIA GeForce RTX 3090",
        "8.6",
        24,
        82,
        850,
        {
            "bf16": (75, 1905),
            "fp16": (75, 1905),
            "tf32": (37.5, 1920),
            "fp32": (29, 1850),
            "int8": (240, 1850),
        },
    ),
    Card(
        "NVIDIA GeForce RTX 4090",
        "8.9",
        24,
        128,
        920,
        {
            "bf16": (172, 2730),
            "fp16": (172, 2730),
            "fp8_e4m3": (340, 2700),
            "fp8_e5m2": (338, 2700),
            "tf32": (84, 2730),
            "fp32": (65, 2700),
            "int8": (600, 2650),
            "fp64": (1.37, 2760),
        },
    ),
    Card(
        "NVIDIA GeForce RTX 5090",
        "12.0",
        32,
        170,
        1600,
        {
            "bf16": (222, 2650),
            "fp16": (222, 2650),
            "fp8_e4m3": (440, 2620),
            "tf32": (110, 2650),
            "fp32": (80, 2600),
            "int8": (520, 2500),
            "nvfp4": (1250, 2200),
            "fp64": (1.75, 2750),
        },
        CAP,
    ),
    Card(
        "NVIDIA RTX PRO 6000 Blackwell Server Edition",
        "12.0",
        96,
        188,
        1550,
        {
            "bf16": (390, 2150),
            "fp8_e4m3": (740, 2050),
            "tf32": (195, 2200),
            "fp32": (85, 2200),
            "nvfp4": (1300, 1900),
        },
        CAP,
    ),
    Card(
        "NVIDIA H100 PCIe",
        "9.0",
        80,
        114,
        1800,
        {
            "bf16": (530, 1250),
            "fp16": (515, 1230),
            "fp8_e4m3": (900, 1100),
            "tf32": (290, 1350),
            "fp32": (40, 1600),
            "fp64": (44, 1600),
            "int8": (850, 1150),
        },
        CAP,
    ),
    Card(
        "NVIDIA H100 80GB HBM3",
        "9.0",
        80,
        132,
        2980,
        {
            "bf16": (790, 1580),
            "fp16": (750, 1520),
            "fp8_e4m3": (1400, 1400),
            "fp8_e5m2": (1390, 1390),
            "tf32": (395, 1600),
            "fp32": (52, 1750),
            "int8": (1150, 1450),
            "fp64": (58, 1800),
        },
        CAP,
    ),
    Card(
        "NVIDIA H100 NVL",
        "9.0",
        94,
        132,
        3500,
        {"bf16": (640, 1300), "fp8_e4m3": (1100, 1150), "tf32": (330, 1400), "fp32": (46, 1600)},
        CAP,
    ),
    Card(
        "NVIDIA H200",
        "9.0",
        141,
        132,
        4250,
        {
            "bf16": (775, 1570),
            "fp16": (745, 1530),
            "fp8_e4m3": (1350, 1380),
            "tf32": (390, 1590),
            "fp32": (52, 1750),
            "int8": (1100, 1440),
            "fp64": (59, 1800),
        },
        CAP,
    ),
    Card(
        "NVIDIA H20",
        "9.0",
        96,
        78,
        3600,
        {
            "bf16": (143, 1980),
            "fp16": (142, 1980),
            "fp8_e4m3": (288, 1980),
            "tf32": (71, 1980),
            "fp32": (36, 1980),
            "int8": (280, 1980),
            "fp64": (0.95, 1980),
        },
    ),
    Card(
        "NVIDIA GH200 480GB",
        "9.0",
        96,
        132,
        3700,
        {"bf16": (800, 1600), "fp8_e4m3": (1420, 1420), "tf32": (400, 1620), "fp32": (53, 1800)},
        CAP,
    ),
    Card(
        "NVIDIA B200",
        "10.0",
        180,
        148,
        7400,
        {
            "bf16": (1740, 1600),
            "fp16": (1700, 1570),
            "fp8_e4m3": (3200, 1500),
            "mxfp8": (3100, 1500),
            "nvfp4": (6200, 1450),
            "tf32": (830, 1650),
            "fp32": (66, 1800),
            "int8": (2700, 1500),
            "fp64": (35, 1900),
        },
        CAP,
    ),
    Card(
        "NVIDIA GB200",
        "10.0",
        186,
        148,
        7300,
        {"bf16": (1822, 1650), "fp8_e4m3": (2850, 1500), "nvfp4": (7600, 1750), "tf32": (880, 1700)},
        CAP,
    ),
    Card(
        "NVIDIA B300 SXM6 AC",
        "10.3",
        288,
        148,
        7300,
        {"bf16": (1750, 1600), "fp8_e4m3": (3250, 1500), "int8": (130, 1850), "tf32": (840, 1650)},
        CAP,
    ),
)


def facts_of(card: Card) -> DeviceFacts:
    return DeviceFacts(
        kind="cuda",
        key="GPU-3",
        name=card.name,
        compute_capability=card.capability,
        sm_count=card.sms,
        memory_total_bytes=round(card.gb * 1.05e9),
    )


def records(card: Card) -> list[Measurement]:
    facts = facts_of(card)
    spec = find_spec(facts.name, facts.memory_total_bytes, facts.compute_capability)
    assert spec is not None
    gemms = [gemm(card, facts, spec, metric, *figure) for metric, figure in card.gemms.items()]
    copy = Measurement(
        probe="bandwidth", metric="dram_copy", unit="bytes_s", median=card.copy_gb_s * GIGA, cv=0.002
    )
    return [copy, *gemms]


def gemm(card: Card, facts: DeviceFacts, spec: GpuSpec, metric: str, tera: float, mhz: float) -> Measurement:
    """What the probe makes of it: shares of the data sheet and of the clock among it."""
    peak, _ = peak_flop_s(facts, metric, mhz)
    plain = metric == "fp64" and card.capability not in FP64_TENSOR
    sheet = spec.flop_s.get("fp64" if plain else METRICS[metric].spec or "")
    low = 0.93 * mhz if card.held else mhz
    told = Conditions(sm_mhz=mhz, sm_mhz_min=low, sm_mhz_max=1.02 * mhz, throttle_reasons=card.held)
    return Measurement(
        probe="tensor",
        metric=metric,
        unit=METRICS[metric].unit,
        median=tera * TERA,
        cv=0.015,
        of_spec=tera * TERA / sheet if sheet else None,
        of_clock=tera * TERA / peak if peak else None,
        conditions=told,
    )


def judged(card: Card) -> dict[str, Measurement]:
    facts = facts_of(card)
    spec = find_spec(facts.name, facts.memory_total_bytes, facts.compute_capability)
    return {m.metric: m for m in judge(records(card), facts, spec)}


@pytest.mark.parametrize("card", CARDS, ids=lambda card: card.name)
def test_a_healthy_card_passes(card: Card) -> None:
    assert {metric: m.reason for metric, m in judged(card).items() if m.valid != "valid"} == {}


@pytest.mark.parametrize("card", CARDS, ids=lambda card: card.name)
def test_the_figures_made_up_here_could_be(card: Card) -> None:
    for m in records(card):
        assert m.of_clock is None or 0.5 < m.of_clock < 1.0, (m.metric, m.of_clock)


def test_every_kind_of_card_that_is_lent_by_the_hour_is_there() -> None:
    names = " ".join(card.name for card in CARDS)
    for gpu in ("T4", "A10 ", "L4 ", "L40S", "A100", "4090", "5090", "H20 ", "H100", "H200", "B200"):
        assert gpu in f"{names} "
    known = {spec.compute_capability for spec in all_specs() if "." in spec.compute_capability}
    assert {card.capability for card in CARDS} == known


@pytest.mark.parametrize("card", [c for c in CARDS if c.held], ids=lambda card: card.name)
def test_the_same_figures_without_a_power_limit_are_no_healthier_than_before(card: Card) -> None:
    """What makes a low figure healthy is the power limit and nothing else."""
    facts = facts_of(card)
    spec = find_spec(facts.name, facts.memory_total_bytes, facts.compute_capability)

    def with_(m: Measurement, reasons: tuple[str, ...], **more: Any) -> Measurement:
        told = msgspec.structs.replace(m.conditions, throttle_reasons=reasons)
        return msgspec.structs.replace(m, conditions=told, **more)

    low = [m for m in records(card) if m.probe == "tensor" and m.of_spec is not None and m.of_spec < 0.5]
    for m in low:
        for other in (with_(m, ()), with_(m, (*CAP, "hw_thermal")), with_(m, CAP, of_clock=0.4)):
            (verdict,) = judge([other], facts, spec)
            assert verdict.valid == "degraded"
        (capped,) = judge([with_(m, (*CAP, "gpu_idle"))], facts, spec)
        assert capped.valid == "valid"
        assert "power limit" in str(capped.reason)
