"""Probes that go wrong in every way, run by the real worker through a target, as those of the registry."""

from __future__ import annotations

import atexit
import ctypes
import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

from probes.lab import Lab, UnsupportedError
from probes.record import Kind, Measurement
from probes.registry import Probe

# Where a probe writes the ids of its processes, a line each.
PIDS = "FAULTY_PIDS"
SLEEP_S = 60.0


def probe(name: str, *, kind: Kind = "cpu", budget_s: float = 2.0, module: str = __name__) -> Probe:
    """The probe of this name; its function is called so too, up to the first dash."""
    target = f"{module}:{name.partition('-')[0]}"
    return Probe(name=name, kind=kind, title=name, target=target, budget_s=budget_s)


def figure(value: float = 1e9, **fields: object) -> Measurement:
    """A record that the sanity rules leave alone."""
    return Measurement(probe="membw", metric="host_copy", unit="bytes_s", median=value, **fields)  # type: ignore[arg-type]


def _note_pids(*pids: int) -> None:
    if path := os.environ.get(PIDS):
        with Path(path).open("a") as file:
            file.write("".join(f"{pid}\n" for pid in (os.getpid(), *pids)))


def _events_fd() -> int:
    """The pipe of the events: the only one of this process that is not one of the standard three."""
    pipes = [fd for fd in range(3, 64) if _is_pipe(fd)]
    assert len(pipes) == 1
    return pipes[0]


def _is_pipe(fd: int) -> bool:
    try:
        return stat.S_ISFIFO(os.fstat(fd).st_mode)
    except OSError:
        return False


def good(lab: Lab) -> Iterator[Measurement]:
    """Measures."""
    lab.say("copying", 0.5)
    sys.stdout.write("a library that prints on stdout\n")
    yield figure()


def killed(_lab: Lab) -> Iterator[Measurement]:
    """Is killed, as the kernel does when memory runs out."""
    yield figure()
    sys.stderr.write("about to need a lot of memory\n")
    sys.stderr.flush()
    os.kill(os.getpid(), signal.SIGKILL)


def exit137(_lab: Lab) -> Iterator[Measurement]:
    """Ends as a shell reports a kill."""
    yield from ()
    os._exit(137)


def segfault(lab: Lab) -> Iterator[Measurement]:
    """Reads address 0."""
    yield from ()
    lab.say("the third kernel", 0.1)
    ctypes.string_at(0)


def hang(lab: Lab) -> Iterator[Measurement]:
    """Does not end, nor does a child it has."""
    child = subprocess.Popen([sys.executable, "-c", f"import time; time.sleep({SLEEP_S})"])
    _note_pids(child.pid)
    lab.say("waiting for the driver", 0.2)
    yield figure()
    time.sleep(SLEEP_S)


def lingers(_lab: Lab) -> Iterator[Measurement]:
    """Gives all it has, and then keeps the process from ending."""
    yield figure()
    _note_pids()
    atexit.register(time.sleep, SLEEP_S)


def memory(_lab: Lab) -> Iterator[Measurement]:
    """Python finds no memory."""
    yield from ()
    raise MemoryError


def raising(_lab: Lab) -> Iterator[Measurement]:
    """Raises half way, hostile text."""
    yield figure()
    raise RuntimeError("first line \ud800\nsecond line")


def unsupported(_lab: Lab) -> Iterator[Measurement]:
    """Is not for this machine."""
    yield from ()
    raise UnsupportedError("needs a card with wings")


def torchless(lab: Lab) -> Iterator[Measurement]:
    """Needs torch."""
    yield figure(float(lab.torch.ones(1).sum()))


def slow(lab: Lab) -> Iterator[Measurement]:
    """Takes longer than the whole run may."""
    time.sleep(0.6)
    yield figure(100 + lab.time_left_s())


def garbage(_lab: Lab) -> Iterator[Measurement]:
    """Writes no JSON where events go."""
    yield figure()
    os.write(_events_fd(), b'{"type": "result", "measurement": {\n')
    time.sleep(SLEEP_S)


def endless(_lab: Lab) -> Iterator[Measurement]:
    """Writes a line without end."""
    yield from ()
    while True:
        os.write(_events_fd(), b"x" * 65536)


def quits(_lab: Lab) -> Iterator[Measurement]:
    """Ends the process as if all were well."""
    yield from ()
    os._exit(0)


def infinite(_lab: Lab) -> Iterator[Measurement]:
    """Divides by nothing."""
    yield figure(float("inf"))
    yield figure(float("nan"))


def lost(_lab: Lab) -> Iterator[Measurement]:
    """Loses the device."""
    yield from ()
    raise RuntimeError("CUDA error: an illegal memory access was encountered\nCUDA kernel errors ...")


def orphaning(_lab: Lab) -> Iterator[Measurement]:
    """Forks a child that keeps the pipe of the events open, then crashes."""
    yield from ()
    child = os.fork()
    if child == 0:
        time.sleep(SLEEP_S)
        os._exit(0)
    _note_pids(child)
    os.abort()


def versions(lab: Lab) -> Iterator[Measurement]:
    """Tells what it was given."""
    lab.say(f"{os.environ.get('CUDA_VISIBLE_DEVICES')} {lab.device} {lab.facts.sm_count}", 1.0)
    yield figure()


def never(_lab: Lab) -> NoReturn:
    """Must not run."""
    raise AssertionError("this probe must not run")
