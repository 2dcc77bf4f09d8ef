"""One row of the overview from one device: words and figures, before any width is known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from advisor.snapshot import DeviceView, HistoryPoint, Snapshot
from advisor.tui import format as fmt
from advisor.tui.labels import CLASS_WORDS, STATE_WORDS, group_of_class
from advisor.tui.text import safe
from advisor.tui.unallocated import UNALLOCATED, is_unallocated, unallocated_views
from rules.headline import cause_words


@dataclass(frozen=True, slots=True)
class GpuRow:
    """What the overview says of one device. role: the group or mood the verdict word is shown in.

    substitute: SM is NVML's utilisation and DRAM its memory-controller time, since there is no GPM.
    spill_to: the column that a reason may run up to, "" where every column is needed.
    cause, slug: what limits it in words, and shorter.
    muted: the figures are old or absent, and are shown dimmed.
    """

    key: str
    label: str
    job: tuple[str, ...]
    user: str
    word: str
    role: str
    cause: str
    slug: str
    confidence: str
    shares: dict[str, float]
    sm: str
    tensor: str
    dram: str
    substitute: bool
    watts: str
    mhz: str
    celsius: str
    memory: str
    wasted: str
    history: Sequence[HistoryPoint]
    muted: bool
    spill_to: str = ""


def device_label(view: DeviceView) -> str:
    """NVML index, and the GPU instance of a MIG slice: "3", "3:7"; "3:-" for what is in no instance."""
    info = view.info
    if is_unallocated(view):
        return f"{info.index}:-"
    if info.parent_key is None and info.mig_profile is None:
        return str(info.index)
    return f"{info.index}:{info.gi_id if info.gi_id is not None else '?'}"


def full_label(view: DeviceView) -> str:
    """Label with the MIG profile: "GPU 3:7 (1g.10gb)"."""
    profile = view.info.mig_profile
    if is_unallocated(view):
        return f"GPU {view.info.index} ({UNALLOCATED})"
    return f"GPU {device_label(view)}" + (f" ({safe(profile)})" if profile else "")


def shown_devices(snapshot: Snapshot) -> list[DeviceView]:
    """Rows of the overview: a GPU that is split into MIG instances stands aside for them."""
    left = unallocated_views(snapshot)
    parents = {view.info.parent_key for view in (*snapshot.devices, *left)}
    return [view for view in snapshot.devices if view.info.key not in parents] + left


def find_view(snapshot: Snapshot, key: str | None) -> DeviceView | None:
    """The row with this key, among those the overview shows."""
    return next((view for view in shown_devices(snapshot) if view.info.key == key), None)


def job_of(view: DeviceView) -> tuple[str, ...]:
    """Who uses the device, longest form first: with pid and job, with pid, the name alone."""
    if is_unallocated(view):
        return ("(unallocated)", UNALLOCATED)
    workload = view.verdict.workload if view.verdict else None
    if workload is not None:
        more = f" +{workload.others}" if workload.others else ""
        return _named(workload.name, workload.pid, workload.job or _any_job(view), more)
    if view.processes:
        first = max(view.processes, key=lambda process: process.mem_used_bytes or 0)
        return _named(first.name, first.pid, first.job, "")
    held = view.sample.mem_used_bytes if view.sample else None
    idle_held = view.verdict is not None and view.verdict.shares.get("idle_held", 0.0) >= 0.5
    return (f"({fmt.gib(held)} GiB held)",) if idle_held and held else ("(no process)",)


def _named(name: str, pid: int, job: str | None, more: str) -> tuple[str, ...]:
    short = safe(name)
    middle = f"{short} {pid}{more}"
    return (f"{middle}  {safe(job)}", middle, short) if job else (middle, short)


def _any_job(view: DeviceView) -> str | None:
    return next((process.job for process in view.processes if process.job), None)


def user_of(view: DeviceView) -> str:
    """Who owns the workload, when that is known."""
    workload = view.verdict.workload if view.verdict else None
    user = (workload.user if workload else None) or next((p.user for p in view.processes if p.user), None)
    return safe(user) if user else ""


def verdict_words(view: DeviceView) -> tuple[str, str, str]:
    """The verdict's word, the role it is shown in, and the cause in words.

    A device that does not answer says so with its reason; `unknown` says what is missing.
    """
    if view.state in STATE_WORDS:
        role = {"lost": "bad", "silent": "warn"}.get(view.state, "dim")
        return STATE_WORDS[view.state], role, safe(view.state_reason)
    verdict = view.verdict
    if verdict is None:
        return "WAIT", "dim", "not enough data yet"
    word = CLASS_WORDS.get(verdict.class_, verdict.class_.upper())
    if verdict.class_ == "unknown" and verdict.unknown_because:
        return word, "unknown", safe(verdict.unknown_because[0])
    return word, group_of_class(verdict.class_), cause_words(safe(verdict.cause))


def gpu_row(view: DeviceView, *, stale: bool = False) -> GpuRow:
    """Everything the overview shows of one device."""
    word, role, cause = verdict_words(view)
    live = view.state == "ok"
    verdict = view.verdict if live else None
    sm, tensor, dram, substitute = _counters(view if live else None)
    sample = view.sample if live else None
    total = (sample.mem_total_bytes if sample else None) or view.info.memory_total_bytes
    return GpuRow(
        key=view.info.key,
        label=device_label(view),
        job=job_of(view),
        user=user_of(view),
        word=word,
        role=role,
        cause=cause,
        slug=verdict.cause.replace("-", " ") if verdict and verdict.class_ != "unknown" else cause,
        confidence=f"{verdict.confidence:.2f}" if verdict else "",
        shares=verdict.shares if verdict else {},
        sm=sm,
        tensor=tensor,
        dram=dram,
        substitute=substitute,
        watts=fmt.whole(sample.power_w if sample else None),
        mhz=fmt.whole(sample.sm_mhz if sample else None),
        celsius=fmt.whole(sample.temp_c if sample else None),
        memory=fmt.of_total(sample.mem_used_bytes if sample else None, total),
        wasted=fmt.money(view.ladder.wasted_usd_h).removeprefix("$") if view.ladder else fmt.NONE,
        history=view.history,
        muted=stale or not live,
        spill_to=_spill_to(view),
    )


def _spill_to(view: DeviceView) -> str:
    if view.state != "ok" or view.verdict is None:
        return "wasted"
    return "sm" if view.verdict.class_ == "unknown" else ""


def _counters(view: DeviceView | None) -> tuple[str, str, str, bool]:
    latest = view.latest if view else None
    if latest is not None and latest.sm_active is not None:
        dram, tensor = fmt.points(latest.dram_active), fmt.points(latest.tensor_active)
        return fmt.points(latest.sm_active), tensor, dram, False
    sample = view.sample if view else None
    if sample is None:
        return fmt.NONE, fmt.NONE, fmt.NONE, False
    known = sample.gpu_util_frac is not None
    marks = ("u", "m") if known else ("", "")
    return _marked(sample.gpu_util_frac, marks[0]), fmt.NONE, _marked(sample.mem_util_frac, marks[1]), known


def _marked(frac: float | None, mark: str) -> str:
    return fmt.NONE if frac is None else fmt.points(frac) + mark


def wasted_of(view: DeviceView) -> float:
    """What rows are ordered by: dollars wasted an hour, or the wasted share where there is no price."""
    ladder = view.ladder
    if ladder is None:
        return 0.0
    if ladder.wasted_usd_h is not None:
        return ladder.wasted_usd_h
    return 1.0 - ladder.shares.get("useful", 0.0) - ladder.shares.get("unknown", 0.0)
