"""A process that decodes stretches of one file and sends their columns back; started by `workers`.

On stdin: one line of JSON with the limits, then per stretch a Task as JSON, its length before it, and its
text where the parent has it. On stdout, per stretch: a pickled Reply, its length before it. Ends with stdin.
"""

from __future__ import annotations

import os
import pickle
import struct
import sys
from dataclasses import dataclass
from itertools import islice
from typing import IO, Any

import msgspec

from advisor.traces.kineto.columns import Block
from advisor.traces.kineto.decode import Decoder
from advisor.traces.limits import Limits

LENGTH = struct.Struct("<Q")


class Task(msgspec.Struct):
    """A stretch of text. size: bytes of it that follow the task; 0 where the worker reads the file itself."""

    index: int
    start: int
    end: int
    last: bool
    size: int = 0


@dataclass(slots=True)
class Reply:
    """Columns of a stretch, and the names, threads and shapes that were numbered since the last reply."""

    index: int
    end: int
    block: Block
    names: list[str]
    threads: list[tuple[Any, Any]]
    shapes: list[tuple[int, bytes, bytes, bytes]]


class Teller:
    """A decoder that tells what it numbered since it was last asked."""

    def __init__(self, limits: Limits) -> None:
        self._decoder = Decoder(limits)
        self._told = [0, 0, 0]

    def reply(self, task: Task, text: bytes) -> Reply:
        """The stretch's columns."""
        block = self._decoder.block(text, task.start, last=task.last)
        tables = self._decoder.tables
        news = [
            list(islice(table, told, None))
            for table, told in zip((tables.names, tables.threads, tables.shapes), self._told, strict=True)
        ]
        self._told = [told + len(new) for told, new in zip(self._told, news, strict=True)]
        return Reply(task.index, task.end, block, *news)


def main() -> None:
    """Serves the parent until it closes the pipe. The file is inherited as an open descriptor: argv[1]."""
    fd = int(sys.argv[1])
    tasks, replies = sys.stdin.buffer, sys.stdout.buffer
    teller = Teller(msgspec.convert(msgspec.json.decode(tasks.readline()), Limits))
    while (body := receive(tasks)) is not None:
        task = msgspec.json.decode(body, type=Task)
        text = tasks.read(task.size) if task.size else _read(fd, task.start, task.end)
        send(replies, pickle.dumps(teller.reply(task, text), protocol=5))


def send(pipe: IO[bytes], body: bytes) -> None:
    """A message with its length before it."""
    pipe.write(LENGTH.pack(len(body)))
    pipe.write(body)
    pipe.flush()


def receive(pipe: IO[bytes]) -> bytes | None:
    """The next message; None where the other side is gone."""
    head = pipe.read(LENGTH.size)
    if len(head) < LENGTH.size:
        return None
    size: int = LENGTH.unpack(head)[0]
    body = pipe.read(size)
    return body if len(body) == size else None


def _read(fd: int, start: int, end: int) -> bytes:
    parts = []
    while start < end and (part := os.pread(fd, end - start, start)):
        parts.append(part)
        start += len(part)
    return b"".join(parts)


if __name__ == "__main__":
    try:
        main()
    except (BrokenPipeError, KeyboardInterrupt):
        sys.exit(1)
