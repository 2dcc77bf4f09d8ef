"""The process that is asked: whether it can be, and where it and this program see the same files."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from advisor.traces.errors import TraceError
from advisor.traces.ondemand.protocol import SOCKET_DIR, USE_DAEMON

RESTART = f"start it with {USE_DAEMON}=1 in its environment, then ask again"


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """A process that may be asked for a trace.

    inner_pid: its id in its own namespace, by which it names itself and its file. root: its file system as
    seen from here ("" where it is ours). uid, gid: whose rights it has on files. socket_dir: where it looks
    for the daemon, as it sees it. told: its environment was read, and says that it listens. born: when it
    started, in the kernel's ticks. doubts: what may keep it from answering.
    """

    pid: int
    inner_pid: int
    root: str = ""
    uid: int = 0
    gid: int = 0
    socket_dir: str | None = None
    told: bool = False
    born: str | None = None
    doubts: tuple[str, ...] = ()


def target(pid: int, proc: Path = Path("/proc")) -> Target:
    """The process `pid`. Raises TraceError where it cannot be asked, with what to do."""
    base = proc / str(pid)
    try:
        owner = base.stat()
    except OSError as error:
        raise TraceError(
            f"no process has the id {pid}", "look for it with `ps` or `advisor diagnose`"
        ) from error
    variables = _environment(base)
    _refuse_without_daemon(pid, variables)
    _refuse_other_network(pid, base, proc, variables)
    return Target(
        pid=pid,
        inner_pid=_inner_pid(base) or pid,
        root="" if _same(base, proc, "mnt") else str(base / "root"),
        uid=_id_of(base, "Uid:", owner.st_uid),
        gid=_id_of(base, "Gid:", owner.st_gid),
        socket_dir=None if variables is None else variables.get(SOCKET_DIR) or None,
        told=variables is not None,
        born=_stat(pid, proc)[1],
        doubts=_doubts(base, variables, _stat(pid, proc)[0]),
    )


def _environment(base: Path) -> dict[str, str] | None:
    """Variables the process was started with; None where they may not be read."""
    try:
        raw = (base / "environ").read_bytes()
    except OSError:
        return None
    if not raw:  # between fork and exec, or at its end
        return None
    pairs = (os.fsdecode(entry).partition("=") for entry in raw.split(b"\0") if entry)
    return {name: value for name, _, value in pairs}


def _refuse_without_daemon(pid: int, variables: dict[str, str] | None) -> None:
    if variables is not None and USE_DAEMON not in variables:
        raise TraceError(f"process {pid} does not listen: it was started without {USE_DAEMON}", RESTART)


def _refuse_other_network(pid: int, base: Path, proc: Path, variables: dict[str, str] | None) -> None:
    """An abstract socket is seen only inside one network namespace."""
    by_file = bool(variables and variables.get(SOCKET_DIR))
    if not by_file and not _same(base, proc, "net"):
        raise TraceError(
            f"process {pid} is in a container with a network of its own, where it cannot be reached",
            f"run advisor in that container, or start it with {SOCKET_DIR} set to a folder both can see",
        )


def _same(base: Path, proc: Path, namespace: str) -> bool:
    """Whether the process shares a namespace with this program; also where that cannot be seen."""
    try:
        theirs = (base / "ns" / namespace).readlink()
        return theirs == (proc / "self" / "ns" / namespace).readlink()
    except OSError:
        return True


def _inner_pid(base: Path) -> int | None:
    found = _status(base, "NSpid:")
    return int(found[-1]) if found else None


def _id_of(base: Path, key: str, otherwise: int) -> int:
    """The id by which files are opened: real, effective, saved and this one stand in a row."""
    found = _status(base, key)
    return int(found[3]) if len(found) == 4 else otherwise


def _status(base: Path, key: str) -> list[str]:
    try:
        lines = (base / "status").read_text(errors="replace").splitlines()
    except OSError:
        return []
    return next((line.split()[1:] for line in lines if line.startswith(key)), [])


def state_of(who: Target, proc: Path = Path("/proc")) -> str | None:
    """The kernel's letter for what a process does ("T": it is stopped); None where it has ended."""
    state, born = _stat(who.pid, proc)
    ended = state in (None, "Z", "X", "x") or (who.born is not None and born != who.born)
    return None if ended else state


def _stat(pid: int, proc: Path) -> tuple[str | None, str | None]:
    """State and start of a process: the fields after its name, which may hold anything."""
    try:
        fields = (proc / str(pid) / "stat").read_text(errors="replace").rpartition(")")[2].split()
    except OSError:
        return None, None
    return (fields[0], fields[19]) if len(fields) > 19 else (None, None)


def command_of(pid: int, proc: Path = Path("/proc")) -> tuple[str, ...]:
    """The words of a process's command; () where they cannot be read."""
    try:
        raw = (proc / str(pid) / "cmdline").read_bytes()
    except OSError:
        return ()
    return tuple(os.fsdecode(word) for word in raw.split(b"\0") if word)


def _doubts(base: Path, variables: dict[str, str] | None, state: str | None) -> tuple[str, ...]:
    said = []
    if state in ("T", "t"):
        said.append("it is stopped, and answers when it goes on")
    if variables is None:
        said.append(f"its environment may not be read, so whether it has {USE_DAEMON} is not known")
    try:
        if "libtorch" not in (base / "maps").read_text(errors="replace"):
            said.append("it has not loaded PyTorch")
    except OSError:
        pass
    return tuple(said)
