"""Whether somebody else uses a device, so that a figure measured now would say little about the card.

A device is in use when another process has a compute context on it (CUDA, MPS included), or when it works
more than 5 % of most moments of a second. A graphics context alone does not count: a display server holds one
on every desktop and computes nothing; when it draws enough to matter, utilisation shows it.

Ask before this process opens CUDA: in a container the driver lists processes by the host's ids, so that one's
own context cannot be told from another's.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from probes.gpm import Gpm
from probes.nvml import NOT_SUPPORTED, Device, Nvml, NvmlError, describe

# Work of more than this share, in most looks of a second, is not ours. The driver's window is 1/6 to 1 s.
BUSY_FRAC = 0.05
LOOK_S = 1.0
LOOKS = 10

_COMPUTE = ("nvmlDeviceGetComputeRunningProcesses", "nvmlDeviceGetMPSComputeRunningProcesses")
_GRAPHICS = ("nvmlDeviceGetGraphicsRunningProcesses",)
_NO_INSTANCE = 0xFFFFFFFF
_NAMES_MAX, _NAME_MAX = 4, 40


class Use(msgspec.Struct, frozen=True, kw_only=True):
    """What was found. busy: who uses the device, or None. missing: what could not be looked at, and why."""

    busy: str | None = None
    missing: dict[str, str] = {}


def look(
    nvml: Nvml,
    device: Device,
    *,
    own: Iterable[int] = (),
    sleep: Callable[[float], None] = time.sleep,
) -> Use:
    """Look at the device for a second, less when another process is there. own: further process ids of ours.

    Raises nothing: a question that the driver refuses is in `missing`, and does not make the device busy.
    """
    ours = {os.getpid(), *own}
    missing: dict[str, str] = {}
    computing = [pid for pid in _listed(nvml, device, _COMPUTE, missing) if pid not in ours]
    if computing:
        return Use(busy=f"in use by {_named(nvml, computing)}", missing=missing)
    share = _share(nvml, device, sleep, missing)
    if share is None or share <= BUSY_FRAC:
        return Use(missing=missing)
    drawing = [pid for pid in _listed(nvml, device, _GRAPHICS, missing) if pid not in ours]
    by = f"; {_named(nvml, drawing)} may draw on it" if drawing else ", though the driver lists no process"
    return Use(busy=f"{share:.0%} utilised{by}", missing=missing)


def _listed(nvml: Nvml, device: Device, functions: tuple[str, ...], missing: dict[str, str]) -> list[int]:
    """Ids of the processes on the device, in order. On MIG the GPU is asked, else the instance."""
    found: set[int] = set()
    for function in functions:
        try:
            found |= {int(process.pid) for process in _on(nvml, device, function)}
        except NvmlError as error:
            if function == functions[0] or error.code != NOT_SUPPORTED:
                missing[_what(function)] = describe(error.code)
    return sorted(found)


def _what(function: str) -> str:
    return function.removeprefix("nvmlDeviceGet").removesuffix("RunningProcesses").lower() + " processes"


def _on(nvml: Nvml, device: Device, function: str) -> list[Any]:
    if device.gi is None:
        return list(nvml.call(function, device.handle))
    try:
        listed = list(nvml.call(function, device.gpu))
    except NvmlError:
        return list(nvml.call(function, device.handle))
    return [process for process in listed if _within(process, device)]


def _within(process: Any, device: Device) -> bool:
    """Instances of one GPU instance share its memory, so that a neighbour in it counts too."""
    return getattr(process, "gpuInstanceId", _NO_INSTANCE) in (device.gi, _NO_INSTANCE)


def _named(nvml: Nvml, pids: list[int]) -> str:
    shown = ", ".join(f"process {pid}{_name(nvml, pid)}" for pid in pids[:_NAMES_MAX])
    more = len(pids) - _NAMES_MAX
    return f"{shown} and {more} more" if more > 0 else shown


def _name(nvml: Nvml, pid: int) -> str:
    """The program, of what anybody may have called it: one line of printable characters, cut short."""
    try:
        text = str(nvml.call("nvmlSystemGetProcessName", pid))
    except NvmlError:
        return ""
    program = text.split(" ", 1)[0].rpartition("/")[2] or text
    plain = "".join(c if c.isprintable() else "?" for c in program[:_NAME_MAX])
    return f" ({plain})" if plain.strip() else ""


def _share(
    nvml: Nvml, device: Device, sleep: Callable[[float], None], missing: dict[str, str]
) -> float | None:
    """How busy the device was in most looks of a second; None where that cannot be told."""
    if device.gi is not None:
        return _instance_share(nvml, device, sleep, missing)
    seen: list[float] = []
    for _ in range(LOOKS):
        try:
            rates = nvml.call("nvmlDeviceGetUtilizationRates", device.handle)
        except NvmlError as error:
            missing["utilisation"] = describe(error.code)
            return None
        if 0 <= rates.gpu <= 100:
            seen.append(rates.gpu / 100.0)
        sleep(LOOK_S / LOOKS)
    if not seen:
        missing["utilisation"] = "the driver's utilisation makes no sense"
        return None
    return sorted(seen)[(len(seen) - 1) // 2]


def _instance_share(
    nvml: Nvml, device: Device, sleep: Callable[[float], None], missing: dict[str, str]
) -> float | None:
    """The driver has no utilisation of an instance; GPM's gr_active over the second is the same thing."""
    gpm = Gpm(nvml, device.gpu, device.gi)
    gpm.take()
    sleep(LOOK_S)
    window = gpm.take()
    gpm.close()
    if window is None or "gr_active" not in window.counters:
        why = gpm.missing.get("counters") or gpm.missing.get("gr_active") or "GPM gave no window"
        missing["utilisation"] = f"not measured per MIG instance, and without GPM: {why}"
        return None
    return window.counters["gr_active"]
