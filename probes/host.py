"""Probe `host`: how fast Python runs on one thread, what the GIL costs, and what CPU the scheduler gives."""

from __future__ import annotations

import platform
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import msgspec

from probes import hostfiles
from probes.cgroups import NO_COUNTERS, CpuQuota, cpu_quota
from probes.lab import unsteady, values
from probes.record import Conditions, Mode
from probes.stats import quantile
from probes.timing import Call, CpuTimer, Policy, Windows, timed

if TYPE_CHECKING:
    from probes.lab import Lab
    from probes.record import Measurement

# Of the loop below; another loop is another method, and its figures do not compare.
LOOP_VERSION = 1
STEPS = 20_000
# Long enough for a timer interrupt not to matter.
_WINDOW_S = 5e-3
# Many times the 5 ms after which CPython hands the GIL on; a cgroup's period, so that a quota shows.
_CONTENDED_S: dict[Mode, float] = {"quick": 0.02, "default": 0.05, "full": 0.05}
_SHARE_S = 0.1
_WINDOWS: dict[Mode, int] = {"quick": 2, "default": 6, "full": 20}
# Fewer where the time is over, or where quick mode leaves no more.
_SHARE_WINDOWS: dict[Mode, int] = {"quick": 1, "default": 6, "full": 20}
_LONGEST_S: dict[Mode, float] = {"quick": 0.05, "default": 0.3, "full": 1.5}
_WARM_S = 0.02
_QUICK_WINDOWS = 10


def host(lab: Lab) -> Iterator[Measurement]:
    """Single-thread Python speed, what remains of it beside a busy thread, and a busy thread's CPU share."""
    before = cpu_quota()
    lab.say("Python on one thread", 0.0)
    yield from lab.attempt("python_thread", lambda: python_thread(lab))
    lab.say("Python beside a busy thread", 0.4)
    yield from lab.attempt("python_contended", lambda: python_contended(lab))
    lab.say("CPU share", 0.8)
    yield from lab.attempt("cpu_share", lambda: cpu_share(lab, before))


def python_thread(lab: Lab) -> Measurement:
    """Steps of a plain loop a second, pure Python."""
    policy = _policy(lab)

    def look() -> Windows:
        return timed(CpuTimer(), lambda: loop(STEPS), policy)

    windows, seen = lab.metered(look, quiet=True)
    rerun = unsteady(windows, seen) and lab.time_left_s() > policy.total_s
    if rerun:
        windows, seen = lab.metered(look, quiet=True)
    figures = values("python_thread", windows, STEPS)
    return lab.record("python_thread", figures, windows, seen, Conditions(method=loop_method(), rerun=rerun))


def python_contended(lab: Lab) -> Measurement:
    """The share of its speed that the loop keeps while another Python thread runs it too.

    Alone and contended windows alternate. About a half is the GIL's doing, or that of a single core.
    """
    steps = _steps_in(_CONTENDED_S[lab.plan.mode])
    alone: list[float] = []

    def look() -> Windows:
        taken: list[float] = []
        while not _enough(lab, len(taken), _WINDOWS):
            alone.append(_elapsed(lambda: loop(steps)))
            with busy_thread():
                taken.append(_elapsed(lambda: loop(steps)))
        return Windows(call_s=tuple(taken), calls=1)

    windows, seen = lab.metered(look, quiet=True)
    alone_s = quantile(alone, 0.5)
    figures = [alone_s / taken for taken in windows.call_s]
    extra = {"gil": float(gil_enabled()), "switch_interval_s": sys.getswitchinterval()}
    extra["cores_allowed"] = float(len(hostfiles.allowed_cores()))
    text = f"{loop_method()}, beside one more thread that runs it, {gil_words()}"
    return lab.record("python_contended", figures, windows, seen, Conditions(method=text, extra=extra))


def cpu_share(lab: Lab, before: CpuQuota) -> Measurement:
    """CPU time over wall time of a thread that never waits: less than 1 is what others or a quota take."""
    figures: list[float] = []

    def look() -> Windows:
        taken: list[float] = []
        while not _enough(lab, len(taken), _SHARE_WINDOWS):
            wall_s, share = _share(_SHARE_S)
            taken.append(wall_s)
            figures.append(share)
        return Windows(call_s=tuple(taken), calls=1)

    windows, seen = lab.metered(look, quiet=True)
    told = surroundings(lab, before, cpu_quota())
    method = "thread CPU time over wall time of a spinning thread"
    return lab.record("cpu_share", figures, windows, seen, msgspec.structs.replace(told, method=method))


def _policy(lab: Lab) -> Policy:
    """The mode's, with windows long enough, and no longer in all than a loop that needs no settling."""
    policy = lab.policy
    return msgspec.structs.replace(
        policy,
        windows=min(policy.windows, _QUICK_WINDOWS) if lab.plan.mode == "quick" else policy.windows,
        window_s=_WINDOW_S,
        total_s=min(policy.total_s, _LONGEST_S[lab.plan.mode]),
        warm_s=min(policy.warm_s, _WARM_S),
    )


def _enough(lab: Lab, done: int, wanted: dict[Mode, int]) -> bool:
    """Whether all windows are done, or one is and the time is over."""
    return done >= wanted[lab.plan.mode] or (done > 0 and lab.time_left_s() <= 0)


def surroundings(lab: Lab, before: CpuQuota, after: CpuQuota) -> Conditions:
    """What the host gives this process: quota and throttling during the probe, cores, governor, SMT, NUMA."""
    allowed, online = hostfiles.allowed_cores(), hostfiles.online_cores()
    nodes, governor = hostfiles.numa_nodes(), hostfiles.governors(allowed)
    smt = hostfiles.smt_active()
    extra: dict[str, float | None] = {
        "cores_allowed": len(allowed),
        "cores_online": len(online) or None,
        "smt": None if smt is None else float(smt),
        "numa_nodes": len(nodes) or None,
        "governor_performance_frac": _frac(list(governor.values()), "performance"),
        "cgroup_quota_cores": after.cores,
        "throttled_periods": _growth(before.throttled_periods, after.throttled_periods),
        "throttled_s": _growth(before.throttled_s, after.throttled_s),
    }
    if lab.facts.kind == "cuda":
        extra["gpu_node_cores_frac"] = near_gpu(lab.facts.numa_node, allowed, nodes)
    why = {**_WHY, **lab.facts.missing, **after.missing}
    return Conditions(
        shape=_words(sorted(set(governor.values())), len(allowed), len(online)),
        extra={name: float(value) for name, value in extra.items() if value is not None},
        missing={name: why[_SAME.get(name, name)] for name, value in extra.items() if value is None},
    )


_WHY = {
    "cores_online": "/sys/devices/system/cpu/online cannot be read",
    "smt": "/sys/devices/system/cpu/smt cannot be read",
    "numa_nodes": "/sys/devices/system/node shows no nodes",
    "governor_performance_frac": "no frequency governor is visible (a virtual machine or container)",
    "numa_node": "the GPU's NUMA node has no cores that can be seen",
    "throttled_periods": NO_COUNTERS,
}
# Figures that are missing for another's reason.
_SAME = {"gpu_node_cores_frac": "numa_node", "throttled_s": "throttled_periods"}


def near_gpu(node: int | None, allowed: frozenset[int], nodes: dict[int, frozenset[int]]) -> float | None:
    """Share of the allowed cores that are on the GPU's NUMA node; None where the node is unknown."""
    if node is None or not nodes.get(node) or not allowed:
        return None
    return len(allowed & nodes[node]) / len(allowed)


def loop(steps: int) -> int:
    """The measured loop: a multiplication, an addition and a mask on small integers each step."""
    x = 1
    for _ in range(steps):
        x = (x * 3 + 1) & 0xFFFF
    return x


def loop_method() -> str:
    """The loop's version and the interpreter that runs it."""
    return f"Python loop v{LOOP_VERSION}, {platform.python_implementation()} {platform.python_version()}"


def gil_enabled() -> bool:
    """False on a free-threaded build that runs without the GIL."""
    enabled: Callable[[], bool] | None = getattr(sys, "_is_gil_enabled", None)
    return enabled is None or enabled()


def gil_words() -> str:
    """Whether threads take turns here."""
    return "with the GIL" if gil_enabled() else "free-threaded (no GIL)"


@contextmanager
def busy_thread() -> Iterator[None]:
    """A Python thread that runs the loop until the block ends, however it ends."""
    over, running = threading.Event(), threading.Event()

    def spin() -> None:
        running.set()
        while not over.is_set():
            loop(100)

    thread = threading.Thread(target=spin, name="busy", daemon=True)
    thread.start()
    try:
        running.wait()
        yield
    finally:
        over.set()
        thread.join()


def _steps_in(seconds: float) -> int:
    """How many steps fill that time, from a short look."""
    once_s = min(_elapsed(lambda: loop(STEPS)) for _ in range(5))
    return max(STEPS, round(STEPS * seconds / once_s))


def _elapsed(call: Call) -> float:
    begin = time.perf_counter()
    call()
    return time.perf_counter() - begin


def _share(seconds: float) -> tuple[float, float]:
    """Wall seconds spun, and the CPU time over them."""
    wall, cpu = time.perf_counter(), time.thread_time()
    while time.perf_counter() - wall < seconds:
        pass
    wall_s, cpu_s = time.perf_counter() - wall, time.thread_time() - cpu
    return wall_s, min(1.0, cpu_s / wall_s)


def _growth(before: float | None, after: float | None) -> float | None:
    return None if before is None or after is None else max(0, after - before)


def _frac(found: list[str], wanted: str) -> float | None:
    return found.count(wanted) / len(found) if found else None


def _words(governors: list[str], allowed: int, online: int) -> str:
    governor = f", governor {'/'.join(governors)}" if governors else ""
    return f"{allowed} of {online or 'unknown'} cores{governor}"
