"""Writes a corpus of simulated recordings in the layout of benchmarks/workloads/spec.py."""

from __future__ import annotations

import math
import random
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

from advisor.telemetry.recording import Recorder
from advisor.telemetry.records import Message
from benchmarks.accuracy.simulated import device_programs, host_programs, probe
from benchmarks.accuracy.simulated.account import account, truth
from benchmarks.accuracy.simulated.card import card_of
from benchmarks.accuracy.simulated.program import Program
from benchmarks.accuracy.simulated.stream import INTERVAL_S, KEY, START_S, Recording
from benchmarks.accuracy.simulated.timeline import Run, play
from benchmarks.workloads.spec import Session, Truth
from probes.ceilings import Ceilings

DEVICE = "SIMULATED H100-like card"
SHORTEST_S = 2.0


class Made(msgspec.Struct, frozen=True, kw_only=True):
    """One simulated run, with what is filed of it. messages: its stream, to be gone through once."""

    run: Run
    truth: Truth
    messages: Iterator[Message]


def programs(seed: int = 0) -> dict[str, Program]:
    """Every simulated program by name, for the card of this seed."""
    card = card_of(seed)
    found = (*host_programs.programs(card), *device_programs.programs(card))
    return {program.name: program for program in found}


def made(name: str, seed: int = 0, seconds: float = 20.0) -> Made:
    """Simulate one program. The same arguments give the same result. KeyError for an unknown name."""
    program, card = programs(seed)[name], card_of(seed)
    return _made(program, seed, seconds, probe.ceilings(card, KEY, START_S - 3600.0))


def _made(program: Program, seed: int, seconds: float, ceilings: Ceilings) -> Made:
    rng = random.Random(f"{seed} {program.name}")
    run = play(program, card_of(seed), math.floor(seconds / INTERVAL_S) * INTERVAL_S, rng)
    pid = rng.randrange(20_000, 90_000)
    counted = account(run, pid if program.process else None)
    return Made(
        run=run,
        truth=truth(run, counted, ceilings, f"{program.name}.jsonl.gz"),
        messages=Recording(run, pid, ceilings, rng).messages(),
    )


def make(folder: Path, seed: int = 0, names: Iterable[str] | None = None, seconds: float = 20.0) -> None:
    """Write a corpus: session.json, and for each program its recording and its truth.

    seed: one card, and one variation of each program. names: all when None. seconds: of each recording, down
    to whole ones. ValueError for an unknown name, or for less than SHORTEST_S seconds. Existing
    files of the same names are written over.
    """
    known = programs(seed)
    wanted = list(known) if names is None else list(names)
    unknown = sorted(set(wanted) - set(known))
    if unknown:
        raise ValueError(f"no simulated workload is called {', '.join(unknown)}; known: {', '.join(known)}")
    if not SHORTEST_S <= seconds < 3600.0:
        raise ValueError(f"{seconds:g} s is no length for a recording: {SHORTEST_S:g} s to an hour")
    folder.mkdir(parents=True, exist_ok=True)
    ceilings = probe.ceilings(card_of(seed), KEY, START_S - 3600.0)
    for name in wanted:
        _write(folder, _made(known[name], seed, seconds, ceilings))
    _write_json(folder / "session.json", session(seed, seconds))


def session(seed: int, seconds: float) -> Session:
    """What is filed of how a corpus was made."""
    return Session(
        device=DEVICE,
        date="simulated",
        driver=None,
        torch=None,
        cupy=None,
        synthetic=True,
        seconds=seconds,
        command=f"python -m benchmarks.accuracy.simulated --out DIR --seed {seed} --seconds {seconds:g}",
    )


def _write(folder: Path, one: Made) -> None:
    with Recorder(folder / one.truth.recording, overwrite=True) as recorder:
        for message in one.messages:
            recorder.write(message)
    _write_json(folder / f"{one.truth.name}.truth.json", one.truth)


def _write_json(path: Path, record: msgspec.Struct) -> None:
    path.write_bytes(msgspec.json.format(msgspec.json.encode(record), indent=1) + b"\n")
