"""What a labelled workload is, what a run of it accounts for, and what a recording of it is filed with.

A workload's truth never comes from the counters under test. It comes from its construction, confirmed by what
the program itself counted: bytes moved, FLOPs done, seconds spent in sections it bracketed with its own clock
after synchronising, and how much faster its known fix runs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

import msgspec

# The classes a share can belong to; those of rules.verdict without `unknown`.
Label = Literal["compute", "memory", "host", "communication", "device", "idle"]
LABELS: tuple[Label, ...] = ("compute", "memory", "host", "communication", "device", "idle")
Variant = Literal["base", "fix"]

# One step of a workload: runs, and returns what it did, to be added up. Keys: see `Account`.
Step = Callable[[], Mapping[str, float]]


class Bench(msgspec.Struct, frozen=True, kw_only=True):
    """Where a workload runs. device: "cuda" or "cpu". small: everything shrunk, to test the program itself.

    torch: the module. cupy: a function that imports it, or raises `UnavailableError`. seed: of random data.
    scratch: a folder for files, removed afterwards.
    """

    torch: Any
    cupy: Callable[[], Any]
    device: Literal["cuda", "cpu"]
    small: bool
    seed: int
    scratch: str

    def of(self, full: int, little: int) -> int:
        """The full size, or the little one when small."""
        return little if self.small else full

    def sync(self) -> None:
        """Wait for the device."""
        if self.device == "cuda":
            self.torch.cuda.synchronize()


class UnavailableError(RuntimeError):
    """This machine cannot run the workload; the message says why (no cupy, no writable cgroup, ...)."""


class Workload(msgspec.Struct, frozen=True, kw_only=True):
    """One program with a known bottleneck.

    label: its class by construction. accepted: further classes that count as right (mixes near a threshold).
    cause: slug of `rules.headline.CAUSES`; causes: further slugs that count as right.
    truth: how its shares follow from its accounting:
        `pure`      all of the time belongs to the label, but for `host_s` where the step counts it;
        `sections`  the step counts seconds for every class (`compute_s`, `memory_s`, `host_s`, `device_s`,
                    `communication_s`), each bracketed by synchronisation; the rest goes to the label;
        `speedup`   host = 1 - (seconds of a step with the fix) / (seconds without), the rest to `beneath`.
    beneath: class of the device's own work in a host-bound workload.
    bound: what confirms the label, a metric of probes: ("dram_copy", "bytes") says that bytes over wall time
        is to be at least 0.6 of that ceiling; ("bf16", "flops") the same of FLOPs; None where time decides.
    sections: what confirms the single sections of a mix: each of these, over its own section's seconds (bytes
        over `memory_s`, FLOPs over `compute_s`), is to be at least 0.6 of its ceiling.
    fix: what the known fix is, in words; None where there is none but different hardware or less work.
    process: False where nothing runs on the GPU (free).
    about: one sentence, why this is its bottleneck.
    """

    name: str
    family: str
    label: Label
    cause: str
    truth: Literal["pure", "sections", "speedup"]
    about: str
    setup: Callable[[Bench], Step] | None = None
    fixed: Callable[[Bench], Step] | None = None
    fix: str | None = None
    accepted: tuple[Label, ...] = ()
    causes: tuple[str, ...] = ()
    beneath: Label = "device"
    bound: tuple[str, Literal["bytes", "flops"]] | None = None
    sections: tuple[tuple[str, Literal["bytes", "flops"]], ...] = ()
    process: bool = True


class Account(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one run of a workload counted. counts: what its steps returned, added up.

    Known counts: `bytes` (device memory), `flops`, `h2d_bytes`, `launches`, `syncs`, `copies`, and seconds by
    section `host_s`, `compute_s`, `memory_s`, `device_s`, `communication_s`. error: why there is no run.
    """

    wall_s: float = 0.0
    steps: int = 0
    counts: dict[str, float] = {}
    pid: int | None = None
    error: str | None = None


class Truth(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One recording's truth, filed beside it as NAME.truth.json.

    shares: class -> share of the recorded time; sums to 1. confirmed: the accounting bears the label out;
    because: by which figures, or why not. of_ceiling: the figure over its ceiling, where `bound` names one.
    speedup: work per second with the fix over without (FLOPs or bytes where both count them, else steps). The
    run without was watched and that with the fix was not, so that it is too large by what watching costs.
    recording: file name of the stream beside this file.
    synthetic: no GPU produced the recording.
    """

    name: str
    family: str
    label: Label
    accepted: tuple[Label, ...] = ()
    cause: str
    causes: tuple[str, ...] = ()
    shares: dict[str, float]
    confirmed: bool
    because: str
    recording: str
    device: str
    synthetic: bool
    base: Account = Account()
    fixed: Account | None = None
    fix: str | None = None
    speedup: float | None = None
    of_ceiling: float | None = None
    about: str = ""


class Session(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One recording session, filed as session.json: where, when and with what its recordings were made.

    gpus: UUIDs of the cards, all of one model, that they were made on. skipped: workload -> why it was not
    recorded. command: what made them.
    """

    device: str
    date: str
    driver: str | None
    torch: str | None
    cupy: str | None
    synthetic: bool
    seconds: float
    command: str
    gpus: tuple[str, ...] = ()
    skipped: dict[str, str] = {}
