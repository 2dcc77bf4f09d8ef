"""A process that decodes stretches of one file and sends their columns back; started by `workers`.

On stdin: one line of JSON with the limits, then per stretch a Task as JSON, its length before it, and its
text where the parent has it. On stdout, per stretch: a pickled Reply, its length before it. Ends with stdin.
"""

from __future__ import annotations

import os
import pickle
import sys

import msgspec

from advisor.traces.kineto.messages import Task, Teller, receive, send
from advisor.traces.limits import Limits


def main() -> None:
    """Serves the parent until it closes the pipe. The file is inherited as an open descriptor: argv[1]."""
    fd = int(sys.argv[1])
    tasks, replies = sys.stdin.buffer, sys.stdout.buffer
    teller = Teller(msgspec.convert(msgspec.json.decode(tasks.readline()), Limits))
    while (body := receive(tasks)) is not None:
        task = msgspec.json.decode(body, type=Task)
        text = tasks.read(task.size) if task.size else _read(fd, task.start, task.end)
        send(replies, pickle.dumps(teller.reply(task, text), protocol=5))


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
