"""Peers: a wait for the other GPUs of a job, which on one GPU looks like kernels that use few of the SMs.

A collective holds some tens of blocks until the last rank has come, and reads and computes next to nothing
meanwhile. No counter tells that from a small kernel of the program's own.
"""

from __future__ import annotations

import msgspec

from rules import thresholds as th
from rules.siblings import Sibling, comrades
from rules.verdict import Verdict

# The most that may be claimed of either, as long as nobody has looked at the kernels' names.
LIKE_A_WAIT = 0.6


def may_wait(verdict: Verdict, siblings: tuple[Sibling, ...]) -> bool:
    """True where the time below every roof may be spent in collectives: the job is on several GPUs, no tensor
    core works in that time, and few SMs or warp slots are in use, as far as these were read.
    """
    tensor = verdict.class_mean("device", "tensor_active")
    if tensor is not None and tensor >= th.TENSOR_IDLE.value:
        return False
    active, occupancy = (
        verdict.class_mean("device", "sm_active"),
        verdict.class_mean("device", "sm_occupancy"),
    )
    few = active is None or active < th.LAUNCH_SM_ACTIVE.value
    empty = occupancy is not None and occupancy < th.LAUNCH_OCCUPANCY.value
    return (few or empty) and bool(comrades(siblings, verdict.key))


def beside(verdict: Verdict, siblings: tuple[Sibling, ...]) -> Verdict:
    """The verdict as it stands beside the node's other rows: less sure where a wait for them looks alike."""
    if verdict.class_ != "device" or not may_wait(verdict, siblings):
        return verdict
    others = len(comrades(siblings, verdict.key))
    said = f"a wait in a collective looks alike, and the job runs on {others} more of the node's GPUs"
    return msgspec.structs.replace(
        verdict,
        confidence=min(verdict.confidence, LIKE_A_WAIT),
        unknown_because=(*verdict.unknown_because, said),
    )
