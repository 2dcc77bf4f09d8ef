"""Stretches of a file decoded by several processes, or by this one; the result is the same.

A process that dies is not started again: what it had not answered is decoded here.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import selectors
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import asdict
from io import BufferedReader
from pathlib import Path
from typing import IO, cast

import msgspec

import advisor
from advisor.traces.kineto.messages import Reply, Task, Teller, receive, send
from advisor.traces.kineto.pieces import Piece
from advisor.traces.kineto.source import Source
from advisor.traces.limits import Limits

# Who made a reply (its numbers are its own), and the reply. False: no more is wanted.
Take = Callable[[int, Reply], bool]
HERE = -1


def decode_here(source: Source, pieces: Iterator[Piece], limits: Limits, take: Take) -> None:
    """Decodes stretches one after the other in this process."""
    teller = Teller(limits)
    for piece in pieces:
        if not take(HERE, teller.reply(_task(piece), source.window(piece.start, piece.end - piece.start))):
            return


def decode_apart(
    source: Source, fd: int, pieces: Iterator[Piece], limits: Limits, take: Take, processes: int
) -> None:
    """Decodes stretches in several processes; `take` is called in the order of the file."""
    pool = _Pool(source, fd, limits, processes)
    try:
        pool.run(pieces, take)
    finally:
        pool.close()


class _Worker:
    """One process, and the stretches that it has not answered yet."""

    def __init__(self, fd: int, limits: Limits) -> None:
        self.tasks: deque[tuple[Task, bytes]] = deque()
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-m", "advisor.traces.kineto.worker", str(fd)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            pass_fds=(fd,),
            start_new_session=True,
            env=_environment(),
        )
        assert self.process.stdin is not None and self.process.stdout is not None  # noqa: S101
        self.stdin = self.process.stdin
        # Unbuffered: a reply in a buffer is none that a selector would see, and would be waited for forever.
        self.stdout: IO[bytes] = cast("IO[bytes]", cast("BufferedReader", self.process.stdout).raw)
        with contextlib.suppress(OSError):
            self.stdin.write(msgspec.json.encode(asdict(limits)) + b"\n")
            self.stdin.flush()

    def give(self, task: Task, text: bytes) -> bool:
        """Sends a task; False where the process is gone. It counts as not answered either way."""
        self.tasks.append((task, text))
        try:
            send(self.stdin, msgspec.json.encode(task))
            self.stdin.write(text)
            self.stdin.flush()
        except OSError:
            return False
        return True

    def answer(self) -> Reply | None:
        """The next reply; None where the process is gone."""
        body = receive(self.stdout)
        if body is None:
            return None
        self.tasks.popleft()
        reply: Reply = pickle.loads(body)  # noqa: S301  our own child's
        return reply

    def close(self) -> None:
        """Ends the process."""
        for pipe in (self.stdin, self.stdout):
            with contextlib.suppress(OSError):
                pipe.close()
        self.process.kill()
        self.process.wait()


class _Pool:
    def __init__(self, source: Source, fd: int, limits: Limits, processes: int) -> None:
        self._source = source
        self._limits = limits
        self._here: Teller | None = None
        self._ready: dict[int, tuple[int, Reply]] = {}
        self._next = 0
        # Text in a pipe may not be waited for by both sides at once; without text both hold two tasks.
        self._each = 2 if source.plain else 1
        self._selector = selectors.DefaultSelector()
        self._workers: dict[int, _Worker] = {}
        try:
            for number in range(processes):
                self._workers[number] = worker = _Worker(fd, limits)
                self._selector.register(worker.stdout, selectors.EVENT_READ, number)
        except OSError:
            pass  # no more processes are to be had: those that are there do it, or this one
        except BaseException:
            self.close()
            raise

    def run(self, pieces: Iterator[Piece], take: Take) -> None:
        for piece in pieces:
            self._give(piece)
            while len(self._workers) and self._waiting() >= self._each * len(self._workers):
                self._collect(None)
            self._collect(0)
            if not self._taken(take):
                return
        while self._waiting():
            self._collect(None)
            if not self._taken(take):
                return
        self._taken(take)

    def close(self) -> None:
        self._selector.close()
        for worker in self._workers.values():
            worker.close()

    def _give(self, piece: Piece) -> None:
        task = _task(piece)
        number = min(self._workers, key=lambda n: len(self._workers[n].tasks), default=None)
        if number is None:
            self._do_here(task, b"")
            return
        text = b"" if self._source.plain else self._source.window(piece.start, piece.end - piece.start)
        task.size = len(text)
        if not self._workers[number].give(task, text):
            self._bury(number)

    def _collect(self, timeout_s: float | None) -> None:
        """Takes the replies that are there; waits for one first."""
        for key, _ in self._selector.select(timeout_s) if self._workers else ():
            number: int = key.data
            reply = self._workers[number].answer()
            if reply is None:
                self._bury(number)
            else:
                self._ready[reply.index] = (number, reply)

    def _bury(self, number: int) -> None:
        """Does here what a process left undone."""
        worker = self._workers.pop(number)
        self._selector.unregister(worker.stdout)
        worker.close()
        for task, text in worker.tasks:
            self._do_here(task, text)

    def _do_here(self, task: Task, text: bytes) -> None:
        self._here = self._here or Teller(self._limits)
        text = text or self._source.window(task.start, task.end - task.start)
        self._ready[task.index] = (HERE, self._here.reply(task, text))

    def _taken(self, take: Take) -> bool:
        while self._next in self._ready:
            if not take(*self._ready.pop(self._next)):
                return False
            self._next += 1
        return True

    def _waiting(self) -> int:
        return sum(len(worker.tasks) for worker in self._workers.values())


def _task(piece: Piece) -> Task:
    return Task(piece.index, piece.start, piece.end, piece.last)


def _environment() -> dict[str, str]:
    """This process's environment; from a source tree that is not installed, also the way back to it."""
    environment = dict(os.environ)
    tree = str(Path(advisor.__file__).parent.parent)
    earlier = environment.get("PYTHONPATH")
    environment["PYTHONPATH"] = f"{earlier}{os.pathsep}{tree}" if earlier else tree
    return environment | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
