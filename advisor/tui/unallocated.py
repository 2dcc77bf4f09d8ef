"""The part of a MIG GPU that is in no instance: paid for, so it has a row like any other."""

from __future__ import annotations

from advisor.snapshot import DeviceView, Snapshot
from advisor.telemetry.records import DeviceInfo
from rules.finding import LadderRow
from rules.verdict import SHARES, Verdict

UNALLOCATED = "unallocated"
WHY = "in no MIG instance, so nothing can run on it: `nvidia-smi mig -cgi` makes instances"


def is_unallocated(view: DeviceView) -> bool:
    """Whether the row stands for the part of a GPU that is in no instance."""
    return view.info.mig_profile == UNALLOCATED


def parents_of(snapshot: Snapshot) -> dict[str, DeviceInfo]:
    """GPUs that are split into instances, by key, whether or not the snapshot lists them as rows.

    A GPU that nobody lists is known by the name of its instances alone.
    """
    listed = {info.key: info for info in snapshot.hello.devices}
    listed |= {view.info.key: view.info for view in snapshot.devices}
    out: dict[str, DeviceInfo] = {}
    for info in (view.info for view in snapshot.devices):
        if info.parent_key is not None and info.parent_key not in out:
            out[info.parent_key] = listed.get(info.parent_key) or _parent_by(info)
    for row in snapshot.diagnosis.ladder:
        if row.mig == UNALLOCATED and row.key not in out and row.key in listed:
            out[row.key] = listed[row.key]
    return out


def _parent_by(instance: DeviceInfo) -> DeviceInfo:
    key, name = instance.parent_key or "", instance.name.partition(" MIG ")[0]
    return DeviceInfo(key=key, index=instance.index, name=name, uuid=key, mig_enabled=True)


def unallocated_views(snapshot: Snapshot) -> list[DeviceView]:
    """A row for each GPU of which a part is in no instance."""
    parents = parents_of(snapshot)
    rows = [row for row in snapshot.diagnosis.ladder if row.mig == UNALLOCATED]
    return [_view(row, parents.get(row.key)) for row in rows]


def _view(row: LadderRow, parent: DeviceInfo | None) -> DeviceView:
    info = DeviceInfo(
        key=f"{row.key} {UNALLOCATED}",
        index=row.gpu,
        name=parent.name if parent else "GPU",
        uuid=row.key,
        parent_key=row.key,
        mig_profile=UNALLOCATED,
    )
    return DeviceView(info=info, state="ok", state_reason=WHY, verdict=_verdict(row, info), ladder=row)


def _verdict(row: LadderRow, info: DeviceInfo) -> Verdict:
    """Idle by the way the GPU is split, which is known for certain and not measured."""
    return Verdict(
        key=info.key,
        gpu=row.gpu,
        mig=UNALLOCATED,
        device_name=info.name,
        workload=None,
        class_="idle",
        cause="free",
        confidence=1.0,
        tier="nvml",
        shares={name: 1.0 if name == "free" else 0.0 for name in SHARES},
        headline=f"A part of GPU {row.gpu} is {WHY}.",
    )
