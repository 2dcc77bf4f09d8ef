"""Processes to be asked, as they are made up."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from advisor.traces.ondemand.target import Target

LISTENS = {"KINETO_USE_DAEMON": "1"}


def who_is(pid: int, folder: Path | None) -> Target:
    """A process of this user, which looks for the daemon in `folder`."""
    where = None if folder is None else str(folder)
    return Target(pid=pid, inner_pid=pid, socket_dir=where, uid=os.geteuid(), gid=os.getegid())


@contextmanager
def helper(
    code: str, environment: Mapping[str, str] | None = None, words: Sequence[str] = ()
) -> Iterator[subprocess.Popen[bytes]]:
    """A Python process that runs until the block ends, or until its code does; words: more of its command."""
    started = subprocess.Popen(
        [sys.executable, "-c", code, *words],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={"PATH": os.defpath, **(environment or {})},
    )
    try:
        yield started
    finally:
        started.kill()
        started.communicate()
