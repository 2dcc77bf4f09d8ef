"""`python -m benchmarks.traces.fuzz TRACE… [--inputs 100000] [--seed N]`: damaged traces in masses.

Each input is a trace cut down to some dozens of events and then damaged: bits flipped, bytes overwritten,
parts cut out, doubled or moved, numbers replaced by extreme ones, the end missing. Files keep their kind:
JSON, JSON under gzip (damaged before or after compression), SQLite. Each is read and analysed as by
`advisor trace`. There are three good outcomes: figures; figures with what was lost; a TraceError. Anything
else is kept under --keep and counted as a crash, a hang (over 10 s) or a figure that cannot be: a sum that
does not hold, a part above its whole, a time below zero. One input in 200 has 10,000 events.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import gzip
import multiprocessing
import random
import signal
import sqlite3
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any, cast

import msgspec

from advisor.traces.analyse import analyse
from advisor.traces.errors import TraceError
from advisor.traces.read import read
from benchmarks.traces.oracle import impossible

HANG_S = 10
EVENTS = 60
MANY = 10_000
ROWS = 30
GZIP = b"\x1f\x8b"
SQLITE = b"SQLite format 3\0"
EXTREMES = (
    b"-1", b"0", b"1e308", b"-1e308", b"9223372036854775807", b"-9223372036854775808",
    b"18446744073709551616",
    b"4600000000000000", b"-4600000000000000", b"1712195495519689.047", b"9007199254740993",
    b"1e15", b"4294967296", b"2147483647", b"1e-9", b"NaN", b"Infinity", b"null", b"true",
    b'""', b'"x"', b"[]", b"{}", b"1e-320", b"00", b"0x10",
)  # fmt: skip


class Hang(Exception):  # noqa: N818 - what happened, not what went wrong in here
    """An input took too long."""


def flip(data: bytearray, dice: random.Random) -> None:
    """Flip single bits."""
    for _ in range(dice.choice((1, 1, 2, 8, 64))):
        data[dice.randrange(len(data))] ^= 1 << dice.randrange(8)


def overwrite(data: bytearray, dice: random.Random) -> None:
    """Overwrite a stretch with noise, or with one byte."""
    at, length = dice.randrange(len(data)), dice.choice((1, 4, 16, 256))
    noise = dice.randbytes(length) if dice.random() < 0.5 else bytes([dice.randrange(256)]) * length
    data[at : at + length] = noise


def cut(data: bytearray, dice: random.Random) -> None:
    """Take a stretch out."""
    at = dice.randrange(len(data))
    del data[at : at + dice.choice((1, 3, 40, 1000))]


def truncate(data: bytearray, dice: random.Random) -> None:
    """Lose the end."""
    del data[dice.randrange(len(data)) :]


def double(data: bytearray, dice: random.Random) -> None:
    """Say a stretch twice, there or elsewhere."""
    at, to = dice.randrange(len(data)), dice.randrange(len(data))
    data[to:to] = data[at : at + dice.choice((1, 20, 500))]


def extreme(data: bytearray, dice: random.Random) -> None:
    """Replace a number by an extreme value, or by what is no number."""
    start = dice.randrange(len(data))
    at = next((i for i in range(start, len(data)) if 48 <= data[i] <= 57), None)
    if at is None:
        return
    end = next((i for i in range(at, len(data)) if data[i] not in b"0123456789.eE+-"), len(data))
    data[at:end] = dice.choice(EXTREMES)


DAMAGES: tuple[Callable[[bytearray, random.Random], None], ...] = (
    flip, overwrite, cut, truncate, double, extreme, extreme,
)  # fmt: skip


def damage(data: bytes, dice: random.Random) -> bytes:
    """The same bytes after one to four damages."""
    made = bytearray(data)
    for _ in range(dice.choice((1, 1, 2, 4))):
        if not made:
            break
        dice.choice(DAMAGES)(made, dice)
    return bytes(made)


def seeds(paths: list[Path], dice: random.Random) -> list[bytes]:
    """Each trace cut down to a small one of its kind, several times over."""
    found: list[bytes] = []
    for path in paths:
        raw = path.read_bytes()
        if raw.startswith(SQLITE):
            found.append(_small_sqlite(path))
        else:
            found += _small_json(gzip.decompress(raw) if raw.startswith(GZIP) else raw, dice)
    return found


def _small_json(text: bytes, dice: random.Random) -> list[bytes]:
    trace = cast("dict[str, Any]", msgspec.json.decode(text))
    events = trace["traceEvents"]
    made = []
    for _ in range(4):
        at = dice.randrange(max(1, len(events) - EVENTS))
        gpu = [e for e in events if str(e.get("cat", "")).lower() in {"kernel", "gpu_memcpy", "memcpy"}]
        some = [*events[:5], *events[at : at + EVENTS], *dice.sample(gpu, min(10, len(gpu)))]
        small = {key: value for key, value in trace.items() if key != "deviceProperties"}
        made.append(msgspec.json.encode({**small, "traceEvents": some}))
    return made


def large(data: bytes, dice: random.Random) -> bytes:
    """A small trace as one of MANY events, which no honest program makes: all at once, or one in another."""
    trace = cast("dict[str, Any]", msgspec.json.decode(data))
    events = [e for e in trace["traceEvents"] if e.get("ph") == "X"]
    nest = dice.random() < 0.5
    made = []
    for number in range(MANY):
        event = dict(dice.choice(events))
        if nest:
            event |= {"ts": number, "dur": 4 * MANY - 2 * number}
        elif dice.random() < 0.5:
            event["ts"] = dice.randrange(MANY)
        made.append(event)
    return msgspec.json.encode({**trace, "traceEvents": made})


def _small_sqlite(path: Path) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        small = Path(folder) / "small.sqlite"
        with contextlib.closing(sqlite3.connect(small)) as to:
            to.executescript(f"PRAGMA page_size=1024; ATTACH 'file:{path}?mode=ro' AS big")
            tables = to.execute("SELECT name FROM big.sqlite_master WHERE type='table'").fetchall()
            for (name,) in tables:
                to.execute(f'CREATE TABLE "{name}" AS SELECT * FROM big."{name}" LIMIT {ROWS}')  # noqa: S608
            to.commit()
            to.execute("DETACH big")
            to.execute("VACUUM")
        return small.read_bytes()


@contextlib.contextmanager
def alarm(seconds: int) -> Iterator[None]:
    """Raise Hang in the block after so many seconds."""

    def ring(_: int, frame: FrameType | None) -> None:
        del frame
        raise Hang

    before = signal.signal(signal.SIGALRM, ring)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def outcome(path: Path) -> str:
    """How reading and analysing one file ends."""
    try:
        with alarm(HANG_S):
            timeline = read(path)
            made = analyse([timeline], lambda *_: None)
    except TraceError:
        return "refused"
    except Hang:
        return "HANG"
    except Exception:
        return "CRASH " + traceback.format_exc(limit=-3)
    wrong = next((said for device in made.report.devices for said in impossible(device)), None)
    return f"WRONG {wrong}" if wrong else "partial" if timeline.losses else "figures"


def one(data: bytes, dice: random.Random) -> tuple[bytes, str]:
    """One damaged file: its bytes, and its suffix."""
    if data.startswith(SQLITE):
        return damage(data, dice), ".sqlite"
    if dice.random() < 0.005:
        return damage(large(data, dice), dice), ".json"
    if dice.random() < 0.2:
        packed = gzip.compress(damage(data, dice), 1)
        return (damage(packed, dice) if dice.random() < 0.5 else packed), ".json.gz"
    return damage(data, dice), ".json"


def work(job: tuple[int, int, list[bytes], Path]) -> tuple[collections.Counter[str], list[str]]:
    """Many inputs from one seed; what came of them, and what was kept of the bad ones."""
    seed, inputs, originals, keep = job
    dice = random.Random(seed)
    counted: collections.Counter[str] = collections.Counter()
    bad: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        for number in range(inputs):
            data, suffix = one(dice.choice(originals), dice)
            path = Path(folder) / f"trace{suffix}"
            path.write_bytes(data)
            came = outcome(path)
            counted[came.split(" ", 1)[0]] += 1
            if came.split(" ", 1)[0].isupper() and len(bad) < 20:
                kept = keep / f"{seed}-{number}{suffix}"
                kept.write_bytes(data)
                bad.append(f"{kept}: {came}")
    return counted, bad


def main() -> None:
    """Parse the command line and run; exits with 1 if any input ended badly."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("traces", type=Path, nargs="+")
    parser.add_argument("--inputs", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--workers", type=int, default=multiprocessing.cpu_count())
    parser.add_argument("--keep", type=Path, default=Path(tempfile.gettempdir()) / "advisor-fuzz")
    asked = parser.parse_args()
    asked.keep.mkdir(parents=True, exist_ok=True)
    originals = seeds(asked.traces, random.Random(asked.seed))
    batch = 500
    jobs = [(asked.seed + n, batch, originals, asked.keep) for n in range(-(-asked.inputs // batch))]
    begin = time.perf_counter()
    counted: collections.Counter[str] = collections.Counter()
    bad: list[str] = []
    with multiprocessing.get_context("spawn").Pool(asked.workers) as pool:
        for done, found in pool.imap_unordered(work, jobs):
            counted += done
            bad += found
    print(f"{sum(counted.values()):,} inputs in {time.perf_counter() - begin:.0f} s: {dict(counted)}")
    print("\n".join(bad[:40]))
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
