"""What passes between a reader and the processes that decode for it."""

from __future__ import annotations

import struct
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


def send(pipe: IO[bytes], body: bytes) -> None:
    """A message with its length before it."""
    pipe.write(LENGTH.pack(len(body)))
    pipe.write(body)
    pipe.flush()


def receive(pipe: IO[bytes]) -> bytes | bytearray | None:
    """The next message; None where the other side is gone."""
    head = _exactly(pipe, LENGTH.size)
    return None if head is None else _exactly(pipe, LENGTH.unpack(head)[0])


def _exactly(pipe: IO[bytes], size: int) -> bytes | bytearray | None:
    """So many bytes and not one more, also of a pipe that gives what it has."""
    body = bytearray(size)
    left = memoryview(body)
    while left:
        got = pipe.readinto(left)  # type: ignore[attr-defined]
        if not got:
            return None
        left = left[got:]
    return body
