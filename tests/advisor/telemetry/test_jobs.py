"""Jobs are found in every documented form of /proc/<pid>/cgroup, and nowhere else."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from advisor.telemetry.jobs import job_of, partition_name, slurm_variables

HEX = "0123456789abcdef"
UID = "3a1c9f52-0b6d-4f0e-9d53-77aa01c2e4b9"
UID_ = UID.replace("-", "_")
CID = "0123456789ab" + "c" * 52

uids = st.uuids().map(str)
cids = st.text(HEX, min_size=64, max_size=64)
job_ids = st.integers(1, 10**9).map(str)


@pytest.mark.parametrize(
    ("text", "job"),
    [
        ("0::/system.slice/slurmstepd.scope/job_4711/step_0/user/task_0\n", "slurm:4711"),
        ("0::/system.slice/node07_slurmstepd.scope/job_4711/step_batch/user/task_0\n", "slurm:4711"),
        ("4:cpu,cpuacct:/slurm/uid_1000/job_4711/step_extern/task_1\n0::/\n", "slurm:4711"),
        ("4:memory:/slurm_node07/uid_0/job_9\n", "slurm:9"),
        (f"0::/kubepods/burstable/pod{UID}/{CID}\n", f"pod:{UID}"),
        (f"11:cpu:/kubepods/pod{UID}/{CID}\n", f"pod:{UID}"),
        (f"0::/kubepods.slice/kubepods-pod{UID_}.slice/cri-containerd-{CID}.scope\n", f"pod:{UID}"),
        (
            "0::/kubepods.slice/kubepods-besteffort.slice/"
            f"kubepods-besteffort-pod{UID_}.slice/crio-{CID}.scope\n",
            f"pod:{UID}",
        ),
        (
            f"0::/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-burstable.slice/"
            f"kubelet-kubepods-burstable-pod{UID_}.slice/cri-containerd-{CID}.scope\n",
            f"pod:{UID}",
        ),
        (
            f"1:cpu:/system.slice/containerd.service/kubepods-burstable-pod{UID_}.slice:cri-containerd:{CID}\n",
            f"pod:{UID}",
        ),
        (f"0::/kubepods/burstable/pod{'ab' * 16}/{CID}\n", f"pod:{'ab' * 16}"),
        (f"0::/docker/{CID}\n", "container:0123456789ab"),
        (f"0::/system.slice/docker-{CID}.scope\n", "container:0123456789ab"),
        (f"0::/machine.slice/libpod-{CID}.scope/container\n", "container:0123456789ab"),
        (
            f"0::/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-{CID}.scope\n",
            "container:0123456789ab",
        ),
        (f"0::/user.slice/nerdctl-{CID}.scope\n", "container:0123456789ab"),
        ("0::/user.slice/user-1000.slice/session-3.scope\n", None),
        ("0::/user.slice/user-1000.slice/user@1000.service/app.slice/app-foo.scope\n", None),
        ("0::/system.slice/slurmd.service\n", None),
        ("0::/\n", None),
        ("", None),
    ],
)
def test_known_forms(text: str, job: str | None) -> None:
    assert job_of(text) == job


@given(uids, cids)
def test_any_pod(uid: str, cid: str) -> None:
    systemd = (
        f"0::/kubepods.slice/kubepods-burstable-pod{uid.replace('-', '_')}.slice/cri-containerd-{cid}.scope"
    )
    assert job_of(f"0::/kubepods/burstable/pod{uid}/{cid}") == job_of(systemd) == f"pod:{uid}"


@given(job_ids, uids, cids)
def test_slurm_goes_before_pod_and_pod_before_container(job: str, uid: str, cid: str) -> None:
    pod = f"/kubepods/burstable/pod{uid}/{cid}"
    assert job_of(f"0::{pod}/system.slice/slurmstepd.scope/job_{job}/step_0") == f"slurm:{job}"
    assert job_of(f"0::{pod}", job) == f"slurm:{job}"
    assert job_of(f"0::{pod}") == f"pod:{uid}"
    assert job_of(f"0::/docker/{cid}") == f"container:{cid[:12]}"


def test_a_container_in_a_container_is_the_inner_one() -> None:
    assert job_of(f"0::/docker/{'a' * 64}/docker/{'b' * 64}") == "container:" + "b" * 12


@given(st.text(), st.none() | st.text())
def test_any_text_gives_a_job_of_known_shape_or_none(text: str, environ: str | None) -> None:
    job = job_of(text, environ)
    assert job is None or job.partition(":")[0] in {"slurm", "pod", "container"}
    if environ is not None and environ.isascii() and environ.isdigit() and len(environ) <= 18:
        assert job is not None


@pytest.mark.parametrize("value", ["12;rm -rf", "", "abc", "١٢", "9" * 30])
def test_an_odd_job_id_of_the_environment_is_ignored(value: str) -> None:
    assert job_of("0::/", value) is None


def test_only_job_id_and_partition_are_read_from_the_environment(tmp_path: Path) -> None:
    environ = b"HF_TOKEN=hf_secret\0SLURM_JOB_ID=77\0X_SLURM_JOB_ID=3\0SLURM_JOB_PARTITION=h100-a\0"
    (tmp_path / "environ").write_bytes(environ)
    assert slurm_variables(tmp_path) == ("77", "h100-a")
    (tmp_path / "environ").write_bytes(b"HF_TOKEN=hf_secret\0NOT_SLURM_JOB_ID=1\0")
    assert slurm_variables(tmp_path) == (None, None)


@pytest.mark.parametrize("value", ["", "a b", "\x1b[31m", "x" * 65, "../up", "h100\n", "-x", '"quoted"'])
def test_what_is_no_partition_is_none(value: str) -> None:
    assert partition_name(value) is None


@given(st.binary(max_size=300))
def test_any_environment_gives_a_partition_that_prints_or_none(data: bytes) -> None:
    with TemporaryDirectory() as folder:
        (Path(folder) / "environ").write_bytes(b"SLURM_JOB_PARTITION=" + data)
        found = slurm_variables(Path(folder)).partition
    assert found is None or (found.isascii() and found.isprintable() and " " not in found)


def test_an_unreadable_environment_is_none(tmp_path: Path) -> None:
    assert slurm_variables(tmp_path / "gone") == (None, None)
