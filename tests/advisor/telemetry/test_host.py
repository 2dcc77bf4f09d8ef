"""The host reader over made-up /proc and /sys trees, and over the real one."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest

from advisor.reports.redact import host_hash
from advisor.telemetry import cgroups
from advisor.telemetry.host import FIRST_LOOK, PSI_OFF, TOO_SOON, HostReader

MEMINFO = (
    "MemTotal: 1000 kB\nMemFree: 100 kB\nMemAvailable: 400 kB\nBuffers: 1 kB\nCached: 1 kB\nShmem: 1 kB\n"
    "Active: 1 kB\nInactive: 1 kB\nSReclaimable: 1 kB\nSlab: 1 kB\nSwapTotal: 50 kB\nSwapFree: 20 kB\n"
)
DISK = "{major} 0 {name} 10 0 {read} 5 10 0 {written} 5 0 0 0 0 0 0 0\n"


class Tree:
    """A tree of made-up files, and clocks that only move when told."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.now = 100.0

    def put(self, path: str, text: str) -> None:
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)

    def reader(self) -> HostReader:
        return HostReader(self.root, clock=lambda: 1e9 + self.now, monotonic=lambda: self.now)


def stat(*cores: str) -> str:
    """A /proc/stat; each core in ticks: user nice system idle iowait irq softirq steal guest guest_nice."""
    lines = [f"cpu{number} {core}" for number, core in enumerate(cores)]
    return "\n".join(["cpu 0 0 0 0 0 0 0 0 0 0", *lines, "intr 1", ""])


def no_load() -> tuple[float, float, float]:
    raise OSError("no load average")


@pytest.fixture
def empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A root without anything, for psutil too."""
    monkeypatch.setattr(psutil, "PROCFS_PATH", str(tmp_path / "proc"))
    monkeypatch.setattr(psutil, "getloadavg", no_load)
    return tmp_path


@pytest.fixture
def tree(empty: Path, monkeypatch: pytest.MonkeyPatch) -> Tree:
    monkeypatch.setattr(psutil, "getloadavg", lambda: (1.5, 1.0, 0.5))
    tree = Tree(empty)
    tree.put("proc/stat", stat("100 0 100 800 0 0 0 0 50 0", "0 0 0 1000 0 0 0 0 0 0"))
    tree.put("proc/vmstat", "pswpin 0\npswpout 0\n")
    tree.put("proc/meminfo", MEMINFO)
    for resource, share in (("cpu", "12.50"), ("io", "0.00"), ("memory", "3.00")):
        tree.put(
            f"proc/pressure/{resource}",
            f"some avg10={share} avg60=0.00 avg300=0.00 total=1\nfull avg10=99.00\n",
        )
    for disk in ("nvme0n1", "dm-0", "loop0", "md127"):
        tree.put(f"sys/block/{disk}/size", "1")
    tree.put(
        "proc/diskstats",
        DISK.format(major=259, name="nvme0n1", read=100, written=200)
        + DISK.format(major=259, name="nvme0n1p1", read=100, written=200)
        + DISK.format(major=253, name="dm-0", read=100, written=200),
    )
    return tree


def test_a_first_look_has_levels_and_no_rates(tree: Tree) -> None:
    sample = tree.reader().sample()
    assert sample.t_s == 1e9 + 100
    assert sample.load_1m == 1.5
    assert (sample.psi_cpu_frac, sample.psi_io_frac, sample.psi_memory_frac) == (0.125, 0.0, 0.03)
    assert (sample.mem_used_bytes, sample.mem_total_bytes, sample.swap_used_bytes) == (
        600 << 10,
        1000 << 10,
        30 << 10,
    )
    assert sample.cpu_fracs == ()
    assert sample.disk_read_bytes_s is None
    assert sample.missing["cpu_fracs"] == sample.missing["disk_read_bytes_s"] == FIRST_LOOK


def test_core_shares_are_of_the_time_between_looks(tree: Tree) -> None:
    reader = tree.reader()
    reader.sample()
    tree.now += 1
    # core 0: 30 busy of 100; core 1: all of its 100 ticks waiting for I/O, which is not busy
    tree.put("proc/stat", stat("120 0 110 870 0 0 0 0 60 0", "0 0 0 1000 100 0 0 0 0 0"))
    assert reader.sample().cpu_fracs == (0.3, 0.0)


def test_a_core_that_goes_offline_gives_no_shares_once(tree: Tree) -> None:
    reader = tree.reader()
    reader.sample()
    tree.now += 1
    tree.put("proc/stat", stat("0 0 0 1050 50 0 0 0 0 0"))
    sample = reader.sample()
    assert sample.cpu_fracs == () and "offline" in sample.missing["cpu_fracs"]
    tree.now += 1
    tree.put("proc/stat", stat("100 0 0 1050 50 0 0 0 0 0"))
    assert reader.sample().cpu_fracs == (1.0,)


def test_disk_rates_count_whole_disks_once(tree: Tree) -> None:
    reader = tree.reader()
    reader.sample()
    tree.now += 2
    tree.put("proc/diskstats", DISK.format(major=259, name="nvme0n1", read=300, written=260))
    sample = reader.sample()
    assert sample.disk_read_bytes_s == 200 * 512 / 2
    assert sample.disk_write_bytes_s == 60 * 512 / 2


def test_a_counter_that_went_back_gives_no_rate(tree: Tree) -> None:
    reader = tree.reader()
    reader.sample()
    tree.now += 2
    tree.put("proc/diskstats", DISK.format(major=259, name="nvme0n1", read=1, written=1))
    sample = reader.sample()
    assert sample.disk_read_bytes_s is None
    assert "went back" in sample.missing["disk_read_bytes_s"]


def test_a_look_that_comes_too_soon_is_not_a_baseline(tree: Tree) -> None:
    reader = tree.reader()
    reader.sample()
    tree.now += 0.01
    tree.put("proc/stat", stat("101 0 100 800 0 0 0 0 0 0", "0 0 0 1000 0 0 0 0 0 0"))
    assert reader.sample().missing["cpu_fracs"] == TOO_SOON
    tree.now += 1
    tree.put("proc/stat", stat("150 0 100 850 0 0 0 0 0 0", "0 0 0 1100 0 0 0 0 0 0"))
    assert reader.sample().cpu_fracs == (0.5, 0.0)


def test_an_empty_tree_gives_reasons_and_no_zeros(empty: Path) -> None:
    reader = HostReader(empty)
    sample = reader.sample()
    fields = [name for name in sample.__struct_fields__ if name not in ("t_s", "missing", "cpu_fracs")]
    assert all(getattr(sample, name) is None for name in fields)
    assert set(fields) <= set(sample.missing)
    info = reader.info()
    assert info.cores is None
    assert {"cores", "numa_nodes", "governor"} == set(info.missing)
    assert info.container is False


@pytest.mark.parametrize("name", ["stat", "meminfo", "diskstats"])
def test_a_file_that_says_something_else_leaves_the_others(tree: Tree, name: str) -> None:
    tree.put(f"proc/{name}", "cpu0 what is this\n 1 2\n")
    reader = tree.reader()
    reader.sample()
    tree.now += 1
    sample = reader.sample()
    assert (sample.cpu_fracs == ()) == (name == "stat")
    assert (sample.mem_used_bytes is None) == (name == "meminfo")
    assert (sample.disk_read_bytes_s is None) == (name == "diskstats")


def test_psi_that_is_off_says_how_to_have_it(tree: Tree) -> None:
    (tree.root / "proc/pressure/cpu").unlink()
    tree.put("proc/pressure/io", "garbage\n")
    sample = tree.reader().sample()
    assert sample.missing["psi_cpu_frac"] == sample.missing["psi_io_frac"] == PSI_OFF
    assert sample.psi_memory_frac == 0.03


def test_static_facts(tree: Tree) -> None:
    tree.put("proc/sys/kernel/hostname", "gpu01\n")
    tree.put("proc/sys/kernel/osrelease", "6.8.0-test\n")
    tree.put("sys/devices/system/node/has_cpu", "0-1\n")
    for core in range(2):
        tree.put(f"sys/devices/system/cpu/cpu{core}/cpufreq/scaling_governor", "powersave\n")
    info = tree.reader().info()
    assert info.host == host_hash("gpu01")
    assert (info.cores, info.numa_nodes, info.governor, info.kernel) == (2, 2, "powersave", "6.8.0-test")
    assert info.missing == {}


def test_mixed_governors_are_all_named(tree: Tree) -> None:
    for core, name in enumerate(("performance", "powersave", "performance")):
        tree.put(f"sys/devices/system/cpu/cpu{core}/cpufreq/scaling_governor", name)
    assert tree.reader().info().governor == "performance and powersave"


@pytest.mark.parametrize(
    ("path", "text"),
    [
        (".dockerenv", ""),
        ("run/.containerenv", ""),
        ("proc/self/cgroup", f"0::/docker/{'a' * 64}\n"),
        ("proc/self/mountinfo", "1 0 0:1 / / rw - overlay overlay rw,upperdir=/var/lib/containerd/x\n"),
    ],
)
def test_containers_are_recognised(tree: Tree, path: str, text: str) -> None:
    assert not tree.reader().in_container()
    tree.put(path, text)
    assert tree.reader().in_container()


def test_a_slurm_job_is_no_container(tree: Tree) -> None:
    tree.put("proc/self/cgroup", "0::/system.slice/slurmstepd.scope/job_7/step_0\n")
    assert tree.reader().in_container() is False


def version2(tree: Tree, throttled_s: float, periods: int, quota: str = "200000 100000") -> None:
    tree.put("proc/self/mountinfo", "31 23 0:28 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n")
    tree.put("proc/self/cgroup", "0::/job/step\n")
    tree.put("sys/fs/cgroup/job/cpu.max", quota)
    tree.put(
        "sys/fs/cgroup/job/cpu.stat",
        f"usage_usec 9\nnr_periods 100\nnr_throttled {periods}\nthrottled_usec {int(throttled_s * 1e6)}\n",
    )
    tree.put("sys/fs/cgroup/job/step/cpu.max", "max 100000")
    tree.put("sys/fs/cgroup/job/step/cpu.stat", "nr_throttled 0\nthrottled_usec 0\n")


def test_throttling_by_an_ancestor_counts(tree: Tree) -> None:
    version2(tree, throttled_s=1.0, periods=10)
    reader = tree.reader()
    first = reader.sample()
    assert first.cpu_quota_cores == 2.0
    assert first.missing["throttled_frac"] == FIRST_LOOK
    tree.now += 10
    version2(tree, throttled_s=4.0, periods=90)
    assert reader.sample().throttled_frac == pytest.approx(0.3)


def test_throttled_time_of_many_cpus_is_bounded_by_throttled_periods(tree: Tree) -> None:
    version2(tree, throttled_s=0.0, periods=0)
    reader = tree.reader()
    reader.sample()
    tree.now += 10
    version2(tree, throttled_s=64.0, periods=40)
    assert reader.sample().throttled_frac == pytest.approx(0.4)


def version1(tree: Tree, throttled_ns: int, root: str = "/") -> None:
    tree.put(
        "proc/self/mountinfo",
        f"32 31 0:29 {root} /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n",
    )
    tree.put("proc/self/cgroup", "4:cpuacct,cpu:/docker/abc\n0::/\n")
    base = "sys/fs/cgroup/cpu,cpuacct" + ("" if root != "/" else "/docker/abc")
    tree.put(f"{base}/cpu.cfs_quota_us", "150000\n")
    tree.put(f"{base}/cpu.cfs_period_us", "100000\n")
    tree.put(
        f"{base}/cpu.stat",
        f"nr_periods 9\nnr_throttled {throttled_ns // 10**6}\nthrottled_time {throttled_ns}\n",
    )


@pytest.mark.parametrize("root", ["/", "/docker/abc"])
def test_version_1_is_read_with_and_without_its_path_in_the_mount(tree: Tree, root: str) -> None:
    version1(tree, 0, root)
    reader = tree.reader()
    reader.sample()
    tree.now += 1
    version1(tree, 250_000_000, root)
    sample = reader.sample()
    assert sample.cpu_quota_cores == 1.5
    assert sample.throttled_frac == pytest.approx(0.25)


def test_no_quota_and_no_view_say_so(tree: Tree) -> None:
    version2(tree, 0, 0, quota="max 100000")
    assert tree.reader().sample().missing["cpu_quota_cores"] == cgroups.NO_QUOTA
    tree.put("proc/self/cgroup", "0::/elsewhere\n")
    sample = tree.reader().sample()
    assert sample.missing["cpu_quota_cores"] == sample.missing["throttled_frac"] == cgroups.NOT_VISIBLE


@pytest.mark.parametrize("path", ["/../../etc", "", "relative"])
def test_a_path_out_of_the_hierarchy_is_not_followed(tree: Tree, path: str) -> None:
    version2(tree, 0, 0)
    tree.put("proc/self/cgroup", f"0::{path}\n")
    assert tree.reader().sample().missing["throttled_frac"] == cgroups.NOT_VISIBLE


def test_the_real_host() -> None:
    reader = HostReader()
    info, sample = reader.info(), reader.sample()
    assert info.cores is not None
    assert info.cores >= 1
    assert sample.mem_total_bytes is not None
    assert sample.mem_used_bytes is not None
    assert 0 < sample.mem_used_bytes < sample.mem_total_bytes


# --- what may set a price ------------------------------------------------------------------------


def test_cloud_partition_and_label_are_facts_of_the_node(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_JOB_PARTITION", "h100-a")
    monkeypatch.setenv("ADVISOR_LABEL", "pool-b")
    tree.put("sys/class/dmi/id/sys_vendor", "Amazon EC2\n")
    tree.put("sys/class/dmi/id/product_name", "p5.48xlarge\n")
    info = tree.reader().info()
    assert (info.provider, info.instance, info.partition, info.label) == (
        "aws",
        "p5.48xlarge",
        "h100-a",
        "pool-b",
    )
    assert "instance" not in info.missing


def test_a_cloud_that_names_no_type_says_why_and_hostile_words_are_dropped(
    tree: Tree, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLURM_JOB_PARTITION", "\x1b[31m")
    monkeypatch.setenv("ADVISOR_CONFIG", "/nowhere/at/all")
    tree.put("sys/class/dmi/id/sys_vendor", "Amazon EC2\n")
    tree.put("sys/class/dmi/id/product_name", "p5\x1b[2J\n")
    info = tree.reader().info()
    assert (info.provider, info.instance, info.partition, info.label) == ("aws", None, None, None)
    assert "product name" in info.missing["instance"]
