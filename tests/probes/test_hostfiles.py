"""/proc and /sys, from trees as machines show them."""

from __future__ import annotations

from pathlib import Path

import pytest

from probes import hostfiles


def write(root: Path, files: dict[str, str]) -> Path:
    """Files below `root`, each with a new line at the end as the kernel writes them."""
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")
    return root


CPU = "sys/devices/system/cpu"


def two_sockets(root: Path) -> Path:
    """Two sockets of two cores with two threads: 0 and 4 share a core, 0, 1, 4 and 5 a socket and its L3."""
    files = {f"{CPU}/online": "0-7", f"{CPU}/smt/active": "1"}
    for core in range(8):
        socket = core % 4 // 2
        mates = f"{2 * socket}-{2 * socket + 1},{2 * socket + 4}-{2 * socket + 5}"
        cache = f"{CPU}/cpu{core}/cache"
        files |= {
            f"{CPU}/cpu{core}/topology/thread_siblings_list": f"{core % 4},{core % 4 + 4}",
            f"{CPU}/cpu{core}/topology/physical_package_id": str(socket),
            f"{cache}/index0/level": "1",
            f"{cache}/index0/type": "Instruction",
            f"{cache}/index0/size": "32K",
            f"{cache}/index3/level": "3",
            f"{cache}/index3/type": "Unified",
            f"{cache}/index3/size": "32768K",
            f"{cache}/index3/shared_cpu_list": mates,
            f"{CPU}/cpu{core}/cpufreq/scaling_governor": "powersave" if core else "performance",
        }
    for node in range(2):
        files[f"sys/devices/system/node/node{node}/cpulist"] = (
            f"{2 * node}-{2 * node + 1},{2 * node + 4}-{2 * node + 5}"
        )
    return write(root, files)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0-3,8", {0, 1, 2, 3, 8}),
        ("5", {5}),
        ("", set()),
        (None, set()),
        ("x,2,-1,3-,0x4", {2}),
    ],
)
def test_lists_of_cores(text: str | None, expected: set[int]) -> None:
    assert hostfiles.cpu_list(text) == expected


def test_threads_of_a_core_count_once(tmp_path: Path) -> None:
    root = two_sockets(tmp_path)
    assert hostfiles.siblings(1, root) == {1, 5}
    assert hostfiles.one_per_core({0, 1, 4, 5, 7}, root) == (0, 1, 7)
    assert hostfiles.smt_active(root) is True


def test_caches_count_once_for_all_who_share_them(tmp_path: Path) -> None:
    root = two_sockets(tmp_path)
    assert hostfiles.cache_bytes({0, 1, 4}, root) == 32 << 20
    assert hostfiles.cache_bytes({0, 2}, root) == 64 << 20
    assert hostfiles.last_level(3, root) == (frozenset({2, 3, 6, 7}), 32 << 20)


def test_nodes_sockets_and_governors(tmp_path: Path) -> None:
    root = two_sockets(tmp_path)
    assert hostfiles.numa_nodes(root) == {0: {0, 1, 4, 5}, 1: {2, 3, 6, 7}}
    assert [hostfiles.package(core, root) for core in (0, 3, 6)] == [0, 1, 1]
    assert hostfiles.governors({0, 1}, root) == {0: "performance", 1: "powersave"}
    assert hostfiles.online_cores(root) == frozenset(range(8))


def test_an_empty_tree_knows_nothing(tmp_path: Path) -> None:
    assert hostfiles.cache_bytes({0}, tmp_path) is None
    assert hostfiles.smt_active(tmp_path) is None
    assert hostfiles.numa_nodes(tmp_path) == {}
    assert hostfiles.governors({0}, tmp_path) == {}
    assert hostfiles.memory_bytes(tmp_path) == (None, None)
    assert hostfiles.package(0, tmp_path) is None
    assert hostfiles.siblings(3, tmp_path) == {3}


def test_memory_is_in_kibibytes(tmp_path: Path) -> None:
    write(tmp_path, {"proc/meminfo": "MemTotal:       16 kB\nMemFree: 1 kB\nMemAvailable:    8 kB"})
    assert hostfiles.memory_bytes(tmp_path) == (16384, 8192)


def test_nonsense_is_not_a_number(tmp_path: Path) -> None:
    write(tmp_path, {"a": "12 monkeys", "b": "-7", "c": "9" * 40})
    assert [hostfiles.read_int(tmp_path / name) for name in "abcd"] == [None, -7, None, None]
