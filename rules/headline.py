"""Headline: the verdict as one sentence a person reads first. Names in it are not escaped here."""

from __future__ import annotations

from rules.verdict import GROUPS, Class, Verdict

WORDS: dict[Class, str] = {
    "compute": "compute-bound",
    "memory": "memory-bound",
    "host": "host-bound",
    "communication": "communication-bound",
    "device": "limited on the device by latency",
    "idle": "idle",
    "unknown": "of unknown limit",
}

# Classes as they are named beside another that may as well be the one.
EITHER: dict[Class, str] = {**WORDS, "device": "latency-bound"}

WITHIN_NOISE = "within-noise"  # cause of an unknown verdict that leaves two candidates
CONTRADICTION = "contradictory-counters"  # cause of one whose counters cannot all be right

# A cause inferred with less than this is named as likely, not as a fact.
SURE_CAUSE = 0.7

CAUSES: dict[str, str] = {
    "free": "no process uses it",
    "idle-held": "a process holds its memory and runs nothing",
    "input-pipeline": "it waits for the input pipeline",
    "launch-rate": "kernel launches set its pace",
    "main-thread": "one host thread works while it waits",
    "sync": "it waits for synchronisation with the host",
    "transfer": "it waits for host transfers",
    "cpu-throttled": "its CPU quota throttles the process that feeds it",
    "remote-numa": "the process that feeds it runs on another NUMA node",
    "storage": "it waits for storage",
    "cpu-contention": "the process that feeds it waits for free CPU cores",
    "gil": "threads of the process that feeds it wait for the GIL",
    "checkpoint": "it waits while a checkpoint is saved",
    "tokeniser": "it waits while the host tokenises",
    "serialisation": "it waits while the host serialises data",
    "lock": "the thread that feeds it waits for another one, or for a child",
    "collective-wait": "it waits for other GPUs or nodes",
    "exposed-communication": "collectives run with no other kernel beside them",
    "allocator": "it waits while memory is allocated or freed",
    "kernel-gap": "it takes its time from one queued kernel to the next",
    "stream-dependency": "its streams wait for each other",
    "no-demand": "nothing asks it for work",
    "unattributed": "it waits for the host, and no cause shows from outside",
    "dram-bandwidth": "DRAM bandwidth limits it",
    "tensor-cores": "the tensor cores limit it",
    "fp32-pipe": "the fp32 pipe limits it",
    "fp64-pipe": "the fp64 pipe limits it",
    "fp16-pipe": "the fp16 pipe limits it",
    "integer-pipe": "the integer pipe limits it",
    "compute-throughput": "arithmetic limits it",
    "small-grid": "its kernels fill too few SMs",
    "low-occupancy": "too few warps are resident to hide latency",
    "latency": "its kernels wait on latency, near neither roof",
    "below-roofs": "its kernels stay far below both roofs, although they fill it",
    "interconnect": "NVLink or PCIe traffic limits it",
    "thermal": "heat holds its clocks down",
    "power-cap": "the power limit holds its clocks down",
    "hw-slowdown": "the hardware holds its clocks down",
    "pinned-clocks": "a setting holds its clocks down",
    "gpu-lost": "the driver has lost it",
    "driver-silent": "the driver does not answer",
    "sampler-silent": "the sampler does not run",
    "no-data": "there is too little data",
    "within-noise": "the two largest shares are too close to tell apart",
    CONTRADICTION: "its counters contradict each other",
    "missing-counters": "the counters that would tell are missing",
    "not-in-trace": "the trace does not hold what would tell",
}


# Causes of clocks below what the card can hold.
CLOCK_CAUSES = frozenset({"thermal", "power-cap", "hw-slowdown", "pinned-clocks"})


def cause_words(cause: str) -> str:
    """A cause slug in words; an unknown slug is shown as it is."""
    return CAUSES.get(cause, cause.replace("-", " "))


def row_name(gpu: int, mig: str | None) -> str:
    """ "GPU 2", or "GPU 0 MIG 1g.10gb/7" for an instance."""
    return f"GPU {gpu} MIG {mig}" if mig else f"GPU {gpu}"


def headline(verdict: Verdict) -> str:
    """One sentence: which device, what limits it (or may), why, and for how much of the time.

    What held-down clocks cost is compute's share of time, told apart as the ladder does.
    """
    device = f"{row_name(verdict.gpu, verdict.mig)} ({short_name(verdict.device_name)})"
    words = WORDS[verdict.class_]
    if verdict.class_ == "unknown":
        if verdict.cause == WITHIN_NOISE and verdict.unknown_because:
            return f"{device} is {_because(verdict)}."
        return f"{device}: what limits it is unknown, because {_because(verdict)}."
    sure = verdict.cause_confidence
    likely = "probably " if sure is not None and sure < SURE_CAUSE else ""
    return f"{device} is {words}: {likely}{cause_words(verdict.cause)}{_time(verdict)}{_also(verdict)}."


def short_name(name: str) -> str:
    """A device name without the vendor."""
    return name.removeprefix("NVIDIA ")


def _because(verdict: Verdict) -> str:
    return verdict.unknown_because[0] if verdict.unknown_because else cause_words(verdict.cause)


def _time(verdict: Verdict) -> str:
    keys = [k for k in GROUPS.get(verdict.class_, ()) if k != "throttle"]
    return f", {_percent(sum(verdict.shares.get(k, 0.0) for k in keys))} of the time"


def _also(verdict: Verdict) -> str:
    if verdict.secondary_cause is None:
        return ""
    lost = verdict.shares.get("throttle", 0.0) if verdict.secondary_cause in CLOCK_CAUSES else 0.0
    cost = f", which costs {_percent(lost)}" if lost > 0.0 else ""
    return f"; also, {cause_words(verdict.secondary_cause)}{cost}"


def _percent(share: float) -> str:
    return f"{share:.0%}".replace("%", " %")
