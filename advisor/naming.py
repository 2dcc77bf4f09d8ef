"""Which devices a word of --gpu names: one reading of it for live nodes, documents and the history."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

_MIG_INDEX = re.compile(r"(\d+):(\d+)")


class Place(NamedTuple):
    """One row of a document or of the history. gpu: its index, if known. mig: None for a whole GPU."""

    key: str
    gpu: int | None
    mig: str | None = None


class SeveralError(ValueError):
    """The beginning of a UUID that more than one device has."""


def words(spec: str | None) -> tuple[str, ...] | None:
    """The words of a selection by commas; None where it says all, or nothing."""
    found = tuple(word.strip() for word in (spec or "").split(",") if word.strip())
    return None if not found or any(word.lower() == "all" for word in found) else found


def named(word: str, places: Iterable[Place]) -> list[Place]:
    """The places meant by an index ("0"), a MIG instance by position ("0:1"), or a UUID or its beginning.

    An index means a GPU and its instances. Capitals do not matter, and the GPU- or MIG- of a beginning can be
    left out. Empty where there is none. Raises SeveralError for a beginning that fits several devices.
    """
    listed, wanted = list(dict.fromkeys(places)), word.strip()
    if exact := [p for p in listed if p.key == word]:
        return exact
    if wanted.isascii() and wanted.isdigit():
        return [p for p in listed if str(p.gpu) == (wanted.lstrip("0") or "0")]
    if position := _MIG_INDEX.fullmatch(wanted):
        return _mig_at(listed, position[1], position[2])
    found = [p for p in listed if p.key.lower() == wanted.lower()]
    found = found or [p for p in listed if begins(p.key, wanted)]
    keys = list(dict.fromkeys(p.key for p in found))
    if len(keys) > 1:
        raise SeveralError(f"{wanted!r} could be any of {', '.join(keys)}: give more of the UUID")
    return found


def begins(uuid: str, name: str) -> bool:
    """Beginnings count with or without their GPU- or MIG-, but a bare "GPU-" names nothing."""
    bare = uuid.lower().partition("-")[2]
    wanted = name.lower().removeprefix("gpu-").removeprefix("mig-")
    prefixed = name.lower().startswith(("gpu-", "mig-"))
    return bool(wanted) and (uuid.lower().startswith(name.lower()) if prefixed else bare.startswith(wanted))


def _mig_at(listed: Sequence[Place], index: str, position: str) -> list[Place]:
    instances = [p for p in listed if p.mig is not None and str(p.gpu) == index]
    return instances[int(position[:9]) :][:1]
