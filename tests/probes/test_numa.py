"""NUMA nodes as the kernel lists them, and an affinity that is always given back."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from probes.numa import Node, allowed_memory, local_and_remote, nodes, on_cpus


def board(root: Path, lists: dict[int, str], distances: dict[int, str]) -> Path:
    for index, cpus in lists.items():
        folder = root / f"node{index}"
        folder.mkdir()
        (folder / "cpulist").write_text(cpus + "\n")
        (folder / "distance").write_text(distances[index] + "\n")
    (root / "possible").write_text("0-7\n")
    return root


def status(root: Path, allowed: str) -> Path:
    path = root / "status"
    path.write_text(f"Name:\tx\nMems_allowed_list:\t{allowed}\n")
    return path


@pytest.fixture
def affinity(monkeypatch: pytest.MonkeyPatch) -> list[set[int]]:
    """What the affinity is set to, first what it was."""
    now = [set(range(8))]
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: set(now[-1]))
    monkeypatch.setattr(os, "sched_setaffinity", lambda _pid, cpus: now.append(set(cpus)))
    return now


def test_nodes_that_may_be_used(tmp_path: Path, affinity: list[set[int]]) -> None:
    found = nodes(
        board(
            tmp_path,
            {0: "0-3", 1: "4-7", 2: "", 3: "8-11"},
            {0: "10 20 30 40", 1: "20 10 30 40", 2: "30 30 10 40", 3: "40 40 40 10"},
        ),
        status(tmp_path, "0-1"),
    )
    assert [node.index for node in found] == [0, 1]
    assert found[1].cpus == {4, 5, 6, 7}
    assert found[1].distances == {0: 20, 1: 10, 2: 30, 3: 40}


def test_memory_of_other_nodes_may_be_forbidden(tmp_path: Path, affinity: list[set[int]]) -> None:
    where = board(tmp_path, {0: "0-3", 1: "4-7"}, {0: "10 20", 1: "20 10"})
    assert [n.index for n in nodes(where, status(tmp_path, "1"))] == [1]
    assert allowed_memory(tmp_path / "absent") is None
    assert [n.index for n in nodes(where, tmp_path / "absent")] == [0, 1]


def node(index: int, **distances: int) -> Node:
    far = {int(name[1:]): distance for name, distance in distances.items()}
    return Node(index=index, cpus=frozenset({index}), distances=far)


def test_the_farthest_node_is_the_remote_one(affinity: list[set[int]]) -> None:
    found = (node(0), node(1, n0=12, n1=10, n2=32), node(2))
    pair = local_and_remote(1, found)
    assert not isinstance(pair, str)
    assert (pair[0].index, pair[1].index) == (1, 2)


@pytest.mark.parametrize(
    ("gpu_node", "count", "reason"),
    [
        (0, 1, "one NUMA node only"),
        (None, 2, "is not known"),
        (-1, 2, "is not known"),
        (5, 2, "may not use NUMA node 5"),
    ],
)
def test_why_there_is_no_pair(gpu_node: int | None, count: int, reason: str) -> None:
    why = local_and_remote(gpu_node, tuple(node(i) for i in range(count)))
    assert isinstance(why, str)
    assert reason in why


def test_an_affinity_that_cannot_be_set(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(_pid: int, _cpus: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "sched_setaffinity", refused)
    why = local_and_remote(0, (node(0), node(1)))
    assert why == "the CPU affinity cannot be set here (Operation not permitted)"


def test_affinity_is_restored_also_after_an_error(affinity: list[set[int]]) -> None:
    with pytest.raises(KeyError), on_cpus(frozenset({2, 3})):
        assert affinity[-1] == {2, 3}
        raise KeyError
    assert affinity == [set(range(8)), {2, 3}, set(range(8))]


def test_no_cpus_change_nothing(affinity: list[set[int]]) -> None:
    with on_cpus(None):
        assert affinity == [set(range(8))]


def test_this_machine_has_a_node_or_says_nothing() -> None:
    assert all(found.cpus <= os.sched_getaffinity(0) for found in nodes())
