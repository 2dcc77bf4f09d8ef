"""CPU quota, throttling and memory limits of cgroups, versions 1 and 2."""

from __future__ import annotations

from pathlib import Path

import pytest

from probes.cgroups import NO_COUNTERS, NO_QUOTA, NOT_VISIBLE, cpu_quota, memory_left
from tests.probes.test_hostfiles import write

V2 = "30 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw"
V1 = (
    "31 23 0:27 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n"
    "32 23 0:28 /pod /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
    "33 23 0:29 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw"
)


def version2(root: Path, files: dict[str, str]) -> Path:
    """A process in /pod/box of a version 2 hierarchy."""
    here = {"proc/self/cgroup": "0::/pod/box", "proc/self/mountinfo": V2}
    (root / "sys/fs/cgroup/pod/box").mkdir(parents=True)
    return write(root, here | {f"sys/fs/cgroup/{name}": text for name, text in files.items()})


def version1(root: Path, files: dict[str, str]) -> Path:
    """The same in version 1, with the memory controller's mount already inside /pod."""
    here = {
        "proc/self/cgroup": "5:memory:/pod/box\n3:cpu,cpuacct:/pod/box\n0::/",
        "proc/self/mountinfo": V1,
    }
    for folder in ("cpu,cpuacct/pod/box", "memory/box"):
        (root / "sys/fs/cgroup" / folder).mkdir(parents=True)
    return write(root, here | {f"sys/fs/cgroup/{name}": text for name, text in files.items()})


def test_the_tightest_quota_of_all_levels_counts(tmp_path: Path) -> None:
    root = version2(tmp_path, {"pod/box/cpu.max": "400000 100000", "pod/cpu.max": "150000 100000"})
    assert cpu_quota(root).cores == 1.5


def test_throttling_of_version_2_is_in_microseconds(tmp_path: Path) -> None:
    stat = "usage_usec 9\nnr_periods 10\nnr_throttled 4\nthrottled_usec 2500000"
    root = version2(tmp_path, {"pod/box/cpu.max": "max 100000", "pod/box/cpu.stat": stat})
    found = cpu_quota(root)
    assert (found.cores, found.throttled_periods, found.throttled_s) == (None, 4, 2.5)
    assert found.missing == {"cgroup_quota_cores": NO_QUOTA}


def test_version_1(tmp_path: Path) -> None:
    box = "cpu,cpuacct/pod/box"
    root = version1(
        tmp_path,
        {
            f"{box}/cpu.cfs_quota_us": "50000",
            f"{box}/cpu.cfs_period_us": "100000",
            f"{box}/cpu.stat": "nr_periods 1\nnr_throttled 3\nthrottled_time 1500000000",
            "cpu,cpuacct/cpu.cfs_quota_us": "-1",
            "cpu,cpuacct/cpu.cfs_period_us": "100000",
        },
    )
    found = cpu_quota(root)
    assert (found.cores, found.throttled_periods, found.throttled_s, found.missing) == (0.5, 3, 1.5, {})


def test_memory_of_version_2(tmp_path: Path) -> None:
    root = version2(
        tmp_path,
        {
            "pod/box/memory.max": "max",
            "pod/box/memory.current": "7",
            "pod/memory.max": "1000",
            "pod/memory.current": "400",
        },
    )
    assert memory_left(root) == (1000, 600)


def test_memory_of_version_1_below_a_containers_own_mount(tmp_path: Path) -> None:
    root = version1(
        tmp_path,
        {
            "memory/box/memory.limit_in_bytes": "5000",
            "memory/box/memory.usage_in_bytes": "6000",
            "memory/memory.limit_in_bytes": "9223372036854771712",
        },
    )
    assert memory_left(root) == (5000, 0)


def test_no_limit_and_no_counters_say_so(tmp_path: Path) -> None:
    root = version2(tmp_path, {})
    assert memory_left(root) == (None, None)
    assert cpu_quota(root).missing == {"cgroup_quota_cores": NO_QUOTA, "throttled_periods": NO_COUNTERS}


@pytest.mark.parametrize("path", ["/elsewhere", "/pod/../.."])
def test_a_cgroup_that_cannot_be_seen(tmp_path: Path, path: str) -> None:
    root = version2(tmp_path, {"cpu.max": "1 1"})
    (root / "proc/self/cgroup").write_text(f"0::{path}\n")
    found = cpu_quota(root)
    assert found.cores is None
    assert set(found.missing.values()) == {NOT_VISIBLE}


@pytest.mark.parametrize("text", ["", "max", "5", "a b", "100000 0", "-1 100000"])
def test_quotas_that_make_no_sense_are_none(tmp_path: Path, text: str) -> None:
    assert cpu_quota(version2(tmp_path, {"pod/box/cpu.max": text})).cores is None


def test_without_proc_nothing_is_known(tmp_path: Path) -> None:
    assert cpu_quota(tmp_path).missing["cgroup_quota_cores"] == NOT_VISIBLE
    assert memory_left(tmp_path) == (None, None)
