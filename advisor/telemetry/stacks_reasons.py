"""Why a process cannot be sampled, and exactly what would allow it."""

from __future__ import annotations

import os
from pathlib import Path

from advisor.reports.escape import terminal
from advisor.telemetry.procfs import read_text

INSTALL = "py-spy is not installed: pip install py-spy, or pip install 'gpu-advisor[stacks]'"
_SAID_LIMIT = 160


def why_not_before(pid: int, root: Path = Path("/proc")) -> str | None:
    """What rules a look out before any is tried; None where it may work."""
    if pid <= 0 or not (root / str(pid)).exists():
        return (
            f"no process {pid} is to be seen here: it has ended, or lives in another PID namespace "
            "(in a container: start it with the host's, such as `docker run --pid=host`)"
        )
    return "this is advisor itself" if pid == os.getpid() else None


def why_not(pid: int, said: str, root: Path = Path("/proc")) -> str:
    """What a failed run of py-spy means. said: the end of what it wrote."""
    if not (root / str(pid)).exists():
        return f"process {pid} has ended"
    text = said.lower()
    if "permission denied" in text or "operation not permitted" in text or "eperm" in text:
        return _refused(pid, root)
    if "python version" in text or "failed to find" in text or "python interpreter" in text:
        return f"process {pid} is no Python process that py-spy knows"
    lines = [line for line in said.splitlines() if line.strip()]
    last = terminal(lines[0].strip()[:_SAID_LIMIT]) if lines else "nothing"
    return f"py-spy failed and said: {last}"


def _refused(pid: int, root: Path) -> str:
    """Which of the kernel's rules forbids it (ptrace(2), "Ptrace access mode checking")."""
    owner, scope = _uid(root / str(pid)), ptrace_scope(root.parent)
    if owner is not None and owner != os.geteuid():
        return f"process {pid} belongs to another user (uid {owner}): run as that user, or with sudo"
    if scope in ("2", "3"):
        last = " and cannot be lowered before a reboot" if scope == "3" else ""
        return f"kernel.yama.ptrace_scope is {scope}{last}: only root may look, use sudo"
    if scope == "1":
        return (
            "kernel.yama.ptrace_scope is 1, so that only a parent may look: "
            "sudo sysctl kernel.yama.ptrace_scope=0, or use sudo"
        )
    if in_container(root.parent):
        return (
            "this container may not trace processes: start it with --cap-add SYS_PTRACE (Kubernetes: "
            'securityContext.capabilities.add: ["SYS_PTRACE"])'
        )
    return f"the kernel does not permit looking into process {pid} (it may not be dumpable): use sudo"


def ptrace_scope(root: Path = Path("/")) -> str | None:
    """Yama's setting, "0" to "3"; None where Yama is not in the kernel."""
    try:
        return read_text(root / "proc/sys/kernel/yama/ptrace_scope").strip() or None
    except OSError:
        return None


def in_container(root: Path = Path("/")) -> bool:
    """Whether something says that this is a container."""
    marks = (".dockerenv", "run/.containerenv", "var/run/secrets/kubernetes.io")
    return any((root / mark).exists() for mark in marks) or "KUBERNETES_SERVICE_HOST" in os.environ


def _uid(process: Path) -> int | None:
    try:
        return process.stat().st_uid
    except OSError:
        return None
