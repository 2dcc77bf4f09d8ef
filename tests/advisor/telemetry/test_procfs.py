"""Parsers of /proc, hostile names included."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from advisor.telemetry.procfs import parse_cpu_list, parse_stat, read_stat, read_text


def line(comm: str = "python", state: str = "S", user: int = 5, system: int = 7, start: int = 99) -> str:
    rest = [state, "1", "1", "1", "0", "-1", "4194560", "0", "0", "0", "0", str(user), str(system), "0", "0"]
    return f"42 ({comm}) " + " ".join([*rest, "20", "0", "3", "0", str(start), "0"])


@given(st.text(max_size=30))
def test_a_name_cannot_shift_the_fields(comm: str) -> None:
    stat = parse_stat(line(comm))
    assert (stat.pid, stat.comm, stat.parent, stat.threads, stat.start_ticks) == (42, comm, 1, 3, 99)
    assert stat.state == "sleeping"
    assert not stat.kernel_thread
    assert stat.cpu_s == pytest.approx(12 / os.sysconf("SC_CLK_TCK"))


@given(st.text())
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        parse_stat(text)


@given(st.sets(st.integers(0, 500)))
def test_cpu_lists_round_trip(cpus: set[int]) -> None:
    assert parse_cpu_list(",".join(str(cpu) for cpu in sorted(cpus))) == cpus


def test_cpu_ranges() -> None:
    assert parse_cpu_list("0-3,8,10-11\n") == {0, 1, 2, 3, 8, 10, 11}
    assert parse_cpu_list("0-1,x,5") == {0, 1, 5}
    for text in (None, "", "a", "3-1", "-4", "0-999999999"):
        assert parse_cpu_list(text) == frozenset()


@given(st.text() | st.text("0123456789-, x²"))
def test_any_cpu_list_is_read_without_an_error(text: str) -> None:
    assert all(0 <= cpu < 100_000 for cpu in parse_cpu_list(text))


def test_own_stat_is_read() -> None:
    stat = read_stat(f"/proc/{os.getpid()}/stat")
    assert stat is not None
    assert stat.pid == os.getpid()
    assert stat.parent == os.getppid()
    assert read_stat("/proc/0/stat") is None


def test_long_files_are_cut_at_the_limit(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("a" * 200_000)
    assert len(read_text(tmp_path / "x", 100_000)) == 100_000
    assert len(read_text(tmp_path / "x")) == 200_000
