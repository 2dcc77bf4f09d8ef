"""Parts: which recordings are for tuning and which for validation, fixed in split.json."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Literal

import msgspec

from benchmarks.workloads.spec import Truth

Part = Literal["tuning", "validation"]
PARTS: tuple[Part, ...] = ("tuning", "validation")
# How the reason of a truth begins that nothing its program counted bears out.
CONSTRUCTION = "by construction alone"
SPLIT = Path(__file__).with_name("split.json")


class Split(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """families: family -> part. workloads: those of a divided family that go to the other part."""

    about: str
    families: dict[str, Part]
    workloads: dict[str, Part] = {}


@cache
def split() -> Split:
    """The split as filed."""
    return msgspec.json.decode(SPLIT.read_bytes(), type=Split)


def part_of(truth: Truth) -> Part | None:
    """The part a recording belongs to; None for a family that the file does not name."""
    fixed = split()
    return fixed.workloads.get(truth.name) or fixed.families.get(truth.family)


def by_construction(truth: Truth) -> bool:
    """Whether only its construction speaks for a truth: scored apart, and never in the headline."""
    return not truth.confirmed and truth.because.startswith(CONSTRUCTION)
