"""Who else used the cores: ticks of a made-up /proc/stat, and a neighbour on this machine."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from probes.hostload import HostLoad

TICKS_S = os.sysconf("SC_CLK_TCK")


class Machine:
    """A host of two cores whose clocks are ours."""

    def __init__(self, root: Path) -> None:
        self.root = root
        (root / "proc").mkdir()
        self.wall_s = self.own_s = 0.0
        self.spend({0: 0.0, 1: 0.0})

    def spend(self, busy_s: dict[int, float], **other: float) -> None:
        steal = round(other.get("steal_s", 0.0) * TICKS_S)
        lines = [f"cpu{core} {round(s * TICKS_S)} 0 0 777 888 0 0 {steal} 5 0" for core, s in busy_s.items()]
        (self.root / "proc/stat").write_text("\n".join(["cpu 1 2 3", *lines, "intr 5", ""]))

    def load(self, *cores: int) -> HostLoad:
        return HostLoad(cores, self.root, clock=lambda: self.wall_s, own=lambda: self.own_s)


def test_others_are_what_is_not_our_own(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    load = machine.load(0, 1)
    machine.wall_s, machine.own_s = 10.0, 12.0
    machine.spend({0: 10.0, 1: 8.0})
    assert load.lap() == pytest.approx(0.3)
    machine.wall_s, machine.own_s = 20.0, 22.0
    machine.spend({0: 20.0, 1: 9.0})
    assert load.contended() is None


def test_what_a_hypervisor_takes_counts_and_waiting_for_disks_does_not(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    load = machine.load(0, 1)
    machine.wall_s = 10.0
    machine.spend({0: 0.0, 1: 0.0}, steal_s=2.0)
    assert load.contended() == "others kept 0.4 of 2 cores busy meanwhile"


def test_only_our_cores_are_looked_at(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    load = machine.load(1)
    machine.wall_s = 10.0
    machine.spend({0: 10.0, 1: 0.0})
    assert load.lap() == 0.0


def test_a_short_look_goes_on_into_the_next(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    load = machine.load(0, 1)
    machine.wall_s = 0.1
    machine.spend({0: 0.1, 1: 0.1})
    assert load.lap() is None
    machine.wall_s = 1.0
    machine.spend({0: 1.0, 1: 1.0})
    assert load.lap() == pytest.approx(1.0)


def test_cores_that_are_not_listed_say_nothing(tmp_path: Path) -> None:
    load = Machine(tmp_path).load(0, 7)
    assert load.missing is not None
    assert load.lap() is None
    assert load.contended() is None


def test_a_neighbour_on_our_core_is_seen() -> None:
    core = min(os.sched_getaffinity(0))
    code = f"import os, time\nos.sched_setaffinity(0, [{core}])\nend = time.time() + 20\n"
    code += "while time.time() < end: pass"
    neighbour = subprocess.Popen([sys.executable, "-c", code])
    try:
        time.sleep(0.3)
        load = HostLoad([core])
        time.sleep(1.0)
        frac = load.lap()
    finally:
        neighbour.kill()
        neighbour.wait()
    assert frac is not None and frac > 0.3
