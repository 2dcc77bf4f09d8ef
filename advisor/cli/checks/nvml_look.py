"""A look at NVML in a process of its own, so that a hung driver hangs nothing but that process.

Run as `python -m advisor.cli.checks.nvml_look`: it prints one JSON line before each step and one with what it
found, so that a reader who loses patience knows which call did not return.
"""

from __future__ import annotations

import subprocess
import sys
import threading
from typing import Any

import msgspec

from advisor.cli import output
from advisor.telemetry.records import DeviceInfo

TIMEOUT_S = 10.0


class DeviceLook(msgspec.Struct, frozen=True, kw_only=True):
    """One device. refused: what was asked -> why the driver did not say. clocks: MHz now and at most.

    events_problem: why its errors (XIDs) cannot be seen as they happen.
    """

    info: DeviceInfo
    gpm_problem: str | None = None
    events_problem: str | None = None
    refused: dict[str, str] = {}
    processes: int | None = None
    sm_mhz: float | None = None
    clock_reasons: tuple[str, ...] = ()


class NvmlLook(msgspec.Struct, frozen=True, kw_only=True):
    """What was found before the end or the deadline. problem: why NVML could not be used at all.

    hung: the step that did not return in time. simulated: no driver answers, a simulation does.
    """

    driver: str | None = None
    cuda: str | None = None
    devices: tuple[DeviceLook, ...] = ()
    problem: str | None = None
    fix: str = ""
    hung: str | None = None
    simulated: bool = False


class _Line(msgspec.Struct, omit_defaults=True):
    doing: str = ""
    found: NvmlLook | None = None


def look(timeout_s: float = TIMEOUT_S) -> NvmlLook:
    """Look at NVML in a subprocess, and give up on it after timeout_s."""
    argv = [sys.executable, "-m", "advisor.cli.checks.nvml_look"]
    worker = subprocess.Popen(
        argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    lines: list[_Line] = []
    # A thread reads, because a process stuck in the driver survives even SIGKILL and keeps its pipe open.
    reader = threading.Thread(target=_read, args=(worker, lines), daemon=True)
    reader.start()
    reader.join(timeout_s)
    hung = reader.is_alive()
    worker.kill()
    found = next((line.found for line in lines if line.found is not None), None)
    if found is not None:
        return found
    doing = next((line.doing for line in reversed(lines) if line.doing), "starting")
    if hung:
        return NvmlLook(hung=doing)
    return NvmlLook(
        problem=f"the process that looked at NVML died while {doing}", fix="run it by hand: " + " ".join(argv)
    )


def _read(worker: subprocess.Popen[bytes], lines: list[_Line]) -> None:
    assert worker.stdout is not None  # noqa: S101 - it was opened as a pipe
    for raw in worker.stdout:
        try:
            lines.append(msgspec.json.decode(raw, type=_Line))
        except msgspec.DecodeError:
            continue


def main() -> None:
    """Look, and print what was found."""
    from advisor.telemetry.nvml_init import CannotMeasureError

    try:
        found = _look_here()
    except CannotMeasureError as error:
        found = NvmlLook(problem=str(error), fix=error.fix)
    _say(_Line(found=found))


def _look_here() -> NvmlLook:
    from advisor.telemetry.nvml_devices import list_devices
    from advisor.telemetry.nvml_init import driver_versions, is_simulated, start_nvml

    _say(_Line(doing="loading and initialising NVML"))
    nvml = start_nvml()
    _say(_Line(doing="asking for the driver's version"))
    driver, cuda = driver_versions(nvml)
    _say(_Line(doing="listing devices"))
    devices = []
    listed = list_devices(nvml)
    for device in listed:
        _say(_Line(doing=f"looking at GPU {device.info.index}"))
        devices.append(_device(nvml, device))
    _say(_Line(doing="registering for the GPUs' errors (XID events)"))
    deaf = _events_problems(nvml, listed)
    devices = [msgspec.structs.replace(d, events_problem=deaf.get(d.info.key)) for d in devices]
    return NvmlLook(driver=driver, cuda=cuda, devices=tuple(devices), simulated=is_simulated(nvml))


def _events_problems(nvml: Any, listed: Any) -> dict[str, str]:
    from advisor.telemetry.nvml_events import XidEvents

    events = XidEvents(nvml, listed)
    events.close()
    return events.missing


def _device(nvml: Any, device: Any) -> DeviceLook:
    from advisor.telemetry.nvml import clocks_event_names

    refused: dict[str, str] = {}
    handle = device.handle
    whole = device.info.parent_key is None
    processes = _ask(nvml, refused, "processes", "nvmlDeviceGetComputeRunningProcesses", handle)
    _ask(nvml, refused, "memory", "nvmlDeviceGetMemoryInfo", handle)
    if not whole:
        return DeviceLook(info=device.info, refused=refused, processes=_count(processes))
    _ask(nvml, refused, "power", "nvmlDeviceGetPowerUsage", handle)
    _ask(nvml, refused, "utilisation", "nvmlDeviceGetUtilizationRates", handle)
    reasons = _ask(nvml, refused, "clock reasons", "nvmlDeviceGetCurrentClocksEventReasons", handle)
    return DeviceLook(
        info=device.info,
        gpm_problem=_gpm_problem(nvml, handle),
        refused=refused,
        processes=_count(processes),
        sm_mhz=_ask(nvml, refused, "clocks", "nvmlDeviceGetClockInfo", handle, 1),
        clock_reasons=() if reasons is None else clocks_event_names(int(reasons)),
    )


def _ask(nvml: Any, refused: dict[str, str], what: str, function: str, *args: Any) -> Any:
    from advisor.telemetry.nvml_api import NvmlError
    from advisor.telemetry.nvml_errors import describe

    try:
        return nvml.call(function, *args)
    except NvmlError as error:
        refused[what] = describe(error.code)
        return None


def _gpm_problem(nvml: Any, handle: Any) -> str | None:
    from advisor.telemetry.gpm import NEEDS_HOPPER

    refused: dict[str, str] = {}
    support = _ask(nvml, refused, "gpm", "nvmlGpmQueryDeviceSupport", handle)
    if support is None:
        return refused["gpm"]
    return None if support.isSupportedDevice else NEEDS_HOPPER


def _count(processes: Any) -> int | None:
    return None if processes is None else len(processes)


def _say(line: _Line) -> None:
    output.write_record(line, indent=None)


if __name__ == "__main__":
    main()
