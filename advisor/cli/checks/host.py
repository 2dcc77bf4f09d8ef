"""Checks of what the kernel and the container let us see of the host."""

from __future__ import annotations

from pathlib import Path

from advisor.cli.checks.check import Check, ok, skip, warn
from advisor.telemetry.stacks_pyspy import find_tool, tool_name

# The inode the kernel gives the first PID namespace (PROC_PID_INIT_INO, include/linux/proc_ns.h).
FIRST_PID_NAMESPACE = 0xEFFFFFFC


def host_checks(root: Path = Path("/")) -> list[Check]:
    """Every host.* check, in a fixed order."""
    return [_cgroup(root), _pid_namespace(root), _psi(root), _clocks(root), _ptrace(root)]


def _cgroup(root: Path) -> Check:
    version, limits = _cgroup_view(root)
    if version is None:
        return warn(
            "host.cgroup",
            "no cgroup can be read, so CPU limits and throttling stay unknown",
            "Mount /sys/fs/cgroup (read-only is enough) in the container.",
        )
    return ok("host.cgroup", f"{version}, {limits}")


def _cgroup_view(root: Path) -> tuple[str | None, str]:
    """Version of the hierarchy and the CPU limit seen at its visible root."""
    base = root / "sys/fs/cgroup"
    if (base / "cgroup.controllers").exists():
        quota = _text(base / "cpu.max")
        return "v2", f"cpu.max {quota}" if quota and not quota.startswith(
            "max"
        ) else "no CPU limit at its root"
    for cpu in (base / "cpu", base / "cpu,cpuacct"):
        if (cpu / "cpu.stat").exists():
            quota = _text(cpu / "cpu.cfs_quota_us")
            return "v1", f"cfs_quota_us {quota}" if quota not in (None, "-1") else "no CPU limit at its root"
    return None, ""


def own_pids_are_the_drivers(root: Path = Path("/")) -> bool | None:
    """True in the host's PID namespace, whose numbers the driver uses; None where that cannot be told."""
    try:
        name = (root / "proc/self/ns/pid").readlink().name
        return int(name.partition("[")[2].rstrip("]")) == FIRST_PID_NAMESPACE
    except (OSError, ValueError):
        return None


def _pid_namespace(root: Path) -> Check:
    same = own_pids_are_the_drivers(root)
    if same is None:
        return skip("host.pid_namespace", "cannot be told here")
    if same:
        return ok("host.pid_namespace", "the host's own: GPU processes can be matched")
    return warn(
        "host.pid_namespace",
        "a container's own: the driver names processes by host PID, so owners and causes may stay unknown",
        "Start with the host's PID namespace: `docker run --pid=host`, or `hostPID: true` in the pod.",
    )


def _psi(root: Path) -> Check:
    if _text(root / "proc/pressure/cpu"):
        return ok("host.psi", "pressure of CPU, memory and I/O can be read")
    return warn(
        "host.psi",
        "no pressure stall information, so CPU and I/O shortage are told less surely",
        "Boot with `psi=1` on a kernel of 4.20 or newer built with CONFIG_PSI.",
    )


def _clocks(root: Path) -> Check:
    governor = _text(root / "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")
    source = _text(root / "sys/devices/system/clocksource/clocksource0/current_clocksource")
    seen = ", ".join(
        f"{what} {value}" for what, value in (("governor", governor), ("clock source", source)) if value
    )
    if governor == "powersave":
        driver = _text(root / "sys/devices/system/cpu/cpu0/cpufreq/scaling_driver") or ""
        if "pstate" not in driver:  # under intel_pstate and amd_pstate this name still scales with load
            return warn("host.clocks", seen, "`cpupower frequency-set -g performance` shortens launch gaps.")
    if source in ("hpet", "acpi_pm"):
        return warn(
            "host.clocks", seen, "Every look at the time is a slow call; boot with `clocksource=tsc`."
        )
    return (
        ok("host.clocks", seen)
        if seen
        else skip("host.clocks", "the kernel shows neither governor nor clock")
    )


def _ptrace(root: Path) -> Check:
    scope = _text(root / "proc/sys/kernel/yama/ptrace_scope")
    tool = _sampler()
    if scope in (None, "0") or _may_ptrace(root):
        return ok("host.ptrace", f"processes of this user can be sampled; {tool}")
    return warn(
        "host.ptrace",
        f"ptrace_scope is {scope}: py-spy cannot look into a running process without root; {tool}",
        "`sudo sysctl kernel.yama.ptrace_scope=0`, or run py-spy with sudo.",
    )


def _sampler() -> str:
    """What `--stacks` would sample with."""
    tool = find_tool()
    return f"{tool_name(tool)} is installed" if tool else "py-spy is not installed (`pip install py-spy`)"


def _may_ptrace(root: Path) -> bool:
    """True when this process holds CAP_SYS_PTRACE (bit 19, include/uapi/linux/capability.h)."""
    status = _text(root / "proc/self/status") or ""
    held = next((line.split()[1] for line in status.splitlines() if line.startswith("CapEff:")), "0")
    return bool(int(held, 16) >> 19 & 1)


def _text(path: Path) -> str | None:
    """The file's text, or None when it cannot be read or is empty."""
    try:
        return path.read_text(errors="replace").strip() or None
    except OSError:
        return None
