"""Which devices a person means: `--gpu` selections and CUDA_VISIBLE_DEVICES."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from advisor.naming import begins
from advisor.telemetry.records import DeviceInfo

VARIABLE = "CUDA_VISIBLE_DEVICES"
_OLD_MIG = re.compile(r"MIG-(GPU-[0-9a-fA-F-]+)/(\d+)/(\d+)")
_MIG_INDEX = re.compile(r"(\d+):(\d+)")


def select_devices(
    devices: Iterable[DeviceInfo], spec: str | None, env: Mapping[str, str]
) -> tuple[DeviceInfo, ...]:
    """The devices meant by `spec`, or by CUDA_VISIBLE_DEVICES in `env` where spec is None; else all.

    spec: "all", or a list by commas of indices ("0"), MIG instances by position ("0:1"), UUIDs of GPUs or MIG
    instances or beginnings of them. An index or UUID of a GPU with MIG enabled means it and its instances.
    CUDA_VISIBLE_DEVICES as CUDA reads it: empty hides everything, the list ends at its first invalid entry,
    a GPU with MIG enabled stands for its first instance. Its indices are taken in PCI bus order.
    Raises ValueError when spec names nothing that is there.
    """
    listed = tuple(devices)
    if spec is not None:
        return _by_spec(listed, spec)
    visible = env.get(VARIABLE)
    return listed if visible is None else _by_cuda(listed, visible)


def _by_spec(listed: Sequence[DeviceInfo], spec: str) -> tuple[DeviceInfo, ...]:
    if spec.strip().lower() == "all":
        return tuple(listed)
    names = [name.strip() for name in spec.split(",") if name.strip()]
    if not names:
        raise ValueError(f"no GPU is named in {spec!r}; {_choices(listed)}")
    chosen: list[DeviceInfo] = []
    for name in names:
        chosen += [found for found in _named(listed, name) if found not in chosen]
    return tuple(chosen)


def _named(listed: Sequence[DeviceInfo], name: str) -> list[DeviceInfo]:
    found = _matches(listed, name)
    if not found:
        raise ValueError(f"no GPU or MIG instance is called {name!r}; {_choices(listed)}")
    if len(found) > 1:
        raise ValueError(
            f"{name!r} could be any of {', '.join(d.uuid for d in found)}: give more of the UUID"
        )
    return found + _instances_of(listed, found[0])


def _matches(listed: Sequence[DeviceInfo], name: str) -> list[DeviceInfo]:
    if name.isascii() and name.isdigit():
        return [d for d in listed if d.parent_key is None and d.index == int(name)]
    if position := _MIG_INDEX.fullmatch(name):
        return _mig_at(listed, int(position[1]), int(position[2]))
    if old := _OLD_MIG.fullmatch(name):
        place = (old[1], int(old[2]), int(old[3]))
        return [d for d in listed if (d.parent_key, d.gi_id, d.ci_id) == place]
    exact = [d for d in listed if d.uuid.lower() == name.lower()]
    return exact or [d for d in listed if begins(d.uuid, name)]


def _mig_at(listed: Sequence[DeviceInfo], index: int, position: int) -> list[DeviceInfo]:
    instances = [d for d in listed if d.parent_key is not None and d.index == index]
    return instances[position : position + 1]


def _instances_of(listed: Sequence[DeviceInfo], gpu: DeviceInfo) -> list[DeviceInfo]:
    return [d for d in listed if d.parent_key == gpu.key]


def _by_cuda(listed: Sequence[DeviceInfo], visible: str) -> tuple[DeviceInfo, ...]:
    chosen: list[DeviceInfo] = []
    for name in visible.split(","):
        found = _cuda_device(listed, name.strip())
        if found is None:
            break
        if found not in chosen:
            chosen.append(found)
    return tuple(chosen)


def _cuda_device(listed: Sequence[DeviceInfo], name: str) -> DeviceInfo | None:
    if not re.fullmatch(r"\d+|(GPU|MIG)-.+", name):
        return None
    found = _matches(listed, name)
    if len(found) != 1:
        return None
    return next(iter(_instances_of(listed, found[0])), found[0]) if found[0].mig_enabled else found[0]


def _choices(listed: Sequence[DeviceInfo]) -> str:
    if not listed:
        return "there is no GPU here"
    positions: dict[int, int] = {}
    names = []
    for device in listed:
        if device.parent_key is None:
            names.append(str(device.index))
        else:
            position = positions.get(device.index, 0)
            positions[device.index] = position + 1
            names.append(f"{device.index}:{position}")
    return f"there is {', '.join(names)} (or a UUID, or all)"
