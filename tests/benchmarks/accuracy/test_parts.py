"""The split is fixed: every family is in one part, and both parts hold every class."""

from __future__ import annotations

import msgspec

from benchmarks.accuracy.parts import PARTS, part_of, split
from benchmarks.workloads.catalogue import FAMILIES, WORKLOADS
from benchmarks.workloads.spec import Truth, Workload


def truth_of(workload: Workload) -> Truth:
    return Truth(
        name=workload.name,
        family=workload.family,
        label=workload.label,
        cause=workload.cause,
        shares={},
        confirmed=True,
        because="",
        recording="x",
        device="x",
        synthetic=True,
    )


def test_every_family_of_the_catalogue_is_in_exactly_one_part() -> None:
    assert set(split().families) == set(FAMILIES)
    assert set(split().families.values()) == set(PARTS)


def test_a_workload_named_apart_is_one_of_the_catalogue_and_leaves_its_familys_part() -> None:
    for name, part in split().workloads.items():
        assert split().families[WORKLOADS[name].family] != part


def test_both_parts_hold_every_class() -> None:
    truths = [truth_of(workload) for workload in WORKLOADS.values()]
    labels = {part: {t.label for t in truths if part_of(t) == part} for part in PARTS}
    assert labels["tuning"] == labels["validation"] == {t.label for t in truths}
    assert labels["tuning"] >= {"compute", "memory", "host", "device", "idle"}


def test_a_family_that_the_file_does_not_name_is_in_neither_part() -> None:
    known = truth_of(next(iter(WORKLOADS.values())))
    assert part_of(msgspec.structs.replace(known, family="unheard_of", name="x")) is None
