"""What the loads of a raw capture are by construction, and their truths from their own accounting.

A capture has no runs of fixes and no probes, so it confirms less than recorded workloads do: bytes and FLOPs
are held against ceilings that do not come from the same load. A load that counted nothing that could bear its
label out is known by construction alone; it is scored apart and never counts in the headline.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from benchmarks.accuracy.parts import CONSTRUCTION
from benchmarks.workloads.spec import Account, Label, Truth
from probes.ceilings import Ceilings

# A load that reaches this part of what the card can do has it for its bottleneck, as in workloads.spec.
BOUND = 0.6
# From this host share on the product names host first, so a mix's label says host.
HOST_FIRST = 0.30
# Sections have to cover this part of the time before they say how it divides, as in workloads.truth.
COVERED = 0.8


class Section(NamedTuple):
    """A bracketed section of a mix: where its seconds are counted, and what each step does within it.

    amount: bytes or FLOPs a step, at the capture's full size. bound: the ceiling of their rate.
    """

    seconds: str
    label: Label
    amount: float
    bound: str


class Load(NamedTuple):
    """A load of the capture: the workload it is, or the family it is nearest to.

    bound: the ceiling that its rate is held against; None where construction alone decides.
    """

    workload: str
    family: str
    label: Label
    cause: str
    causes: tuple[str, ...] = ()
    accepted: tuple[Label, ...] = ()
    bound: str | None = None
    beneath: Label = "compute"
    flops_each: tuple[str, float] | None = None
    sections: tuple[Section, ...] = ()


def _memory(workload: str, family: str) -> Load:
    return Load(workload, family, "memory", "dram-bandwidth", bound="dram")


def _tensor(workload: str, family: str, bound: str) -> Load:
    return Load(workload, family, "compute", "tensor-cores", bound=bound)


_WAITING = ("no-demand", "storage", "input-pipeline", "unattributed")
# Six 3x3 convolutions on 56x56, 3 to 256 and then 256 channels, forward and twice that backward.
_CONV_FLOPS = 3 * 2.0 * 9 * 56 * 56 * 256 * (3 + 5 * 256)
# 400 products of 8192, then 80 replays of 60 products of such a matrix with a vector; all bf16.
_PREFILL_DECODE = (
    Section("prefill_s", "compute", 400 * 2.0 * 8192**3, "bf16"),
    Section("decode_s", "memory", 80 * 60 * 2.0 * 8192**2, "dram"),
)
_FAMILY_OF_LABEL = {"compute": "compute_nets", "memory": "memory_pointwise", "host": "host_sync"}

LOADS: dict[str, Load] = {
    "free": Load("free", "idle", "idle", "free"),
    "idle_held": Load("idle_held", "idle", "idle", "idle-held"),
    "copy": _memory("copy", "memory_stream"),
    "triad": _memory("triad", "memory_stream"),
    "read": _memory("reduction", "memory_stream"),
    "transpose": _memory("transpose", "memory_stream"),
    "elementwise": _memory("elementwise_chain", "memory_pointwise"),
    "norm_softmax": _memory("layer_norm_softmax", "memory_pointwise"),
    "adam": _memory("adam_step", "memory_pointwise"),
    "embedding": _memory("embedding_gather", "memory_gather"),
    "decode_gemv_eager": _memory("decode_gemv_eager", "memory_decode"),
    "decode_gemv_graph": _memory("decode_gemv_graph", "memory_decode"),
    "kv_decode": _memory("kv_cache_attention", "memory_decode"),
    "gemm_bf16": _tensor("gemm_bf16", "compute_gemm", "bf16"),
    "gemm_fp16": _tensor("gemm_fp16", "compute_gemm", "fp16"),
    "gemm_tf32": _tensor("gemm_tf32", "compute_gemm", "tf32"),
    "gemm_fp8": _tensor("gemm_fp8", "compute_gemm", "fp8"),
    "gemm_int8": _tensor("gemm_int8", "compute_gemm", "int8"),
    "attention_prefill": _tensor("attention_prefill", "compute_nets", "bf16"),
    "transformer_train": _tensor("transformer_train", "compute_nets", "bf16"),
    "conv_train": _tensor("conv_net", "compute_nets", "bf16")._replace(flops_each=("images", _CONV_FLOPS)),
    "gemm_fp32_no_tf32": Load("gemm_fp32_no_tf32", "compute_plain", "compute", "fp32-pipe", bound="fp32"),
    "gemm_fp64": Load(
        "gemm_fp64", "compute_plain", "compute", "tensor-cores", ("fp64-pipe",), bound="fp64_tensor"
    ),
    "tiny_kernels": Load("eager_tiny_kernels", "host_launch", "host", "launch-rate", beneath="device"),
    "small_infer_eager": Load("small_batch_inference", "host_launch", "host", "launch-rate"),
    "item_sync": Load("item_every_step", "host_sync", "host", "sync", ("launch-rate",), beneath="device"),
    "starved_loader": Load("starved_loader", "host_input", "host", "main-thread", ("input-pipeline",)),
    "sleep_gap": Load("sleep_gap", "host_sync", "host", "no-demand", _WAITING),
    "pageable_h2d": Load(
        "pageable_copies", "host_transfer", "host", "transfer", ("main-thread",), beneath="memory"
    ),
    "small_copies": Load("small_h2d_copies", "host_transfer", "host", "transfer", ("launch-rate", "sync")),
    "checkpoint": Load(
        "blocking_checkpoint", "host_limits", "host", "checkpoint", ("storage", "main-thread")
    ),
    "mix_host_compute": Load("host_compute_60_40", "mixes", "host", "main-thread", ("input-pipeline",)),
    "prefill_decode": Load(
        "prefill_decode",
        "mixes",
        "compute",
        "tensor-cores",
        ("dram-bandwidth",),
        sections=_PREFILL_DECODE,
    ),
    "one_block": Load("one_block", "device_shape", "device", "small-grid"),
    "low_occupancy": Load("low_occupancy_shared", "device_shape", "device", "low-occupancy", ("latency",)),
    "atomics": Load("atomics_contention", "device_shape", "device", "latency", ("low-occupancy",)),
}


def load_of(name: str, label: str, cause: str) -> Load:
    """What the load is; of a name that is not known, what its capture says of it."""
    known = LOADS.get(name)
    if known is not None:
        return known
    labels: dict[str, Label] = {"compute": "compute", "memory": "memory", "host": "host", "device": "device"}
    found = labels.get(label, "idle")
    return Load(
        name, _FAMILY_OF_LABEL.get(label, "device_shape" if label == "device" else "idle"), found, cause
    )


def rate_of(load: Load, counts: Mapping[str, float], wall_s: float) -> float | None:
    """The load's own rate in the unit of its bound, by its accounting; None where it counted nothing."""
    if load.bound is None or wall_s <= 0:
        return None
    if load.flops_each is not None:
        what, flops = load.flops_each
        return counts[what] * flops / wall_s if what in counts else None
    done = counts.get("bytes" if load.bound == "dram" else "flops")
    return None if done is None else done / wall_s


class Known(NamedTuple):
    """A ceiling to hold a rate against, and where it comes from."""

    value: float
    source: str


def ceiling_for(
    name: str, load: Load, probed: Ceilings | None, sheet: Ceilings | None, rates: Mapping[str, float]
) -> Known | None:
    """By probes where given, else typical of the model, else the best of the capture's other loads.

    The load itself is never among those: it would confirm itself.
    """
    if load.bound is None:
        return None
    for ceilings, words in ((probed, "probed"), (sheet, "typical of the data sheet")):
        found = ceilings.ceiling(load.bound) if ceilings is not None else None
        if found is not None:
            return Known(found.value, words)
    others = {n: r for n, r in rates.items() if n != name and LOADS[n].bound == load.bound}
    if not others:
        return None
    best = max(others, key=lambda n: others[n])
    return Known(others[best], f"typical: what {best} of the same capture reached")


def section_ceilings(
    name: str, load: Load, probed: Ceilings | None, sheet: Ceilings | None, rates: Mapping[str, float]
) -> dict[str, Known]:
    """Bound -> ceiling of every section of a mix that there is one for."""
    bounds = [section.bound for section in load.sections]
    found = {b: ceiling_for(name, load._replace(bound=b), probed, sheet, rates) for b in bounds}
    return {bound: known for bound, known in found.items() if known is not None}


def truth_of(
    name: str,
    load: Load,
    account: Account,
    known: Known | None,
    device: str,
    *,
    synthetic: bool,
    sections: Mapping[str, Known] | None = None,
) -> Truth:
    """The truth of one load, confirmed or not, with the reason. sections: ceilings of a mix's sections."""
    counts, wall_s = account.counts, account.wall_s
    shares, because = _shares(load, counts, wall_s)
    rate = rate_of(load, counts, wall_s)
    of_ceiling = None if rate is None or known is None else rate / known.value
    if load.sections:
        confirmed, why = _by_sections(load, account, sections or {})
    else:
        confirmed, why = _confirmed(load, account, shares, of_ceiling, known)
    label = _label(load, shares)
    return Truth(
        name=load.workload,
        family=load.family,
        label=label,
        accepted=load.accepted,
        cause=load.cause
        if label == load.label
        else "dram-bandwidth"
        if label == "memory"
        else "tensor-cores",
        causes=load.causes,
        shares=shares,
        confirmed=confirmed,
        because="; ".join(part for part in (why, because) if part),
        recording=f"{name}.recording.jsonl.gz",
        device=device,
        synthetic=synthetic,
        base=account,
        of_ceiling=of_ceiling,
        about=f"load {name} of a raw capture",
    )


def _label(load: Load, shares: Mapping[str, float]) -> Label:
    """The class of a mix follows from its shares as the product ranks them, of others from construction."""
    if load.family != "mixes" or not shares:
        return load.label
    if shares.get("host", 0.0) >= HOST_FIRST:
        return "host"
    return "memory" if shares.get("memory", 0.0) > shares.get("compute", 0.0) else "compute"


def _shares(load: Load, counts: Mapping[str, float], wall_s: float) -> tuple[dict[str, float], str]:
    """Class -> share by the seconds that the load bracketed, and how; empty where it bracketed none."""
    if wall_s <= 0:
        return ({load.label: 1.0}, "nothing ran") if load.label == "idle" else ({}, "")
    if "prefill_s" in counts and "decode_s" in counts:
        sections = {"compute": counts["prefill_s"] / wall_s, "memory": counts["decode_s"] / wall_s}
        rest = max(0.0, 1.0 - sum(sections.values()))
        return _whole({**sections, "host": rest}), "shares by its bracketed sections"
    if load.label == "idle":
        return {"idle": 1.0}, "it launched nothing"
    host = min(1.0, counts["host_s"] / wall_s) if "host_s" in counts else None
    if load.label != "host":
        return _whole({load.label: 1.0 - (host or 0.0), "host": host or 0.0}), ""
    if host is None:
        return {}, "its share of the host is not known without a run of its fix"
    return _whole({"host": host, load.beneath: 1.0 - host}), f"{host:.2f} of its time bracketed on the host"


def _whole(shares: dict[str, float]) -> dict[str, float]:
    total = sum(shares.values())
    return {name: share / total for name, share in shares.items() if share > 0.0}


def _confirmed(
    load: Load, account: Account, shares: Mapping[str, float], of_ceiling: float | None, known: Known | None
) -> tuple[bool, str]:
    if account.error is not None:
        return False, account.error
    if load.bound is not None:
        if of_ceiling is None or known is None:
            return False, f"no ceiling of {load.bound} to hold it against, or it counted nothing"
        return of_ceiling >= BOUND, f"{of_ceiling:.2f} of the {load.bound} ceiling ({known.source})"
    if load.label == "host" and shares:
        return shares.get("host", 0.0) >= HOST_FIRST, ""
    return (True, "") if load.label == "idle" else (False, CONSTRUCTION)


def _by_sections(load: Load, account: Account, ceilings: Mapping[str, Known]) -> tuple[bool, str]:
    """Every section at its own ceiling, and little time outside of them."""
    if account.error is not None:
        return False, account.error
    seconds = {section: account.counts.get(section.seconds, 0.0) for section in load.sections}
    covered = sum(seconds.values()) / account.wall_s if account.wall_s > 0 else 0.0
    if covered < COVERED or not all(seconds.values()):
        return False, f"its sections cover {covered:.2f} of the time, {COVERED:g} wanted"
    missing = [section.bound for section in load.sections if section.bound not in ceilings]
    if missing:
        return False, f"no ceiling of {', '.join(missing)} to hold its sections against"
    reached = {
        section: account.steps * section.amount / seconds[section] / ceilings[section.bound].value
        for section in load.sections
    }
    words = (f"{s.label} at {r:.2f} of {s.bound} ({ceilings[s.bound].source})" for s, r in reached.items())
    return all(fraction >= BOUND for fraction in reached.values()), ", ".join(words)
