"""Rules for clocks and temperatures: what settings, heat and the driver's own state do to a card's speed."""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from rules import thresholds as th
from rules.catalogue.common import at_least, inefficiency, item, pct, place, share
from rules.catalogue.degraded import booked_as_throttle, clock_bound, slower_clock_effect
from rules.decide import throttle_cause
from rules.evidence import Device, Evidence, SubWindow
from rules.finding import Finding
from rules.observed import mean
from rules.registry import Context, finding, rule
from rules.siblings import busy_clock

# Reasons that leave the clock where it is: nothing runs, or a setting is in force.
_QUIET = frozenset({"gpu_idle", "app_clocks", "display_clocks"})


class _Pinned(NamedTuple):
    """A clock held low by a setting: how high it may go, what shows that, and how sure that is."""

    mhz: float
    shown_by: str
    confidence: float


@rule(
    "DEV010",
    "Clocks are pinned low",
    "medium",
    "fleet",
    "window",
    term="throttle",
    causes=("pinned-clocks",),
)
def pinned(ctx: Context) -> Finding | None:
    """A setting keeps the SM clock well below what the board can do.

    **What it detects**
    Application clocks, or a highest clock set by the owner, below 0.9 of the board's maximum; or clocks held
    by the driver's reason "applications clocks setting"; or, less surely, a clock that stands still below
    0.75 of the maximum under load with no reason given, as locked clocks (`nvidia-smi -lgc`) leave it, which
    NVML does not report.

    **Why it costs**
    Compute-bound work slows down with the clock. Memory-bound work hardly does: there a low clock saves
    energy, and may be meant. Where the driver names the setting as what holds the clock, the ladder counts
    the loss as throttle; elsewhere a higher clock does more for the same money, and no dollars are named.

    **How to tell it apart**
    A power cap (DEV002) or heat (DEV003) gives a reason, and the clock wanders. A pinned clock stands still.

    **What to do**
    Ask who set it: benchmarks pin clocks to be repeatable, operators to save power. `nvidia-smi -rgc` removes
    locked clocks, `nvidia-smi -rac` application clocks. advisor sets no clocks itself.

    **Evidence**
    Clock settings, clocks-event reasons and the SM clock under load (NVML).

    **Source**
    - NVML: nvmlDeviceGetApplicationsClock, nvmlDeviceGetMaxCustomerBoostClock, clocks-event reasons
    """
    found, most = _pinned(ctx.evidence), ctx.evidence.device.sm_mhz_max
    if found is None or most is None:
        return None
    ratio, part, gpu = found.mhz / most, clock_bound(ctx), ctx.evidence.gpu
    made = finding(
        ctx,
        pinned,
        claim=f"{place(ctx)} may run at {found.mhz:.0f} of {most:.0f} MHz: {found.shown_by}.",
        share=part * (1.0 - ratio),
        evidence=(
            item(
                "highest SM clock allowed",
                found.mhz,
                "mhz",
                f"< {th.CLOCK_PINNED.value:g} of maximum",
                "NVML",
            ),
            item("the board's highest SM clock", most, "mhz", source="NVML"),
            item("SM clock while busy, median", busy_clock(ctx.evidence), "mhz", source="NVML"),
        ),
        actions=(
            f"`sudo nvidia-smi -i {gpu} -rgc` removes locked clocks, `sudo nvidia-smi -i {gpu} -rac`"
            " application clocks; ask first who set them.",
            f"`nvidia-smi -q -d CLOCK,PERFORMANCE -i {gpu}` shows settings and reasons.",
        ),
        effect=slower_clock_effect(part, ratio, "the board's highest clock") if part > 0 else None,
        recoverable=booked_as_throttle(ctx, part * (1.0 - ratio)),
        confidence=found.confidence,
        severity="medium" if part * (1.0 - ratio) >= th.SEVERITY_LOW.value else "low",
    )
    booked = throttle_cause(ctx.evidence) == "pinned-clocks" and share(ctx, "throttle") > 0.0
    return made if booked else msgspec.structs.replace(made, term=None)


def _pinned(evidence: Evidence) -> _Pinned | None:
    limit, most = evidence.device.sm_mhz_limit, evidence.device.sm_mhz_max
    if most is None or most <= 0.0:
        return None
    if limit is not None and 0.0 < limit < th.CLOCK_PINNED.value * most:
        return _Pinned(limit, "its clocks are set so", 1.0)
    now = busy_clock(evidence)
    if now is None or now <= 0.0:
        return None
    named = evidence.throttle_frac.get("app_clocks", 0.0) >= th.SEVERITY_HIGH.value
    if named and now < th.CLOCK_PINNED.value * most:
        return _Pinned(now, "the driver names its clock settings as the reason", 0.9)
    if now < th.CLOCK_FLAT_LOW.value * most and _stands_still(evidence):
        return _Pinned(now, "the clock stands still there under load and no reason is given", 0.6)
    return None


def _stands_still(evidence: Evidence) -> bool:
    """Whether the clock did not move while the GPU worked, with nothing said to hold it."""
    held = [frac for name, frac in evidence.throttle_frac.items() if name not in _QUIET]
    clocks = [w.sm_mhz for w in evidence.windows if w.sm_mhz and not w.lost and _works(w)]
    seen_s = sum(w.duration_s for w in evidence.windows if w.sm_mhz and not w.lost and _works(w))
    if not clocks or seen_s < th.CLOCK_FLAT_S.value or max(held, default=0.0) >= th.THROTTLE_NOTED.value:
        return False
    return max(clocks) - min(clocks) <= th.CLOCK_FLAT.value * max(clocks)


def _works(window: SubWindow) -> bool:
    return (window.gr_active or 0.0) >= th.SIBLING_BUSY.value


@rule("DEV011", "Persistence mode is off", "info", "fleet", "fact")
def persistence_off(ctx: Context) -> Finding | None:
    """The driver lets go of the GPU whenever no program has it open, and here it stood unused for a while.

    **What it detects**
    Persistence mode is off on a GPU that had no process for part of the window.

    **Why it costs**
    The first program afterwards waits while the driver sets the GPU up again, and clock or power settings
    made with nvidia-smi are lost in between.

    **How to tell it apart**
    Where a process always holds the GPU it makes no difference, and this stays silent.

    **What to do**
    Run `nvidia-persistenced`, the daemon that comes with the driver; `nvidia-smi -pm 1` does until a reboot.

    **Evidence**
    Persistence mode and processes (NVML).

    **Source**
    - NVIDIA driver persistence: https://docs.nvidia.com/deploy/driver-persistence/
    """
    unused = any(w.has_process is False for w in ctx.evidence.windows)
    if ctx.evidence.device.persistence is not False or not unused or ctx.evidence.mig is not None:
        return None
    return finding(
        ctx,
        persistence_off,
        claim=f"{place(ctx)} has persistence mode off: the driver sets it up anew for the first program after"
        " a pause.",
        share=0.0,
        evidence=(item("persistence mode", "off", "", source="NVML"),),
        actions=(
            "`sudo systemctl enable --now nvidia-persistenced`.",
            f"Until the next boot: `sudo nvidia-smi -i {ctx.evidence.gpu} -pm 1`.",
        ),
        severity="info",
    )


@rule("DEV016", "Memory clock is low under load", "medium", "fleet", "window")
def memory_clock_low(ctx: Context) -> Finding | None:
    """Device memory runs below its full clock while the GPU works.

    **What it detects**
    The GPU works at least half of the time and the median memory clock is below 0.9 of the maximum.

    **Why it costs**
    DRAM bandwidth follows the memory clock, and with it everything that is memory-bound.

    **How to tell it apart**
    Idle cards lower the memory clock, so only a working one counts. Some workstation cards compute in a
    performance state with memory a few percent slower, which is above the threshold.

    **What to do**
    `nvidia-smi -rmc` removes a locked memory clock, `nvidia-smi -rac` application clocks; check the
    performance state. advisor sets no clocks itself.

    **Evidence**
    Memory clock, its maximum and gr_active (NVML, GPM).

    **Source**
    - NVML: nvmlDeviceGetClockInfo and nvmlDeviceGetMaxClockInfo with NVML_CLOCK_MEM
    """
    device, busy = ctx.evidence.device, mean(ctx.evidence, "gr_active")
    now, most = device.mem_mhz or 0.0, device.mem_mhz_max or 0.0
    if now <= 0.0 or most <= 0.0 or (busy or 0.0) < th.SIBLING_BUSY.value:
        return None
    ratio, part = now / most, share(ctx, "memory")
    if not 0.0 < ratio < th.MEM_CLOCK_LOW.value:
        return None
    return finding(
        ctx,
        memory_clock_low,
        claim=f"{place(ctx)} runs its memory at {now:.0f} of {most:.0f} MHz.",
        share=part * (1.0 - ratio),
        evidence=(
            item(
                "memory clock over its maximum",
                ratio,
                threshold=f"< {th.MEM_CLOCK_LOW.value:g}",
                source="NVML",
            ),
            item(
                "time in which something ran", busy, threshold=at_least(th.SIBLING_BUSY), source="gr_active"
            ),
        ),
        actions=(
            f"`sudo nvidia-smi -i {ctx.evidence.gpu} -rmc` removes a locked memory clock.",
            f"`nvidia-smi -q -d CLOCK,PERFORMANCE -i {ctx.evidence.gpu}` shows clocks and performance state.",
        ),
        effect=slower_clock_effect(part, ratio, "the full memory clock") if part > 0 else None,
        recoverable=min(part * (1.0 - ratio), inefficiency(ctx)),
        severity="medium" if part * (1.0 - ratio) >= th.SEVERITY_LOW.value else "low",
    )


@rule("DEV017", "Temperature has not settled", "info", "fleet", "fact")
def not_settled(ctx: Context) -> Finding | None:
    """The card was still warming up, or cooling down, while it was watched.

    **What it detects**
    The core's temperature in the last third of the window differs from the third before by more than 2 °C, on
    a GPU that works and whose work follows the clock.

    **Why it costs**
    Nothing by itself. A cold card holds higher clocks, so figures of its first minutes flatter; what it keeps
    up for hours is less.

    **How to tell it apart**
    A load that comes and goes moves the temperature as well. Watch a steady load for some minutes.

    **What to do**
    Watch again later, or longer: `advisor diagnose --duration 3m`.

    **Evidence**
    Core temperature (NVML).

    **Source**
    - FlashInfer PR #2899: sustained work lowers a B200's clock from 1965 to 1580 MHz
    """
    busy = mean(ctx.evidence, "gr_active") or 0.0
    warms = busy >= th.SIBLING_BUSY.value and clock_bound(ctx) >= th.SECONDARY.value
    if ctx.evidence.device.settled is not False or not warms:
        return None
    return finding(
        ctx,
        not_settled,
        claim=f"{place(ctx)} had not settled at a temperature: its figures may change as it warms up.",
        share=0.0,
        evidence=(
            item("temperature settled", "no", "", "within 2 °C", "NVML"),
            item("highest temperature", ctx.evidence.temp_c_max, "c", source="NVML"),
        ),
        actions=("Watch again for longer: `advisor diagnose --duration 3m`.",),
        severity="info",
    )


@rule("DEV020", "Device memory is hot", "high", "fleet", "fact")
def memory_hot(ctx: Context) -> Finding | None:
    """The memory stacks of the card are at, or close to, the temperature at which they slow it down.

    **What it detects**
    Memory within 5 °C of the limit that the board itself states, or where it states none of 95 °C, which
    data-centre boards give; from the limit on it is high.

    **Why it costs**
    At the limit the card lowers its clocks, and heat raises the rate of memory errors long before.

    **How to tell it apart**
    The core can be cool meanwhile: memory-bound work heats the stacks, not the SMs. DEV003 says that clocks
    were lowered already.

    **What to do**
    Check airflow and inlet temperature, compare the neighbours, and have thermal contact checked if only one
    card is hot.

    **Evidence**
    Memory temperature (NVML field 82) and its highest operating temperature (NVML temperature thresholds).

    **Source**
    - NVML: nvmlDeviceGetTemperatureThreshold with NVML_TEMPERATURE_THRESHOLD_MEM_MAX
    - `nvidia-smi -q` of A100 and H100 boards: Memory Max Operating Temp 95 C
    """
    device = ctx.evidence.device
    hottest, limit = device.mem_temp_c_max, device.mem_temp_limit_c or th.MEM_TEMP_LIMIT.value
    near = limit - th.MEM_TEMP_MARGIN.value
    if hottest is None or hottest < near:
        return None
    over = hottest >= limit
    return finding(
        ctx,
        memory_hot,
        claim=f"{place(ctx)} had its memory at {hottest:.0f} °C, "
        + ("at its limit." if over else f"close to its limit of {limit:.0f} °C."),
        share=0.0,
        evidence=(
            item("highest memory temperature", hottest, "c", f">= {near:g}", "NVML"),
            item("its limit", limit, "c", source=_limit_source(device)),
            item("highest core temperature", ctx.evidence.temp_c_max, "c", source="NVML"),
            item(
                "time slowed by heat",
                pct(ctx.evidence.throttle_frac.get("sw_thermal", 0.0)),
                "",
                source="NVML",
            ),
        ),
        actions=(
            f"`nvidia-smi -q -d TEMPERATURE -i {ctx.evidence.gpu}` shows memory temperature and limit.",
            "Check fans, airflow and inlet temperature; compare with the other GPUs of the node.",
        ),
        severity="high" if over else "medium",
    )


def _limit_source(device: Device) -> str:
    return "usual for data-centre boards" if device.mem_temp_limit_c is None else "NVML, of this board"
