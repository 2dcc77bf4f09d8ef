"""Discover: engines that listen on this node, reached over loopback alone, and the GPUs they hold."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

import msgspec

from advisor.serving.engines import PORTS
from advisor.telemetry import commands
from advisor.telemetry.procfs import read_stat
from rules.servers import server_in

_LISTEN = "0A"
_MAX_ARGV_BYTES = 1 << 16
_MAX_DEPTH = 64
_PORT = re.compile(r"(?:^|[=:])(\d{1,5})$", re.ASCII)
MAX_CANDIDATES = 32
_MAX_NAMED = 8
_MAX_TABLE_BYTES = 4 << 20
# Local addresses in /proc/net/tcp that a connection to 127.0.0.1 or ::1 reaches.
_ANY = {"00000000": "127.0.0.1", "0" * 32: "::1"}
_LOOPBACK = {
    "0100007F": "127.0.0.1",
    "00000000000000000000000001000000": "::1",
    "0000000000000000FFFF00000100007F": "127.0.0.1",
}


class Listener(msgspec.Struct, frozen=True, kw_only=True):
    """A port that something listens on and loopback reaches. pid: whose, as far as it may be seen."""

    host: str
    port: int
    inode: int
    pid: int | None = None


def listening(proc: Path = Path("/proc")) -> tuple[Listener, ...]:
    """Ports that are listened on at loopback or every address; a port has one entry, IPv4 before IPv6."""
    found: dict[int, Listener] = {}
    for name in ("tcp", "tcp6"):
        for line in _lines(proc / "net" / name):
            listener = _listener(line)
            if listener is not None:
                found.setdefault(listener.port, listener)
    return tuple(found.values())


def _lines(path: Path) -> list[str]:
    try:
        with path.open("rb") as file:
            return file.read(_MAX_TABLE_BYTES).decode("ascii", "replace").splitlines()[1:]
    except OSError:
        return []


def _listener(line: str) -> Listener | None:
    fields = line.split()
    try:
        address, port = fields[1].split(":")
        if fields[3] != _LISTEN:
            return None
        host = _ANY.get(address) or _LOOPBACK.get(address)
        return None if host is None else Listener(host=host, port=int(port, 16), inode=int(fields[9]))
    except (IndexError, ValueError):
        return None


def candidates(proc: Path = Path("/proc")) -> tuple[Listener, ...]:
    """Listeners worth asking: of programs known to serve models, and of any at an engine's usual port.

    A server's other ports carry protocols of its own, between its processes: they are left in peace. Asked
    are those at a usual port, those that its command line names, and the only one that it has.
    """
    listeners = {one.inode: one for one in listening(proc)}
    if not listeners:
        return ()
    owned: dict[int, Listener] = {}
    for pid in servers(proc):
        own = _sockets(proc, pid) & listeners.keys()
        said = _numbers(_argv(proc, pid))
        for inode in own:
            port = listeners[inode].port
            if port in PORTS or port in said or len(own) == 1:
                owned[inode] = msgspec.structs.replace(listeners[inode], pid=pid)
    usual = [one for one in listeners.values() if one.port in PORTS and one.inode not in owned]
    return (*owned.values(), *usual)[:MAX_CANDIDATES]


def servers(proc: Path = Path("/proc")) -> tuple[int, ...]:
    """Processes whose own name or command line is of a program known to serve models."""
    return tuple(pid for pid in _pids(proc) if server_in(_what_runs(proc, pid)) is not None)


def program(pid: int, proc: Path = Path("/proc")) -> str | None:
    """Which program known to serve models a process runs, in our own word for it."""
    return server_in(_what_runs(proc, pid))


def unreached(proc: Path = Path("/proc")) -> tuple[str, ...]:
    """Of programs known to serve models, those of which no port can be asked, each with the reason.

    Such as one that loads, hangs while it shuts down, or listens at another address. Of a family of
    processes the first is named.
    """
    asked = {one.pid for one in candidates(proc)}
    # A process that has ended and is not waited for has no arguments.
    alive = [pid for pid in servers(proc) if _argv(proc, pid)]
    heads = [pid for pid in alive if not any(program(p, proc) for p in _ancestors(pid, proc)[1:])]
    silent = [pid for pid in heads if not any(p is not None and pid in _ancestors(p, proc) for p in asked)]
    return tuple(f"{program(pid, proc)}, pid {pid}: {_why_not(proc, pid)}" for pid in silent[:_MAX_NAMED])


def _why_not(proc: Path, pid: int) -> str:
    try:
        next((proc / str(pid) / "fd").iterdir(), None)
    except OSError:
        return "its ports cannot be seen (another user's process): name its URL"
    return "it listens on no port that loopback reaches: it loads, shuts down, or listens elsewhere"


def are_kin(one: int, other: int, proc: Path = Path("/proc")) -> bool:
    """Whether two processes are of one server: engines split themselves into a front and workers."""
    common = set(_ancestors(one, proc)) & set(_ancestors(other, proc))
    return one == other or any(program(pid, proc) is not None for pid in common)


def owner(inode: int, proc: Path = Path("/proc")) -> int | None:
    """The process that listens with this socket, as far as it may be seen. Reads every process's files."""
    return next((pid for pid in _pids(proc) if inode in _sockets(proc, pid)), None)


def is_alive(pid: int, proc: Path = Path("/proc")) -> bool:
    """Whether there is such a process."""
    return (proc / str(pid)).exists()


def _pids(proc: Path) -> list[int]:
    try:
        return sorted(int(entry.name) for entry in proc.iterdir() if entry.name.isdecimal())
    except OSError:
        return []


def _what_runs(proc: Path, pid: int) -> str:
    try:
        comm = (proc / str(pid) / "comm").read_text(errors="replace").strip()
    except OSError:
        return ""
    return commands.what_runs(_argv(proc, pid), comm)


def _argv(proc: Path, pid: int) -> list[str]:
    try:
        raw = (proc / str(pid) / "cmdline").read_bytes()[:_MAX_ARGV_BYTES]
    except OSError:
        return []
    return [word for word in raw.decode("utf-8", "replace").split("\0") if word]


def _numbers(argv: Iterable[str]) -> set[int]:
    """Numbers that a command line names, as in `--port 8001`, `--port=8001` or `0.0.0.0:8001`."""
    return {int(n) for word in argv for n in _PORT.findall(word)}


def _sockets(proc: Path, pid: int) -> set[int]:
    """Inodes of the process's sockets; none where it is another user's."""
    found: set[int] = set()
    try:
        for entry in (proc / str(pid) / "fd").iterdir():
            with contextlib.suppress(OSError):
                link = str(entry.readlink())
                if link.startswith("socket:[") and link[8:-1].isdecimal():
                    found.add(int(link[8:-1]))
    except OSError:
        return found
    return found


def devices_of(pid: int, holders: Mapping[str, Iterable[int]]) -> tuple[str, ...]:
    """Devices that the engine of process `pid` holds. holders: key of a device -> processes on it.

    Its own are those of its descendants, of itself, of its ancestors, and of the other children of an
    ancestor that is a server too: engines split themselves into a front and workers in all these ways.
    """
    mine = _ancestors(pid)
    launchers = {p for p in mine if server_in(_what_runs(Path("/proc"), p)) is not None} | {pid}
    found = []
    for key, pids in holders.items():
        if any(other in mine[:-1] or other == pid or launchers & set(_ancestors(other)) for other in pids):
            found.append(key)
    return tuple(found)


def _ancestors(pid: int, proc: Path = Path("/proc")) -> list[int]:
    """The process, its parent, and so on up to the first one, as far as they may be seen."""
    found = [pid]
    while found[-1] > 1 and len(found) < _MAX_DEPTH:
        stat = read_stat(proc / str(found[-1]) / "stat")
        if stat is None or stat.parent <= 0 or stat.parent in found:
            break
        found.append(stat.parent)
    return found
