"""Probe `cores`: how long a message takes from one core to another through a shared cache line.

Two pinned threads hand a line back and forth (core_to_core.c). Interpreted code is too slow to see that, so
the program is compiled when it is needed; without a C compiler there is no figure.
"""

from __future__ import annotations

import random
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from probes import hostfiles
from probes.hostfiles import ROOT
from probes.lab import UnsupportedError
from probes.record import Conditions, Mode
from probes.stats import quantile

if TYPE_CHECKING:
    from probes.lab import Lab
    from probes.record import Measurement

Pair = tuple[int, int]
# By distance; the headline is the nearest of these that has two cores of their own.
CLASSES = ("same LLC", "same socket", "other socket", "same core")
COMPILERS = ("cc", "gcc", "clang")
SOURCE = Path(__file__).with_name("core_to_core.c")
_FLAGS = ("-std=gnu11", "-O2", "-pthread")
_COMPILE_S = 20.0
# A pair takes some 50 ms; this is for hosts that are busy with other things.
_LIMIT_S = 30
# A window of messages takes 0.1 to 0.5 ms: few meet a timer interrupt, and medians leave those out.
ROUNDS, WINDOWS, GROUP = 1_000, 100, 5
_PAIRS: dict[Mode, int] = {"quick": 16, "default": 64, "full": 256}


def cores(lab: Lab) -> Iterator[Measurement]:
    """One-way message latency between two cores, by how near they are."""
    lab.say("core to core", 0.0)
    yield from lab.attempt("core_to_core", lambda: core_to_core(lab))


def core_to_core(lab: Lab) -> Measurement:
    """The figure of the nearest class of pairs; `tried` has each class's median over its pairs.

    Raises UnsupportedError with one allowed core, without a compiler, or where nothing may be executed.
    """
    allowed = hostfiles.allowed_cores()
    if len(allowed) < 2:
        raise UnsupportedError("needs two cores; this process may use one only")
    chosen = sample(classes(allowed), _PAIRS[lab.plan.mode], lab.plan.seed)
    pairs = [pair for members in chosen.values() for pair in members]
    with tempfile.TemporaryDirectory(prefix="advisor-cores-") as folder:
        program = compiled(Path(folder))
        taken, seen = lab.metered(lambda: run(program, pairs, _LIMIT_S), quiet=True)
    by_class = {name: rows for name, members in chosen.items() if (rows := _rows(members, taken))}
    if not by_class:
        raise RuntimeError("no pair of cores gave a figure")
    nearest = next(name for name in CLASSES if name in by_class)
    told = _conditions(nearest, by_class, len(pairs))
    return lab.record("core_to_core", over_pairs(by_class[nearest]), None, seen, told)


def classes(cores: Iterable[int], root: Path = ROOT) -> dict[str, list[Pair]]:
    """All pairs of these hardware threads by class; classes without a pair are left out."""
    allowed = sorted(cores)
    where = {core: _place(core, root) for core in allowed}
    found: dict[str, list[Pair]] = {}
    for pair in combinations(allowed, 2):
        found.setdefault(_class(where[pair[0]], where[pair[1]]), []).append(pair)
    return {name: found[name] for name in CLASSES if name in found}


def sample(found: dict[str, list[Pair]], most: int, seed: int) -> dict[str, list[Pair]]:
    """All pairs where there are no more than `most`, else as many of each class, chosen by `seed`."""
    if sum(map(len, found.values())) <= most:
        return found
    each = max(1, most // len(found))
    pick = random.Random(seed)  # noqa: S311
    return {name: sorted(pick.sample(pairs, min(each, len(pairs)))) for name, pairs in found.items()}


def compiled(folder: Path) -> Path:
    """The program, built in `folder`. Raises UnsupportedError without a compiler or if it cannot build it."""
    compiler = next((path for name in COMPILERS if (path := shutil.which(name))), None)
    if compiler is None:
        raise UnsupportedError(f"needs a C compiler ({', '.join(COMPILERS)})")
    program = folder / "core_to_core"
    command = [compiler, *_FLAGS, "-o", str(program), str(SOURCE)]
    try:
        subprocess.run(command, check=True, capture_output=True, text=True, timeout=_COMPILE_S)
    except subprocess.CalledProcessError as error:
        said = next((line for line in error.stderr.splitlines() if "error" in line), "no message")
        raise UnsupportedError(f"the C compiler cannot build the program: {said[:120]}") from error
    except subprocess.TimeoutExpired as error:
        raise UnsupportedError(f"the C compiler took more than {_COMPILE_S:g} s") from error
    return program


def run(program: Path, pairs: Sequence[Pair], limit_s: int) -> dict[Pair, list[float]]:
    """Seconds a message took, by pair and window; pairs that took too long or were refused are left out.

    Raises UnsupportedError where the program may not be executed, RuntimeError if it broke.
    """
    named = [f"{a},{b}" for a, b in pairs]
    command = [str(program), str(limit_s), str(WINDOWS), str(ROUNDS), *named]
    try:
        # The program ends itself at its limit, by SIGALRM, and so outlives nobody for long.
        done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=limit_s + 5)
    except PermissionError as error:
        raise UnsupportedError("temporary files may not be executed (noexec)") from error
    if done.returncode not in (0, -signal.SIGALRM):
        raise RuntimeError(f"core_to_core ended with code {done.returncode}")
    return parsed(done.stdout)


def parsed(text: str) -> dict[Pair, list[float]]:
    """The program's whole lines of figures, in seconds."""
    taken: dict[Pair, list[float]] = {}
    for line in text.splitlines():
        pair, *figures = line.split()
        if len(figures) == WINDOWS:
            a, b = pair.split(",")
            taken[int(a), int(b)] = [float(figure) * 1e-9 for figure in figures]
    return taken


def over_pairs(rows: Sequence[Sequence[float]]) -> list[float]:
    """A class's figures, one for each group of windows: of each pair the median, and of the pairs too."""
    groups = [[quantile(row[at : at + GROUP], 0.5) for at in range(0, len(row), GROUP)] for row in rows]
    return [quantile(column, 0.5) for column in zip(*groups, strict=True)]


def _conditions(nearest: str, by_class: dict[str, list[list[float]]], asked: int) -> Conditions:
    medians = {name: quantile(over_pairs(rows), 0.5) for name, rows in by_class.items()}
    every = [quantile(row, 0.5) for rows in by_class.values() for row in rows]
    missing = {} if len(every) == asked else {"pairs": f"{asked - len(every)} of {asked} gave no figure"}
    return Conditions(
        method=f"cache line handed back and forth by two pinned threads, halved; cores of the {nearest}",
        shape=f"{len(by_class[nearest])} pairs, {WINDOWS} x {ROUNDS} round trips",
        calls=ROUNDS,
        tried=medians,
        extra={"pairs": float(len(every)), "fastest_pair_s": min(every), "slowest_pair_s": max(every)},
        missing=missing,
    )


def _rows(members: Iterable[Pair], taken: dict[Pair, list[float]]) -> list[list[float]]:
    return [taken[pair] for pair in members if pair in taken]


class _Place(NamedTuple):
    """Where a hardware thread is: what shares its core and its last-level cache, and its socket."""

    core: frozenset[int]
    cache: frozenset[int] | None
    socket: int | None


def _place(core: int, root: Path) -> _Place:
    cache = hostfiles.last_level(core, root)
    return _Place(hostfiles.siblings(core, root), cache and cache[0], hostfiles.package(core, root))


def _class(a: _Place, b: _Place) -> str:
    """Unknown sockets are taken for one: a machine that hides them has one in nearly all cases."""
    if a.core == b.core:
        return "same core"
    if a.cache is not None and a.cache == b.cache:
        return "same LLC"
    return "same socket" if a.socket == b.socket else "other socket"
