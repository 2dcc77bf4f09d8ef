"""Which job a process belongs to: Slurm, a Kubernetes pod, or a container."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

_UUID = r"[0-9a-f]{8}[-_][0-9a-f]{4}[-_][0-9a-f]{4}[-_][0-9a-f]{4}[-_][0-9a-f]{12}"

# cgroup v1: /slurm/uid_1000/job_123/step_0; v2: /system.slice/[node_]slurmstepd.scope/job_123/step_0
_SLURM = re.compile(r"/[^/\n]*slurm[^/\n]*/(?:uid_\d+/)?job_(\d{1,18})(?=/|$)", re.MULTILINE)
# cgroupfs driver: /kubepods/burstable/pod<uid>/<id>; systemd driver: kubepods-burstable-pod<uid_>.slice/<id>.
# The uid of a static pod is a hash of 32 digits.
_POD = re.compile(
    rf"kubepods(?:-[a-z]+)?(?:/(?:besteffort|burstable|guaranteed))?[-/]pod({_UUID}|[0-9a-f]{{32}})(?=[./]|$)",
    re.MULTILINE,
)
# /docker/<64>, docker-<64>.scope, cri-containerd-<64>.scope, libpod-<64>.scope, :cri-containerd:<64>, …
_CONTAINER = re.compile(r"[-:/]([0-9a-f]{64})(?=[./]|$)", re.MULTILINE)
_SLURM_ID = re.compile(r"\d{1,18}", re.ASCII)
_PREFIX = b"SLURM_JOB_"
_PARTITION = re.compile(r"[A-Za-z0-9][\w.+-]{0,63}", re.ASCII)


def job_of(cgroup_text: str, environ_job: str | None = None) -> str | None:
    """The job of a process, "slurm:<id>", "pod:<uid>" or "container:<first 12 digits>", or None.

    cgroup_text: the content of /proc/<pid>/cgroup. environ_job: the process's SLURM_JOB_ID, used where the
    cgroup names no Slurm job (Slurm may run without its cgroup plugin). A Slurm job is what its user knows it
    by, so it goes before the pod or container it may run in; a pod goes before its containers.
    """
    if slurm := _SLURM.search(cgroup_text):
        return "slurm:" + slurm[1]
    if environ_job is not None and _SLURM_ID.fullmatch(environ_job):
        return "slurm:" + environ_job
    if pod := _POD.search(cgroup_text):
        return "pod:" + pod[1].replace("_", "-")
    containers = _CONTAINER.findall(cgroup_text)
    return "container:" + containers[-1][:12] if containers else None


class SlurmVariables(NamedTuple):
    """What Slurm left in a process's environment; None where it did not, or where it fits no such value."""

    job_id: str | None = None
    partition: str | None = None


def slurm_variables(process: Path) -> SlurmVariables:
    """SLURM_JOB_ID and SLURM_JOB_PARTITION of `process` (its /proc directory), as far as they are to be had.

    Nothing else of the environment is kept.
    """
    try:
        entries = (process / "environ").read_bytes().split(b"\0")
    except OSError:
        return SlurmVariables()
    found = dict(entry.partition(b"=")[::2] for entry in reversed(entries) if entry.startswith(_PREFIX))
    return SlurmVariables(
        job_id=_decoded(found.get(b"SLURM_JOB_ID")),
        partition=partition_name(_decoded(found.get(b"SLURM_JOB_PARTITION"))),
    )


def partition_name(text: str | None) -> str | None:
    """A partition as Slurm writes one, or None: the environment of a job is its user's to write."""
    return text if text is not None and _PARTITION.fullmatch(text) else None


def _decoded(value: bytes | None) -> str | None:
    return None if value is None else value.decode("ascii", "replace")
