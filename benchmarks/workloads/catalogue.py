"""Every labelled workload by name, the most wanted first. Importing it loads neither torch nor cupy."""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Sequence
from itertools import zip_longest
from typing import TypeVar

from benchmarks.workloads.spec import Workload

# One module each, which exports its WORKLOADS.
FAMILIES: tuple[str, ...] = (
    "memory_stream",
    "compute_gemm",
    "host_input",
    "device_shape",
    "idle",
    "mixes",
    "memory_decode",
    "compute_plain",
    "host_launch",
    "memory_pointwise",
    "compute_nets",
    "host_sync",
    "host_transfer",
    "memory_gather",
    "host_limits",
)

_Item = TypeVar("_Item")


def _of_family(name: str) -> tuple[Workload, ...]:
    found: tuple[Workload, ...] = importlib.import_module(f"benchmarks.workloads.{name}").WORKLOADS
    strangers = [w.name for w in found if w.family != name]
    if strangers:
        raise ValueError(f"{', '.join(strangers)}: listed in {name}, and said to be of another family")
    return found


def in_turns(groups: Iterable[Sequence[_Item]]) -> list[_Item]:
    """The first of each group, then the second of each, and so on."""
    rounds = zip_longest(*([(item,) for item in group] for group in groups), fillvalue=())
    return [item for turn in rounds for (item,) in filter(None, turn)]


def ordered(workloads: Iterable[Workload]) -> dict[str, Workload]:
    """By name: one of each class first, then by turns of families, so that a short session sees some of all.

    Raises ValueError where two have one name.
    """
    by_class: dict[str, dict[str, list[Workload]]] = {}
    for workload in workloads:
        by_class.setdefault(workload.label, {}).setdefault(workload.family, []).append(workload)
    wanted = in_turns([in_turns(families.values()) for families in by_class.values()])
    found = {workload.name: workload for workload in wanted}
    if len(found) < len(wanted):
        raise ValueError("two workloads have one name")
    return found


WORKLOADS: dict[str, Workload] = ordered(w for family in FAMILIES for w in _of_family(family))
