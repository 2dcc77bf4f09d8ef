"""Probe `cores`: pairs and their classes, the compiled program, and what there is without one."""

from __future__ import annotations

import shutil
import stat
import subprocess
import tempfile
from pathlib import Path

import pytest

from probes import cores as module
from probes import hostfiles
from probes.cores import classes, compiled, cores, over_pairs, parsed, run, sample
from probes.lab import UnsupportedError
from tests.probes.cpu_lab import cpu_lab
from tests.probes.test_hostfiles import two_sockets

needs_cc = pytest.mark.skipif(not any(map(shutil.which, module.COMPILERS)), reason="no C compiler")
needs_two = pytest.mark.skipif(len(hostfiles.allowed_cores()) < 2, reason="one core only")


def test_classes_of_pairs(tmp_path: Path) -> None:
    found = classes(range(8), two_sockets(tmp_path))
    assert found["same core"] == [(0, 4), (1, 5), (2, 6), (3, 7)]
    assert found["same LLC"][:3] == [(0, 1), (0, 5), (1, 4)]
    assert {name: len(pairs) for name, pairs in found.items()} == {
        "same LLC": 8,
        "other socket": 16,
        "same core": 4,
    }


def test_caches_split_a_socket(tmp_path: Path) -> None:
    root = two_sockets(tmp_path)
    for core in (0, 1):
        (root / f"sys/devices/system/cpu/cpu{core}/cache/index3/shared_cpu_list").write_text(f"{core}\n")
    assert classes({0, 1}, root) == {"same socket": [(0, 1)]}


def test_without_topology_all_cores_are_of_one_socket(tmp_path: Path) -> None:
    assert classes({3, 1}, tmp_path) == {"same socket": [(1, 3)]}


def test_too_many_pairs_are_sampled_from_every_class(tmp_path: Path) -> None:
    found = classes(range(8), two_sockets(tmp_path))
    chosen = sample(found, 9, 0)
    assert {name: len(pairs) for name, pairs in chosen.items()} == dict.fromkeys(found, 3)
    assert all(set(chosen[name]) <= set(found[name]) for name in found)
    assert sample(found, 9, 0) == chosen
    assert sample(found, 28, 0) == found


def test_a_class_is_the_median_of_its_pairs_by_groups_of_windows() -> None:
    quick = [1.0, 1.0, 9.0, 1.0, 1.0] * 2
    assert over_pairs([quick, [2.0] * 10, [7.0] * 10]) == [2.0, 2.0]
    assert over_pairs([quick]) == [1.0, 1.0]


def test_only_whole_lines_of_figures_count() -> None:
    whole = " ".join(["50.0"] * module.WINDOWS)
    found = parsed(f"0,1 {whole}\n0,2\n0,3 50.0 50.0")
    assert list(found) == [(0, 1)]
    assert found[0, 1][0] == pytest.approx(50e-9)


@needs_cc
@needs_two
def test_end_to_end(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(module, "ROUNDS", 20)
    before = hostfiles.allowed_cores()
    (found,) = cores(cpu_lab())
    assert (found.probe, found.metric, found.unit, found.valid) == ("cores", "core_to_core", "s", "valid")
    assert found.median is not None
    assert found.median > 0
    assert found.conditions.tried
    assert found.conditions.extra["fastest_pair_s"] <= found.conditions.extra["slowest_pair_s"]
    assert list(tmp_path.iterdir()) == [], "nothing is left behind"
    assert hostfiles.allowed_cores() == before


@needs_cc
@needs_two
def test_a_core_that_may_not_be_used_is_left_out(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(module, "ROUNDS", 20)
    a, b = sorted(hostfiles.allowed_cores())[:2]
    taken = run(compiled(tmp_path), [(a, 9999), (a, b), (-1, b)], 10)
    assert list(taken) == [(a, b)]


@needs_cc
@needs_two
def test_pairs_that_were_done_before_the_limit_count(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    program = compiled(tmp_path)
    monkeypatch.setattr(module, "WINDOWS", 1)
    monkeypatch.setattr(module, "ROUNDS", 2_000_000_000)
    a, b = sorted(hostfiles.allowed_cores())[:2]
    assert run(program, [(a, b)], 1) == {}


@needs_cc
def test_the_program_refuses_nonsense(tmp_path: Path) -> None:
    program = str(compiled(tmp_path))
    for arguments in ([], ["1", "0", "1", "0,1"], ["1", "1", "0", "0,1"]):
        assert subprocess.run([program, *arguments], check=False).returncode == 2


def test_one_core_has_nobody_to_talk_to(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hostfiles, "allowed_cores", lambda: frozenset({0}))
    (found,) = cores(cpu_lab())
    assert found.valid == "unsupported"
    assert "two cores" in (found.reason or "")


@pytest.fixture
def two(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hostfiles, "allowed_cores", lambda: frozenset({0, 1}))


@pytest.mark.usefixtures("two")
def test_without_a_compiler_it_is_unsupported(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    (found,) = cores(cpu_lab())
    assert (found.valid, found.median) == ("unsupported", None)
    assert "needs a C compiler" in (found.reason or "")


@pytest.mark.usefixtures("two")
def test_a_broken_compiler_is_unsupported_and_quoted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    _script(tmp_path / "cc", "echo 'error: no headers' >&2; exit 1")
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    (found,) = cores(cpu_lab())
    assert found.valid == "unsupported"
    assert "no headers" in (found.reason or "")


@pytest.mark.usefixtures("two")
def test_a_program_that_breaks_is_a_failure(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(module, "compiled", lambda _: _script(tmp_path / "program", "exit 3"))
    (found,) = cores(cpu_lab())
    assert found.valid == "failed"
    assert "code 3" in (found.reason or "")


def test_temporary_files_that_may_not_run(tmp_path: Path) -> None:
    program = tmp_path / "program"
    program.write_text("")
    with pytest.raises(UnsupportedError, match="noexec"):
        run(program, [(0, 1)], 1)


def _script(path: Path, body: str) -> Path:
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path
