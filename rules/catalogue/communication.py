"""Rules for time limited by links to other GPUs and to the host."""

from __future__ import annotations

from rules import thresholds as th
from rules.catalogue.common import at_least, item, pct, place, share
from rules.economics import removed
from rules.finding import Finding
from rules.observed import link_mean, mean, reading_note
from rules.registry import Context, Rule, clamp, finding, rule
from rules.trust import rate_label, words
from rules.verdict import EvidenceItem


@rule("COMM001", "NVLink or PCIe is the limit", "high", "job", term="communication", causes=("interconnect",))
def interconnect(ctx: Context) -> Finding | None:
    """Kernels run, and what they do is move data over a link that is near its ceiling.

    **What it detects**
    At least 15 % of the time NVLink or PCIe ran at 0.6 of its ceiling or more while both roofs were low.

    **Why it costs**
    Collectives that are not overlapped with compute stop every GPU of the job for as long as they take.

    **How to tell it apart**
    A collective that waits for a slow rank keeps a kernel resident and moves no bytes: then links are quiet,
    and the fault is elsewhere. HOST005 is copies while nothing runs; COMM002 copies from or to the host
    beside kernels.

    **What to do**
    Overlap communication with compute, accumulate gradients, larger buckets, shard along NVLink rather than
    PCIe, check that peers are connected as expected.

    **Evidence**
    NVLink and PCIe counters (GPM) against the link's ceiling.

    **Source**
    - PyTorch profiler plug-in: communication above 10 % of a step advises accumulation or compression
    - Gao et al., ICSE'24: exchange between GPUs is in 7.1 % of low-utilisation problems
    """
    part = share(ctx, "communication")
    if part < th.SECONDARY.value or _way(ctx) is not None:
        return None
    return _limited(
        ctx,
        interconnect,
        f"{place(ctx)} moves data over its links {pct(part)} of the time, near their ceiling.",
        (
            "Overlap: DDP `bucket_cap_mb`, FSDP prefetch, `no_sync()` while accumulating gradients.",
            "`nvidia-smi topo -m` and `NCCL_DEBUG=INFO` show whether peers talk over NVLink or PCIe.",
        ),
    )


def _limited(ctx: Context, found: Rule, claim: str, actions: tuple[str, ...]) -> Finding:
    """What both rules say of time limited by links; at best all of it is hidden behind compute."""
    part = share(ctx, "communication")
    return finding(
        ctx,
        found,
        claim=claim,
        share=part,
        evidence=(
            item("time limited by links", part, threshold=at_least(th.SECONDARY)),
            *_link(ctx, "nvlink", "NVLink"),
            *_link(ctx, "pcie", "PCIe"),
        ),
        actions=actions,
        effect=removed(part, "bound: all of it hidden behind compute"),
    )


def _link(ctx: Context, link: str, name: str) -> tuple[EvidenceItem, ...]:
    """Traffic, and how much of the ceiling that is; nothing where the link was not read."""
    rate = link_mean(ctx.evidence, link)
    if rate is None:
        return ()
    ceiling = ctx.ceilings.ceiling(link) if ctx.ceilings else None
    traffic = item(
        f"{name} traffic, busier direction", rate, "bytes_s", source=reading_note(ctx.evidence, link)
    )
    if ceiling is None or ceiling.value <= 0:
        return (traffic,)
    frac, label = clamp(rate / ceiling.value), rate_label(ctx.ceilings, ceiling)
    return (
        traffic,
        item(f"{name} of its ceiling", frac, threshold=at_least(th.LINK_HIGH), source=words(label)),
    )


@rule(
    "COMM002",
    "Host copies hold the kernels up",
    "high",
    "job",
    term="communication",
    causes=("interconnect",),
)
def host_copies(ctx: Context) -> Finding | None:
    """Kernels run, far from every roof, while PCIe is near its ceiling in one direction.

    **What it detects**
    At least 15 % of the time limited by links, with PCIe nearer its ceiling than NVLink, and three times as
    much traffic one way as the other.

    **Why it costs**
    The kernels that run meanwhile wait for data from the host's memory, or move it themselves: offloaded
    weights and caches, unified memory, pinned buffers read in place.

    **How to tell it apart**
    Exchange between GPUs over PCIe receives as much as it sends: COMM001. Copies while nothing runs leave a
    gap: HOST005. A link below its own maximum: DEV004.

    **What to do**
    Keep on the device what every step needs, prefetch further ahead, quantise what is offloaded, or share
    the model between GPUs instead of offloading it.

    **Evidence**
    PCIe traffic of both directions (GPM) against the link's copy rate; NVLink traffic.

    **Source**
    - nvbandwidth, Azure AI benchmarking guide: pinned copies reach 12.3, 25.5 and 53 GB/s on gen 3, 4 and 5
    - Gao et al., ICSE'24: host-to-GPU transfer is in 27.9 % of low-utilisation problems
    """
    part, way = share(ctx, "communication"), _way(ctx)
    if part < th.SECONDARY.value or way is None:
        return None
    return _limited(
        ctx,
        host_copies,
        f"{place(ctx)} moves data {way} over PCIe {pct(part)} of the time, near the link's ceiling.",
        (
            "Keep it on the device: less offloading (`--cpu-offload-gb 0`, ZeRO without offload).",
            "Prefetch: `non_blocking=True` on a second stream, `cudaMemPrefetchAsync` for unified memory.",
            "Fewer bytes: quantise what is offloaded, send uint8 and convert on the GPU.",
        ),
    )


def _way(ctx: Context) -> str | None:
    """Which way data moves between host and device, where that is the busiest link and it is one way."""
    to, back = mean(ctx.evidence, "pcie_rx_bytes_s"), mean(ctx.evidence, "pcie_tx_bytes_s")
    if to is None or back is None or _of_ceiling(ctx, "pcie") <= _of_ceiling(ctx, "nvlink"):
        return None
    if to >= th.ONE_WAY.value * back:
        return "from the host"
    return "to the host" if back >= th.ONE_WAY.value * to else None


def _of_ceiling(ctx: Context, link: str) -> float:
    rate, ceiling = link_mean(ctx.evidence, link), ctx.ceilings.ceiling(link) if ctx.ceilings else None
    return 0.0 if rate is None or ceiling is None or ceiling.value <= 0 else rate / ceiling.value
