"""NUMA nodes of this machine, and allocating from one of them."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import msgspec

from probes.hostfiles import cpu_list, read_text

SYS_NODES = Path("/sys/devices/system/node")
STATUS = Path("/proc/self/status")


class Node(msgspec.Struct, frozen=True, kw_only=True):
    """One node: its number, the CPUs of it this process may use, and the distance to each node by number."""

    index: int
    cpus: frozenset[int]
    distances: dict[int, int] = {}


def nodes(folder: Path = SYS_NODES, status: Path = STATUS) -> tuple[Node, ...]:
    """Nodes whose CPUs and memory this process may both use, by number."""
    allowed, memory = os.sched_getaffinity(0), allowed_memory(status)
    every = sorted(int(path.name[4:]) for path in folder.glob("node[0-9]*"))
    found = []
    for index in every:
        cpus = cpu_list(read_text(folder / f"node{index}/cpulist")) & allowed
        far = [int(word) for word in (read_text(folder / f"node{index}/distance") or "").split()]
        distances = dict(zip(every, far, strict=False))
        if cpus and (memory is None or index in memory):
            found.append(Node(index=index, cpus=cpus, distances=distances))
    return tuple(found)


def local_and_remote(gpu_node: int | None, found: tuple[Node, ...]) -> tuple[Node, Node] | str:
    """The GPU's node and the one farthest from it, or why they cannot be told or used."""
    if len(found) < 2:
        return "this process may use the CPUs and memory of one NUMA node only"
    if gpu_node is None or gpu_node < 0:
        return "the NUMA node of the GPU is not known"
    near = next((node for node in found if node.index == gpu_node), None)
    if near is None:
        return f"this process may not use NUMA node {gpu_node}, where the GPU is"
    others = [node for node in found if node is not near]
    far = max(others, key=lambda node: near.distances.get(node.index, 0))
    try:
        for node in (near, far):
            with on_cpus(node.cpus):
                pass
    except OSError as error:
        return f"the CPU affinity cannot be set here ({error.strerror})"
    return near, far


@contextlib.contextmanager
def on_cpus(cpus: frozenset[int] | None) -> Iterator[None]:
    """Run this thread on these CPUs, so that memory first touched lies on their node; None changes nothing.

    The affinity is restored, whatever happens. Raises OSError where it cannot be set.
    """
    if cpus is None:
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cpus)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def allowed_memory(status: Path = STATUS) -> frozenset[int] | None:
    """Nodes from which this process may take memory; None where the kernel does not say."""
    for line in (read_text(status) or "").splitlines():
        if line.startswith("Mems_allowed_list:"):
            return cpu_list(line.partition(":")[2])
    return None
