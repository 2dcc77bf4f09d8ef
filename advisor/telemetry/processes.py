"""Processes on the GPUs: who they are, what job they belong to, and what their threads and children do."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Set
from pathlib import Path, PurePosixPath

import msgspec

from advisor.reports.escape import terminal
from advisor.telemetry import cgroups, commands, jobs, procfs
from advisor.telemetry.procfs import Stat, noted
from advisor.telemetry.proctable import (
    BUSY_CORES,
    THREADS_READ,
    Look,
    Rates,
    Scanner,
    Table,
    read_io,
    read_threads,
)
from advisor.telemetry.records import ProcessSample
from advisor.telemetry.users import UserNames
from rules.servers import server_in

NO_WAITS = "no count of its waits for a CPU between two looks"
FIRST_LOOK = "first look: a rate needs two"
TOO_SOON = "less than 0.1 s since the previous look"
OTHER_NAMESPACE = "not visible from this PID namespace (the driver reports the host's process ids)"
GONE = "the process has ended, or /proc hides it (mounted with hidepid)"
NO_SERVER = "no program known to serve requests in its command line or a parent's"
NO_STATUS = "/proc/<pid>/status cannot be read"
NO_AFFINITY = "which CPUs are near this device is not known"
NO_PARTITION = "its environment names no Slurm partition, or cannot be read"
NO_IO = "no permission to read /proc/<pid>/io (another user's process)"

# CPU time is counted in ticks of 10 ms; below ten of them a share says little.
_SHORTEST_S = 0.1
# The inode of the initial PID namespace is fixed by the kernel (PROC_PID_INIT_INO).
_INITIAL_NAMESPACE = "pid:[4026531836]"
_COMMAND_LINE_LIMIT = 64 * 1024
_FROM_PROC = tuple(
    name
    for name in ProcessSample.__struct_fields__
    if name not in ("key", "pid", "name", "mem_used_bytes", "sm_frac", "missing")
)


class GpuProcess(msgspec.Struct, frozen=True, kw_only=True):
    """What the driver says of one process on one device. key: the device's UUID."""

    key: str
    pid: int
    mem_used_bytes: int | None = None
    sm_frac: float | None = None
    driver_name: str | None = None


class ProcessReader:
    """Looks at GPU processes through /proc below `root`. One reader per stream: rates need its memory.

    confirm_pids: in a container's PID namespace, trust a pid only when that process has a GPU open, since
    the driver may be naming a process of the host with the same number. False for a simulated driver.
    """

    def __init__(
        self,
        root: Path = Path("/"),
        clock: Callable[[], float] = time.monotonic,
        users: UserNames | None = None,
        confirm_pids: bool = True,
    ) -> None:
        self._proc = root / "proc"
        self._clock = clock
        self._users = users or UserNames()
        self._cgroups = cgroups.Cgroups(root)
        self._scanner = Scanner(self._proc)
        self._other_namespace = self._in_other_namespace()
        self._confirm = confirm_pids and self._other_namespace
        self._jobs: dict[tuple[int, int], tuple[str | None, str | None]] = {}
        self._previous: Look | None = None

    def look(
        self, entries: Iterable[GpuProcess], numa_cpus: Mapping[str, frozenset[int]] | None = None
    ) -> tuple[ProcessSample, ...]:
        """One sample per entry, in order. numa_cpus: device key -> the CPUs near that device.

        CPU, I/O and switch rates are since the previous call; a process's first look has none and says so.
        I/O is the process's and its children's together, since data loaders read in children. Children that
        use a GPU themselves are counted as processes of their own alone.
        """
        wanted = tuple(entries)
        if not wanted:
            self._previous = None
            return ()
        table = self._scanner.scan()
        now = Look(t_s=self._clock(), cpu_s={stat.identity: stat.cpu_s for stat in table.stats.values()})
        before, why = self._baseline(now)
        view = _View(table, now, Rates(before, now), why)
        known = {entry.pid: stat for entry in wanted if (stat := self._known(entry, table)) is not None}
        seen = {pid: self._process(stat, known.keys(), view) for pid, stat in known.items()}
        self._jobs = {one: job for one, job in self._jobs.items() if one in now.cpu_s}
        return tuple(
            self._sample(
                entry,
                seen.get(entry.pid),
                view.allowed.get(entry.pid, frozenset()),
                (numa_cpus or {}).get(entry.key),
            )
            for entry in wanted
        )

    def _baseline(self, now: Look) -> tuple[Look | None, str]:
        """The look to take rates against, or why there is none. A look that came too soon is not kept."""
        before = self._previous
        if before is not None and now.t_s - before.t_s < _SHORTEST_S:
            return None, TOO_SOON
        self._previous = now
        return before, FIRST_LOOK

    def _known(self, entry: GpuProcess, table: Table) -> Stat | None:
        """The process in the table, if it is there and is the one the driver means."""
        stat = table.stats.get(entry.pid)
        folder = self._proc / str(entry.pid)
        if stat is None or (self._confirm and not _holds_gpu(folder, stat, entry.driver_name)):
            return None
        return stat

    def _process(self, stat: Stat, gpu_pids: Set[int], view: _View) -> ProcessSample:
        """What /proc says of a process, without a device.

        Descendants that use a GPU themselves are no helpers of it (a rank that started the others), so they
        and what they started are left out of its children.
        """
        folder = self._proc / str(stat.pid)
        status = procfs.parse_fields(procfs.read_or_none(folder / "status") or "")
        cgroup_text = procfs.read_or_none(folder / "cgroup") or ""
        family = view.table.descendants(stat.pid, without=gpu_pids)
        threads = read_threads(folder)
        self._count(view.now, stat, family, threads, status, cgroup_text)
        self._count_waits(view, stat, family, threads)
        view.allowed[stat.pid] = procfs.parse_cpu_list(status.get("Cpus_allowed_list"))
        argv = _argv(folder)
        missing: dict[str, str] = {}
        facts = (
            self._who(stat, argv, status, cgroup_text, view.table, missing)
            | _own(stat, threads, view, missing)
            | _children(family, view, missing)
            | _input_output([stat, *family], view, missing)
            | _limits(stat, view, missing)
        )
        cpus = view.allowed[stat.pid]
        facts["cpus_allowed"] = noted(missing, "cpus_allowed", len(cpus) if cpus else None, NO_STATUS)
        return msgspec.convert({"key": "", "pid": stat.pid, **facts, "missing": missing}, ProcessSample)

    def _count(
        self,
        now: Look,
        stat: Stat,
        family: list[Stat],
        threads: list[Stat],
        status: dict[str, str],
        cgroup_text: str,
    ) -> None:
        """Take down the counters of one process, for its rates now and at the next look."""
        now.threads.update((thread.identity, thread) for thread in threads)
        switches = status.get("voluntary_ctxt_switches", "")
        if switches.isdecimal():
            now.switches[stat.identity] = int(switches)
        for one in (stat, *family):
            if one.identity not in now.io and (io := read_io(self._proc / str(one.pid))) is not None:
                now.io[one.identity] = io
        now.limits[stat.identity] = self._cgroups.limits(cgroup_text)

    def _count_waits(self, view: _View, stat: Stat, family: list[Stat], threads: list[Stat]) -> None:
        """Waits for a CPU, of children and of threads that ran since the look before: idle ones have none."""
        task = self._proc / str(stat.pid) / "task"
        places = [(one, task / str(one.pid)) for one in threads if view.rates.ran(one)]
        places += [(one, self._proc / str(one.pid)) for one in family]
        for one, folder in places:
            if (waited := procfs.read_wait_s(folder / "schedstat")) is not None:
                view.now.waits[one.identity] = waited

    def _who(
        self,
        stat: Stat,
        argv: list[str],
        status: dict[str, str],
        cgroup_text: str,
        table: Table,
        missing: dict[str, str],
    ) -> dict[str, object]:
        """Name, command, user, job and its partition."""
        uid = status.get("Uid", "").split()[:1]
        user = terminal(self._users.of(int(uid[0]))) if uid else None
        command = commands.short_command(argv)
        job, partition = self._job(stat, cgroup_text)
        return {
            "name": self._name(stat, argv, table),
            "server": noted(missing, "server", self._server(stat, argv, table), NO_SERVER),
            "command": noted(missing, "command", command, "no command line (a zombie, or cleared by itself)"),
            "user": noted(missing, "user", user, NO_STATUS),
            "job": noted(missing, "job", job, "no Slurm job, pod or container seen"),
            "partition": noted(missing, "partition", partition, NO_PARTITION),
        }

    def _name(self, stat: Stat, argv: list[str], table: Table) -> str:
        """A worker that multiprocessing spawned is called after the nearest ancestor that is not one."""
        name = commands.process_name(argv, stat.comm)
        for _ in range(8):
            parent = table.stats.get(stat.parent)
            if name != commands.SPAWNED or parent is None:
                break
            stat = parent
            name = commands.process_name(_argv(self._proc / str(stat.pid)), stat.comm)
        return name

    def _server(self, stat: Stat, argv: list[str], table: Table) -> str | None:
        """The server that it is a process of: servers give their workers names that say nothing."""
        found = server_in(commands.what_runs(argv, stat.comm))
        for _ in range(8):
            parent = table.stats.get(stat.parent)
            if found is not None or parent is None:
                break
            stat = parent
            found = server_in(commands.what_runs(_argv(self._proc / str(stat.pid)), stat.comm))
        return found

    def _job(self, stat: Stat, cgroup_text: str) -> tuple[str | None, str | None]:
        """A process's job and partition. They do not change, and its environment is read once."""
        if stat.identity not in self._jobs:
            slurm = jobs.slurm_variables(self._proc / str(stat.pid))
            self._jobs[stat.identity] = (jobs.job_of(cgroup_text, slurm.job_id), slurm.partition)
        return self._jobs[stat.identity]

    def _sample(
        self,
        entry: GpuProcess,
        facts: ProcessSample | None,
        allowed: frozenset[int],
        near: frozenset[int] | None,
    ) -> ProcessSample:
        """Facts of the process joined with what the driver says of it on one device."""
        facts = facts or self._unseen(entry)
        missing = dict(facts.missing)
        remote = len(allowed - near) / len(allowed) if allowed and near else None
        noted(missing, "remote_numa_frac", remote, missing.get("cpus_allowed", NO_AFFINITY))
        noted(missing, "mem_used_bytes", entry.mem_used_bytes, "the driver does not say")
        noted(missing, "sm_frac", entry.sm_frac, "the driver does not say")
        return msgspec.structs.replace(
            facts,
            key=entry.key,
            mem_used_bytes=entry.mem_used_bytes,
            sm_frac=entry.sm_frac,
            remote_numa_frac=remote,
            missing=missing,
        )

    def _unseen(self, entry: GpuProcess) -> ProcessSample:
        reason = OTHER_NAMESPACE if self._other_namespace else GONE
        name = commands.process_name([entry.driver_name] if entry.driver_name else [], f"pid {entry.pid}")
        return ProcessSample(key="", pid=entry.pid, name=name, missing=dict.fromkeys(_FROM_PROC, reason))

    def _in_other_namespace(self) -> bool:
        try:
            return (self._proc / "self/ns/pid").readlink().name != _INITIAL_NAMESPACE
        except OSError:
            return False


class _View(msgspec.Struct):
    """One look, as the functions below read it."""

    table: Table
    now: Look
    rates: Rates
    why: str
    allowed: dict[int, frozenset[int]] = msgspec.field(default_factory=dict)


def _argv(folder: Path) -> list[str]:
    try:
        text = procfs.read_text(folder / "cmdline", _COMMAND_LINE_LIMIT)
    except OSError:
        return []
    return text.rstrip("\0").split("\0") if text.strip("\0") else []


def _holds_gpu(folder: Path, stat: Stat, driver_name: str | None) -> bool:
    """Whether a process has a GPU open; where that may not be seen, whether the driver calls it the same."""
    try:
        return any(str(link.readlink()).startswith("/dev/nvidia") for link in (folder / "fd").iterdir())
    except PermissionError:
        return driver_name is not None and PurePosixPath(driver_name).name[:15] == stat.comm
    except OSError:
        return False


def _own(stat: Stat, threads: list[Stat], view: _View, missing: dict[str, str]) -> dict[str, object]:
    """The process itself and its busiest thread. Switches are those of its main thread."""
    busiest = view.rates.busiest(threads)
    if stat.threads > THREADS_READ and busiest.frac is not None:
        missing["busiest_thread_frac"] = f"at least this: {THREADS_READ} of {stat.threads} threads were read"
    idle = "the busiest thread used no CPU" if busiest.frac == 0 else view.why
    return {
        "state": stat.state,
        "threads": stat.threads,
        "cpu_frac": noted(missing, "cpu_frac", view.rates.cpu(stat), view.why),
        "busiest_thread_frac": noted(missing, "busiest_thread_frac", busiest.frac, view.why),
        "busiest_thread_wait_frac": noted(missing, "busiest_thread_wait_frac", busiest.wait_frac, NO_WAITS),
        "busiest_thread_system_frac": noted(missing, "busiest_thread_system_frac", busiest.system_frac, idle),
        "voluntary_switches_s": noted(
            missing, "voluntary_switches_s", view.rates.switches(stat.identity), view.why
        ),
    }


def _children(family: list[Stat], view: _View, missing: dict[str, str]) -> dict[str, object]:
    used = [(share, one) for one in family if (share := view.rates.cpu(one)) is not None]
    why = view.why if family else "it has no children"
    together = sum(share for share, _ in used) if used else None
    # On a crowded node no worker reaches a whole core; one that waits for a CPU is as busy.
    wanted = [share + (view.rates.waited(one) or 0.0) for share, one in used]
    busy = sum(share >= BUSY_CORES for share in wanted) if used or not family else None
    return {
        "children": len(family),
        "children_busy": noted(missing, "children_busy", busy, why),
        "children_cpu_frac": noted(missing, "children_cpu_frac", together, why),
        "children_dstate": sum(one.state == "disk-sleep" for one in family),
    }


def _input_output(family: list[Stat], view: _View, missing: dict[str, str]) -> dict[str, object]:
    rates = view.rates.io([one.identity for one in family])
    why = view.why if family[0].identity in view.now.io else NO_IO
    read, written = rates if rates is not None else (None, None)
    return {
        "io_read_bytes_s": noted(missing, "io_read_bytes_s", read, why),
        "io_write_bytes_s": noted(missing, "io_write_bytes_s", written, why),
    }


def _limits(stat: Stat, view: _View, missing: dict[str, str]) -> dict[str, object]:
    """The CPU quota of the process's own cgroup, and the share of time it was throttled by it."""
    limits, before = view.now.limits[stat.identity], view.rates.limits_before(stat.identity)
    throttled = cgroups.throttled_frac(before, limits, view.rates.elapsed_s) if before is not None else None
    why = view.why if limits.has_counters else limits.reason or cgroups.NO_COUNTERS
    return {
        "throttled_frac": noted(missing, "throttled_frac", throttled, why),
        "cpu_quota_cores": noted(
            missing, "cpu_quota_cores", limits.quota_cores, limits.reason or cgroups.NO_QUOTA
        ),
    }
