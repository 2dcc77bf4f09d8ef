"""Which devices a person means: the host's CPU, GPUs by index, GPUs and MIG instances by UUID."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping

from probes.cpu_facts import cpu_facts
from probes.listing import Listed, listed
from probes.record import DeviceFacts

VARIABLE = "CUDA_VISIBLE_DEVICES"
_MIG_INDEX = re.compile(r"([0-9]+):([0-9]+)")
_CUDA_NAME = re.compile(r"[0-9]+|(GPU|MIG)-.+")


class NoDeviceError(Exception):
    """Nothing is called so, or nothing can be asked. fix: what to do about it."""

    def __init__(self, message: str, fix: str) -> None:
        super().__init__(message)
        self.fix = fix


def list_devices(
    wanted: str = "", env: Mapping[str, str] | None = None, timeout_s: float = 20.0
) -> list[DeviceFacts]:
    """The devices meant, in the order given, each once.

    wanted: "" for the first GPU that CUDA would use, or a list by commas of "all" for all of those, "cpu",
    the driver's indices ("0"), MIG instances by position ("0:1"), UUIDs or unique beginnings of them. The
    index of a GPU divided by MIG means its instances. CUDA_VISIBLE_DEVICES of `env` (this process's by
    default) limits "" and "all" as it limits CUDA: empty hides everything, the list ends at its first
    invalid entry, its indices are in PCI bus order. A GPU that is there and cannot be probed has the reason
    in `missing["device"]`.

    The driver is asked in a process of its own, for `timeout_s`. Raises NoDeviceError.
    """
    names = [name.strip() for name in wanted.split(",") if name.strip()]
    if wanted.strip() and not names:
        raise NoDeviceError(f"no device is named in {wanted!r}", "Say 0, all, cpu or a UUID.")
    lowered = [name.lower() for name in names]
    if names and all(name == "cpu" for name in lowered):
        return [cpu_facts()]
    found = _asked(timeout_s)
    visible = (os.environ if env is None else env).get(VARIABLE)
    if not names:
        return _visible(found, visible)[:1]
    chosen: dict[str, DeviceFacts] = {}
    for name in names:
        chosen |= {facts.key: facts for facts in _meant(found, name, visible)}
    return list(chosen.values())


def _meant(found: tuple[DeviceFacts, ...], name: str, visible: str | None) -> list[DeviceFacts]:
    if name.lower() == "cpu":
        return [cpu_facts()]
    return _visible(found, visible) if name.lower() == "all" else _named(found, name)


def _asked(timeout_s: float) -> tuple[DeviceFacts, ...]:
    """Every GPU and MIG instance, those that cannot be probed too."""
    answer = listed(timeout_s)
    if answer.error is not None:
        fix = answer.fix if "--device cpu" in answer.fix else f"{answer.fix} Or probe the host: --device cpu."
        raise NoDeviceError(answer.error, fix.strip())
    found = (*answer.devices, *_unusable(answer))
    if not found:
        raise NoDeviceError("the driver has no GPU", "Probe the host: --device cpu.")
    return tuple(sorted(found, key=lambda facts: facts.index or 0))


def _unusable(answer: Listed) -> list[DeviceFacts]:
    usable = {facts.index for facts in answer.devices}
    return [
        DeviceFacts(kind="cuda", key=f"index {i}", name=f"GPU {i}", index=i, missing={"device": why})
        for i, why in answer.skipped.items()
        if i not in usable
    ]


def _visible(found: tuple[DeviceFacts, ...], visible: str | None) -> list[DeviceFacts]:
    """As CUDA reads its variable. Of a divided GPU CUDA opens the first instance only."""
    if visible is None:
        return list(found)
    chosen: dict[str, DeviceFacts] = {}
    for name in visible.split(","):
        meant = _matches(found, name.strip()) if _CUDA_NAME.fullmatch(name.strip()) else []
        if not meant or (len(meant) > 1 and not _is_index(name.strip())):
            break
        chosen.setdefault(meant[0].key, meant[0])
    if not chosen:
        raise NoDeviceError(
            f"{VARIABLE}={visible[:80]} leaves no GPU", f"Unset it, or name a device: {_there(found)}."
        )
    return list(chosen.values())


def _named(found: tuple[DeviceFacts, ...], name: str) -> list[DeviceFacts]:
    meant = _matches(found, name)
    if not meant:
        raise NoDeviceError(f"there is no device {name[:80]!r}", f"There is {_there(found)}.")
    if len(meant) > 1 and not _is_index(name):
        several = ", ".join(facts.key for facts in meant[:4])
        raise NoDeviceError(f"{name[:80]!r} could be any of {several}", "Give more of the UUID.")
    return meant


def _matches(found: tuple[DeviceFacts, ...], name: str) -> list[DeviceFacts]:
    """An index gives a GPU, or all its instances; a UUID or a beginning everything that has it."""
    if _is_index(name):
        return [facts for facts in found if facts.index == int(name)]
    if place := _MIG_INDEX.fullmatch(name):
        instances = [f for f in found if f.index == int(place[1]) and f.mig_profile is not None]
        position = int(place[2])
        return instances[position : position + 1]
    exact = [facts for facts in found if facts.key.lower() == name.lower()]
    return exact or [facts for facts in found if _begins(facts.key, name)]


def _is_index(name: str) -> bool:
    return name.isascii() and name.isdigit() and len(name) < 10


def _begins(key: str, name: str) -> bool:
    """Beginnings count with or without their GPU- or MIG-, but a bare "GPU-" names nothing."""
    lowered = name.lower()
    wanted = lowered.removeprefix("gpu-").removeprefix("mig-")
    if not wanted:
        return False
    prefixed = lowered.startswith(("gpu-", "mig-"))
    return (key.lower() if prefixed else key.lower().partition("-")[2]).startswith(lowered)


def _there(found: tuple[DeviceFacts, ...]) -> str:
    names = [f.key if f.mig_profile else str(f.index) for f in found]
    return f"{', '.join(names)} (or a UUID, all, cpu)"
