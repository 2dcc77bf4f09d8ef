"""Rules for a device that is held down: by power, by heat, by its link to the host."""

from __future__ import annotations

from probes.ceilings import pcie_copy_bytes_s
from rules import thresholds as th
from rules.catalogue.common import at_least, item, pct, place, share
from rules.classify import cap_costs, power_lowered
from rules.economics import removed
from rules.evidence import Evidence
from rules.finding import Effect, Finding
from rules.observed import link_mean, mean
from rules.registry import Context, clamp, finding, rule

_THERMAL = ("sw_thermal", "hw_thermal", "hw_slowdown", "hw_power_brake")
_HEAT = ("sw_thermal", "hw_thermal")
_BRAKE = ("hw_power_brake",)
_POWER = ("sw_power_cap",)


def _held_down(evidence: Evidence, reasons: tuple[str, ...]) -> float:
    """Share of time under any of these reasons: the longest of them, since they overlap."""
    return clamp(max((evidence.throttle_frac.get(name, 0.0) for name in reasons), default=0.0))


def _throttle_shares(ctx: Context) -> tuple[float, float]:
    """What held-down clocks cost, by power and by heat, as shares of time: all of it by heat where the power
    limit is the board's own, which costs nothing."""
    costs = cap_costs(ctx.evidence.device, ctx.ceilings)
    capped = _held_down(ctx.evidence, _POWER) if costs else 0.0
    hot, lost = _held_down(ctx.evidence, _THERMAL), share(ctx, "throttle")
    whole = capped + hot
    return (lost * capped / whole, lost * hot / whole) if whole > 0 else (0.0, 0.0)


def _clock_effect(part: float) -> Effect:
    return removed(
        part,
        "the clock of the ceiling over the clock seen, on time that depends on it; nothing where the board "
        "cannot hold more",
    )


@rule(
    "DEV002",
    "Power limit holds the clocks down",
    "medium",
    "fleet",
    "window",
    term="throttle",
    causes=("power-cap",),
)
def power_cap(ctx: Context) -> Finding | None:
    """The card runs slower than it could because it may not draw more power.

    **What it detects**
    The software power cap was active for at least 5 % of the time, and cost compute time or was set below the
    board's default.

    **Why it costs**
    Compute-bound work slows down with the clock. Memory-bound work hardly does: there a cap saves energy.

    **How to tell it apart**
    Large GEMMs reach the cap of a healthy board at its default limit; that is expected. A limit below the
    default was set by somebody.

    **What to do**
    Restore the default limit with `nvidia-smi -pl`, or accept it: the ceiling under the cap is the real one.

    **Evidence**
    Clocks-event reasons, SM clock, power and power limits (NVML).

    **Source**
    - NVML clocks-event reasons: SwPowerCap
    - FlashInfer PR #2899: sustained work lowers a B200's clock from 1965 to 1580 MHz
    """
    capped = _held_down(ctx.evidence, _POWER)
    part, _ = _throttle_shares(ctx)
    lowered = power_lowered(ctx.evidence.device)
    if capped < th.THROTTLE_NOTED.value or not (lowered or part >= th.THROTTLE_NOTED.value):
        return None
    device = ctx.evidence.device
    return finding(
        ctx,
        power_cap,
        claim=f"{place(ctx)} was at its power limit {pct(capped)} of the time, which cost {pct(part)} of it"
        + (f"; the limit is {device.power_limit_w:.0f} W, below its default." if lowered else "."),
        share=part,
        evidence=(
            item("time under the power cap", capped, threshold=at_least(th.THROTTLE_NOTED), source="NVML"),
            item("power limit", device.power_limit_w, "w", source="NVML"),
            item("default power limit", device.power_limit_default_w, "w", source="NVML"),
            item("power, 90th percentile", ctx.evidence.power_w_p90, "w", source="NVML"),
            item("SM clock, mean", mean(ctx.evidence, "sm_mhz"), "mhz", source="NVML"),
        ),
        actions=_power_actions(ctx.evidence, lowered),
        effect=_clock_effect(part),
    )


def _power_actions(evidence: Evidence, lowered: bool) -> tuple[str, ...]:
    default = evidence.device.power_limit_default_w
    if lowered and default is not None:
        return (f"`sudo nvidia-smi -i {evidence.gpu} -pl {default:.0f}` restores the default limit.",)
    return ("The limit is the board's own: expected for large GEMMs; compare with sustained ceilings.",)


@rule(
    "DEV003",
    "Heat or the board holds the clocks down",
    "high",
    "fleet",
    "window",
    term="throttle",
    causes=("thermal", "hw-slowdown"),
)
def thermal(ctx: Context) -> Finding | None:
    """The card lowers its clocks to stay within temperature, or the board tells it to.

    **What it detects**
    A thermal, hardware-slowdown or power-brake reason was active for at least 5 % of the time.

    **Why it costs**
    The work slows down with the clock, and in a job over many GPUs every other GPU waits for this one.

    **How to tell it apart**
    DEV002 is the power cap, a choice; DEV015 is the power supply's brake. Heat and hardware slow-down are
    faults of cooling or power supply: compare the temperature with the neighbours'.

    **What to do**
    Check fans, dust, airflow and inlet temperature; drain the node when neighbours stay cool at the same
    load.

    **Evidence**
    Clocks-event reasons, temperature, SM clock (NVML).

    **Source**
    - NVML clocks-event reasons: SwThermalSlowdown, HwThermalSlowdown, HwSlowdown, HwPowerBrakeSlowdown
    """
    hot = _held_down(ctx.evidence, _THERMAL)
    if hot < th.THROTTLE_NOTED.value or _braked(ctx.evidence):
        return None
    _, part = _throttle_shares(ctx)
    names = [name for name in _THERMAL if ctx.evidence.throttle_frac.get(name, 0.0) > 0]
    peak = ctx.evidence.temp_c_max
    return finding(
        ctx,
        thermal,
        claim=f"{place(ctx)} was slowed {pct(hot)} of the time ({', '.join(names)})"
        + ("." if peak is None else f", at up to {peak:.0f} °C."),
        share=part,
        evidence=(
            item(
                "time slowed by heat or hardware", hot, threshold=at_least(th.THROTTLE_NOTED), source="NVML"
            ),
            item("highest temperature", peak, "c", source="NVML"),
            item("SM clock, mean", mean(ctx.evidence, "sm_mhz"), "mhz", source="NVML"),
        ),
        actions=(
            f"`nvidia-smi -q -d TEMPERATURE,PERFORMANCE -i {ctx.evidence.gpu}` shows limits and reasons.",
            "Check fans, airflow and inlet temperature; compare with the other GPUs of the node.",
        ),
        effect=_clock_effect(part),
        severity="high" if hot >= th.SEVERITY_HIGH.value else "medium",
    )


def _braked(evidence: Evidence) -> bool:
    """Whether the power supply's brake slows the card, and not heat."""
    noted = th.THROTTLE_NOTED.value
    return _held_down(evidence, _BRAKE) >= noted > _held_down(evidence, _HEAT)


@rule(
    "DEV015",
    "Power supply brakes the card",
    "high",
    "fleet",
    "window",
    term="throttle",
    causes=("hw-slowdown",),
)
def power_brake(ctx: Context) -> Finding | None:
    """The power supply or the rack tells the card to slow down, and the card obeys at once.

    **What it detects**
    The hardware power brake was asserted for at least 5 % of the time, with no thermal reason beside it.

    **Why it costs**
    The brake lowers clocks to a half or less at a stroke, for all work, and for every GPU that waits for this
    one.

    **How to tell it apart**
    The power cap (DEV002) is the card's own limit, kept by software; heat is DEV003. The brake is a signal
    from outside: a power supply that failed or is overloaded, a cable, a rack at its budget.

    **What to do**
    Look at the power supplies in the BMC, at cables and the rack's power budget.

    **Evidence**
    Clocks-event reasons, SM clock, power (NVML).

    **Source**
    - NVML clocks-event reasons: HwPowerBrakeSlowdown, an external power brake assertion
    """
    if not _braked(ctx.evidence):
        return None
    braked, (_, part) = _held_down(ctx.evidence, _BRAKE), _throttle_shares(ctx)
    return finding(
        ctx,
        power_brake,
        claim=f"{place(ctx)} was braked by its power supply {pct(braked)} of the time.",
        share=part,
        evidence=(
            item("time under the brake", braked, threshold=at_least(th.THROTTLE_NOTED), source="NVML"),
            item("SM clock, mean", mean(ctx.evidence, "sm_mhz"), "mhz", source="NVML"),
            item("power, 90th percentile", ctx.evidence.power_w_p90, "w", source="NVML"),
        ),
        actions=(
            "`sudo ipmitool sdr type 'Power Supply'`, or the BMC's page: is one missing or at its limit?",
            f"`nvidia-smi -q -d PERFORMANCE,POWER -i {ctx.evidence.gpu}` shows the reason while it lasts.",
        ),
        effect=_clock_effect(part),
        severity="high" if braked >= th.SEVERITY_HIGH.value else "medium",
    )


@rule("DEV004", "PCIe link runs below its maximum", "medium", "fleet", "window", term="host_gap")
def link_degraded(ctx: Context) -> Finding | None:
    """The link to the host has fewer lanes or a lower generation than both ends support.

    **What it detects**
    While the GPU works, its PCIe width or generation is below the maximum.

    **Why it costs**
    Each copy takes longer by the same factor; the dollars named are the time that copies would save.

    **How to tell it apart**
    Idle links lower their generation to save power, so only a link seen under load counts. Width does not
    change with load: fewer lanes are a fault of slot, riser or seating.

    **What to do**
    Reseat the card or riser, check the slot's wiring and the BIOS setting, look for PCIe replays.

    **Evidence**
    Current and maximum generation and width (NVML), PCIe traffic.

    **Source**
    - Microbenchmark practice (nvbandwidth, Azure): pinned copies reach 12.3, 25.5 and 53 GB/s on gen 3, 4 and
      5
    """
    device, busy = ctx.evidence.device, mean(ctx.evidence, "gr_active")
    if busy is None or busy < th.LINK_UNDER_LOAD.value:
        return None
    now = (device.pcie_gen, device.pcie_width)
    best = (device.pcie_gen_max, device.pcie_width_max)
    narrow, slow = _below(now[1], best[1]), _below(now[0], best[0])
    if not (narrow or slow):
        return None
    return finding(
        ctx,
        link_degraded,
        claim=f"{place(ctx)} talks to its host over PCIe {_link(now)} while {_link(best)} is possible.",
        share=min(_saved_by_full_link(ctx.evidence), share(ctx, "host")),
        evidence=(
            item("PCIe link now", _link(now), "", source="NVML, under load"),
            item("PCIe link at most", _link(best), "", source="NVML"),
            item(
                "PCIe traffic, busier direction",
                link_mean(ctx.evidence, "pcie"),
                "bytes_s",
                source="GPM or NVML",
            ),
        ),
        actions=(
            f"`nvidia-smi -q -i {ctx.evidence.gpu} | grep -A8 'GPU Link Info'` while it works.",
            "Reseat the card or riser; check slot, BIOS link speed and `lspci -vv` LnkSta.",
        ),
        confidence=0.95 if narrow else 0.6,
        severity="medium" if narrow else "low",
    )


def _below(now: int | None, best: int | None) -> bool:
    return now is not None and best is not None and 0 < now < best


def _link(link: tuple[int | None, int | None]) -> str:
    gen, width = link
    return f"gen {'?' if gen is None else gen} x{'?' if width is None else width}"


def _saved_by_full_link(evidence: Evidence) -> float:
    """Time in copies now (bytes over this link's copy rate), less what they would take at the maximum."""
    device, rate = evidence.device, link_mean(evidence, "pcie")
    now = pcie_copy_bytes_s(device.pcie_gen, device.pcie_width)
    best = pcie_copy_bytes_s(device.pcie_gen_max, device.pcie_width_max)
    if rate is None or now is None or best is None or best <= now:
        return 0.0
    return clamp(rate / now) * (1.0 - now / best)
