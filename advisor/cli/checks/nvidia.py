"""Checks of the driver, NVML, GPM, permissions, clocks and MIG, all from one look in a subprocess."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from advisor.cli.checks.check import Check, fail, ok, skip, warn
from advisor.cli.checks.nvml_look import DeviceLook, NvmlLook

# Clocks-event reasons that say the card is held below what it could do. A power cap under load is normal.
HELD = (
    "hw_slowdown",
    "sw_thermal",
    "hw_thermal",
    "hw_power_brake",
    "app_clocks",
    "board_limit",
    "reliability",
)
AFTER_NVML = (
    "nvidia.gpus",
    "nvidia.gpm",
    "nvidia.permissions",
    "nvidia.events",
    "nvidia.clocks",
    "nvidia.mig",
)


def nvidia_checks(seen: NvmlLook, root: Path = Path("/")) -> list[Check]:
    """Every nvidia.* check, in a fixed order."""
    first = [_driver(seen, root), _nvml(seen)]
    if first[1].status == "fail":
        return first + [skip(id_, "needs NVML") for id_ in AFTER_NVML]
    devices = seen.devices
    return [
        *first,
        _gpus(devices),
        _gpm(devices),
        _permissions(devices, root),
        _events(devices),
        _clocks(devices),
        _mig(devices),
    ]


def _driver(seen: NvmlLook, root: Path) -> Check:
    try:
        loaded = (root / "proc/driver/nvidia/version").read_text(errors="replace").splitlines()[0]
    except (OSError, IndexError):
        loaded = ""
    if seen.simulated:
        return warn(
            "nvidia.driver",
            f"SIMULATED: a library that plays a driver answers, as {seen.driver}; no figure here is measured",
            "Unset LD_LIBRARY_PATH, or whatever else loads the simulation, to look at real GPUs.",
        )
    if seen.driver is not None:
        return ok("nvidia.driver", f"{seen.driver}, CUDA up to {seen.cuda or 'unknown'}")
    if loaded:
        return ok("nvidia.driver", loaded.strip())
    return fail(
        "nvidia.driver",
        "no NVIDIA kernel module is loaded here",
        "Install the driver, or start the container with the GPUs: docker run --gpus all ...",
    )


def _nvml(seen: NvmlLook) -> Check:
    if seen.hung is not None:
        return fail(
            "nvidia.nvml",
            f"the driver does not answer: it hung while {seen.hung}",
            "Look at `dmesg | grep -i -e nvrm -e xid`; a GPU reset or a reboot is usually needed.",
        )
    if seen.problem is not None:
        return fail("nvidia.nvml", seen.problem, seen.fix)
    return ok("nvidia.nvml", f"answers; {len(seen.devices)} devices")


def _gpus(devices: Sequence[DeviceLook]) -> Check:
    if not devices:
        return fail(
            "nvidia.gpus",
            "the driver lists no GPU",
            "Check `nvidia-smi -L`, and which GPUs the container gets.",
        )
    named = (f"{d.info.index}: {d.info.mig_profile or d.info.name} {d.info.key}" for d in devices)
    return ok("nvidia.gpus", "; ".join(named))


def _gpm(devices: Sequence[DeviceLook]) -> Check:
    whole = [d for d in devices if d.info.parent_key is None]
    without = [d for d in whole if d.gpm_problem is not None]
    if not without:
        return ok("nvidia.gpm", f"on {len(whole)} of {len(whole)} GPUs")
    reasons = "; ".join(sorted({str(d.gpm_problem) for d in without}))
    return warn(
        "nvidia.gpm",
        f"not on {len(without)} of {len(whole)} GPUs: {reasons}",
        "Verdicts rest on NVML alone there, less surely. GPM needs Hopper or newer and driver 525 or newer.",
    )


def _permissions(devices: Sequence[DeviceLook], root: Path) -> Check:
    refused = {
        f"{what} of GPU {d.info.index}"
        for d in devices
        for what, why in d.refused.items()
        if "permission" in why
    }
    if refused:
        return warn(
            "nvidia.permissions",
            f"the driver refuses: {', '.join(sorted(refused))}",
            "Run as a user who may read them, or give the container the whole GPU.",
        )
    only_admin = _parameter(root, "RmProfilingAdminOnly") == "1"
    note = "; kernel profilers (Nsight, CUPTI) need root here" if only_admin else ""
    return ok("nvidia.permissions", f"memory, power, utilisation and processes can be read{note}")


def _events(devices: Sequence[DeviceLook]) -> Check:
    whole = [d for d in devices if d.info.parent_key is None]
    reasons = sorted({d.events_problem for d in whole if d.events_problem is not None})
    if reasons:
        return warn(
            "nvidia.events",
            f"errors of GPUs (XIDs) are not seen as they happen: {'; '.join(reasons)}",
            "`sudo dmesg -T | grep -i xid` shows them; findings about them (DEV012) stay silent here.",
        )
    return ok("nvidia.events", f"errors (XIDs) of {len(whole)} GPUs are seen as they happen")


def _parameter(root: Path, name: str) -> str | None:
    """A setting of the loaded kernel module, or None."""
    try:
        lines = (root / "proc/driver/nvidia/params").read_text().splitlines()
    except OSError:
        return None
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(f"{name}:")), None)


def _clocks(devices: Sequence[DeviceLook]) -> Check:
    held = [d for d in devices if set(d.clock_reasons) & set(HELD)]
    if held:
        said = "; ".join(f"GPU {d.info.index}: {', '.join(set(d.clock_reasons) & set(HELD))}" for d in held)
        return warn(
            "nvidia.clocks",
            f"held below their maximum: {said}",
            "Locked clocks: `nvidia-smi -rgc; nvidia-smi -rac`. Heat or power: look at cooling and supply.",
        )
    now = [f"GPU {d.info.index} {d.sm_mhz:.0f} MHz" for d in devices if d.sm_mhz is not None]
    return ok("nvidia.clocks", ", ".join(now)) if now else skip("nvidia.clocks", "the driver gives no clocks")


def _mig(devices: Sequence[DeviceLook]) -> Check:
    split = [d for d in devices if d.info.mig_enabled]
    instances = [d for d in devices if d.info.parent_key is not None]
    parents = {d.info.parent_key for d in instances}
    empty = [d for d in split if d.info.key not in parents]
    if empty:
        gpus = ", ".join(str(d.info.index) for d in empty)
        return warn(
            "nvidia.mig",
            f"MIG is on, without instances, on GPU {gpus}: nothing can run there",
            "Create instances (`nvidia-smi mig -cgi ... -C`) or turn MIG off (`nvidia-smi -mig 0`).",
        )
    return ok("nvidia.mig", f"{len(instances)} instances on {len(split)} GPUs" if split else "off")
