"""The CPU as a device: its name and key, and what is missing."""

from __future__ import annotations

from pathlib import Path

import pytest

from probes import hostfiles
from probes.cpu_facts import cpu_facts, cpuinfo, name
from tests.probes.test_cgroups import version2
from tests.probes.test_hostfiles import two_sockets, write

X86 = (
    "processor\t: 0\nvendor_id\t: GenuineIntel\nmodel name\t: Intel(R)  Xeon(R) 8480+\nmicrocode\t: {}\n\n"
    "processor\t: 1\nmodel name\t: another"
)
ARM = "processor\t: 0\nCPU implementer\t: {}\nCPU part\t: {}\n"


@pytest.fixture(autouse=True)
def cores_0_and_2(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hostfiles, "allowed_cores", lambda: frozenset({0, 2}))


def test_a_known_host(tmp_path: Path) -> None:
    root = two_sockets(tmp_path)
    write(root, {"proc/cpuinfo": X86.format("0x1"), "proc/meminfo": "MemTotal: 100 kB\nMemAvailable: 50 kB"})
    facts = cpu_facts(root)
    assert (facts.kind, facts.index, facts.name) == ("cpu", None, "Intel(R) Xeon(R) 8480+")
    assert (facts.cores, facts.l2_bytes) == (2, 64 << 20)
    assert (facts.memory_total_bytes, facts.memory_free_bytes) == (102400, 51200)
    assert facts.missing == {}


def test_the_key_stays_with_new_microcode_and_changes_with_the_host(tmp_path: Path) -> None:
    root = write(tmp_path, {"proc/cpuinfo": X86.format("0x1"), "etc/machine-id": "abc"})
    first = cpu_facts(root).key
    write(root, {"proc/cpuinfo": X86.format("0x2")})
    assert cpu_facts(root).key == first
    write(root, {"etc/machine-id": "def"})
    assert cpu_facts(root).key != first


def test_the_key_hides_the_machines_id(tmp_path: Path) -> None:
    key = cpu_facts(write(tmp_path, {"etc/machine-id": "0123456789abcdef" * 2})).key
    assert key.startswith("cpu:")
    assert "0123456789abcdef" not in key


def test_the_key_does_not_depend_on_allowed_cores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = two_sockets(tmp_path)
    first = cpu_facts(root)
    monkeypatch.setattr(hostfiles, "allowed_cores", lambda: frozenset({0}))
    assert cpu_facts(root).key == first.key
    assert cpu_facts(root).cores == 1


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (ARM.format("0x41", "0xd4f"), "Neoverse V2"),
        (ARM.format("0x48", "0xd4f"), "ARM implementer 0x48 part 0xd4f"),
        ("cpu\t: POWER9, altivec supported", "POWER9, altivec supported"),
    ],
)
def test_names_without_a_model_name(text: str, expected: str) -> None:
    assert name(cpuinfo(text)) == expected


def test_an_empty_tree_gives_reasons(tmp_path: Path) -> None:
    facts = cpu_facts(tmp_path)
    assert facts.name.startswith("unknown ")
    assert set(facts.missing) == {"l2_bytes", "memory_total_bytes", "memory_free_bytes"}


def test_a_cgroups_memory_counts_where_it_is_less(tmp_path: Path) -> None:
    root = version2(tmp_path, {"pod/box/memory.max": "40960", "pod/box/memory.current": "8192"})
    write(root, {"proc/meminfo": "MemTotal: 100 kB\nMemAvailable: 16 kB"})
    facts = cpu_facts(root)
    assert (facts.memory_total_bytes, facts.memory_free_bytes) == (40960, 16384)
