"""Rules for time limited by links to other GPUs and to the host."""

from __future__ import annotations

from rules import thresholds as th
from rules.catalogue.common import at_least, item, pct, place, share
from rules.finding import Effect, Finding
from rules.observed import link_mean, reading_note
from rules.registry import Context, clamp, finding, rule
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
    and the fault is elsewhere. HOST005 is copies while nothing runs.

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
    if part < th.SECONDARY.value:
        return None
    high = 1.0 / (1.0 - part) if part < 0.9 else 10.0
    return finding(
        ctx,
        interconnect,
        claim=f"{place(ctx)} moves data over its links {pct(part)} of the time, near their ceiling.",
        share=part,
        evidence=(
            item("time limited by links", part, threshold=at_least(th.SECONDARY)),
            *_link(ctx, "nvlink", "NVLink"),
            *_link(ctx, "pcie", "PCIe"),
        ),
        actions=(
            "Overlap: DDP `bucket_cap_mb`, FSDP prefetch, `no_sync()` while accumulating gradients.",
            "`nvidia-smi topo -m` and `NCCL_DEBUG=INFO` show whether peers talk over NVLink or PCIe.",
        ),
        effect=Effect(low=1.0, high=high, bound=high, basis="bound: all of it hidden behind compute"),
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
