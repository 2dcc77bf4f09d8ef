"""How long the program takes to start, beside bare Python and Textual's own import, as medians and ratios.

`python benchmarks/cold_start.py [--runs N] [--json]`. Informational: clocks of a shared machine are noisy.
The first frame of the live screen is the demo's, timed from the start of the process to the first bytes of
the overview on a pseudo-terminal of 80x24.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import json
import os
import pty
import select
import statistics
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Sequence
from pathlib import Path

# Aims in milliseconds, on an otherwise idle machine.
TARGET_MS = {"advisor --version": 80.0, "advisor diagnose --help": 150.0, "advisor demo, first frame": 400.0}
BARE = "python -c pass"
# Something only a drawn overview shows: the footer's key for leaving.
DRAWN = (b"quit", b"Quit")
GIVE_UP_S = 30.0


def script() -> list[str]:
    """The installed `advisor` of this environment."""
    found = Path(sys.executable).parent / "advisor"
    return [str(found)] if found.exists() else [sys.executable, "-m", "advisor"]


def wall_ms(argv: Sequence[str]) -> float:
    """Milliseconds from start to end of a process."""
    begin = time.perf_counter()
    subprocess.run(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
    return (time.perf_counter() - begin) * 1000


def first_frame_ms(argv: Sequence[str]) -> float:
    """Milliseconds until the screen has drawn its overview on a pseudo-terminal."""
    begin = time.perf_counter()
    pid, terminal = pty.fork()
    if pid == 0:
        os.environ.update(TERM="xterm-256color", COLUMNS="80", LINES="24")
        os.execvp(argv[0], list(argv))  # noqa: S606 - a command of our own
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    try:
        return _until_drawn(terminal, begin)
    finally:
        _end(pid, terminal)


def _until_drawn(terminal: int, begin: float) -> float:
    seen = b""
    while time.perf_counter() - begin < GIVE_UP_S:
        if not select.select([terminal], [], [], 0.5)[0]:
            continue
        seen += os.read(terminal, 1 << 16)
        if any(mark in seen for mark in DRAWN):
            return (time.perf_counter() - begin) * 1000
    raise RuntimeError(f"no frame within {GIVE_UP_S:.0f} s; the terminal got {seen[-300:]!r}")


def _end(pid: int, terminal: int) -> None:
    """Quit as a person would, and make sure of it."""
    with contextlib.suppress(OSError):
        os.write(terminal, b"q")
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError):
            if select.select([terminal], [], [], 0.05)[0]:
                os.read(terminal, 1 << 16)
        if os.waitpid(pid, os.WNOHANG)[0]:
            break
    else:
        os.kill(pid, 9)
        os.waitpid(pid, 0)
    os.close(terminal)


def measure(runs: int) -> dict[str, float]:
    """Median milliseconds of each start. Rounds are interleaved, so that a busy spell hits all alike."""
    advisor = script()
    cases: dict[str, Callable[[], float]] = {
        BARE: lambda: wall_ms([sys.executable, "-c", "pass"]),
        "advisor --version": lambda: wall_ms([*advisor, "--version"]),
        "advisor diagnose --help": lambda: wall_ms([*advisor, "diagnose", "--help"]),
        "advisor rules": lambda: wall_ms([*advisor, "rules"]),
        "python -c 'import textual.app'": lambda: wall_ms([sys.executable, "-c", "import textual.app"]),
        "advisor demo, first frame": lambda: first_frame_ms([*advisor, "demo"]),
    }
    times: dict[str, list[float]] = {name: [] for name in cases}
    for case in cases.values():
        case()  # compiles bytecode and fills the page cache
    for _ in range(runs):
        for name, case in cases.items():
            times[name].append(case())
    return {name: statistics.median(values) for name, values in times.items()}


def table(medians: dict[str, float]) -> str:
    """Markdown: median, ratio to bare Python, and the aim."""
    bare = medians[BARE]
    lines = ["| start | median | x bare Python | aim |", "|---|---:|---:|---:|"]
    for name, median in medians.items():
        aim = f"<= {TARGET_MS[name]:.0f} ms" if name in TARGET_MS else ""
        lines.append(f"| `{name}` | {median:.0f} ms | {median / bare:.1f} | {aim} |")
    return "\n".join(lines)


def main() -> int:
    """Measure and print; the exit code is 0 whatever the clocks say."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=11, help="rounds (default 11)")
    parser.add_argument("--json", action="store_true", help="print milliseconds as JSON")
    options = parser.parse_args()
    medians = measure(options.runs)
    print(json.dumps(medians, indent=2) if options.json else table(medians))
    return 0


if __name__ == "__main__":
    sys.exit(main())
