"""What stands beside the events of a Kineto file: devices, ranks, versions, the base of its times."""

from __future__ import annotations

import json
from typing import Any

import msgspec

from advisor.traces.timeline import TraceDevice

_FACTS = (
    "schemaVersion", "cuda_runtime_version", "cuda_driver_version", "cupti_version", "hip_runtime_version",
    "hip_driver_version", "roctracer_version", "rocprofiler-sdk_version", "record_shapes",
    "profile_memory", "with_stack", "with_flops", "with_modules", "trace_id", "traceName", "displayTimeUnit",
)  # fmt: skip
_LONGEST = 256


def loads(text: bytes) -> Any:
    """JSON of any vintage: NaN and control characters are taken. Raises ValueError."""
    try:
        return msgspec.json.decode(text)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        pass
    try:
        return json.loads(text.decode("utf-8", "replace"), strict=False)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def base_ns(about: dict[str, Any]) -> int | None:
    """The base that timestamps are relative to, as Unix time in ns."""
    return integer(about.get("baseTimeNanoseconds"))


def ranks(about: dict[str, Any]) -> tuple[int | None, int | None]:
    """Rank and world size of distributed training."""
    info = about.get("distributedInfo")
    if not isinstance(info, dict):
        return None, None
    return integer(info.get("rank")), integer(info.get("world_size"))


def devices(about: dict[str, Any]) -> tuple[TraceDevice, ...]:
    """What `deviceProperties` says, one record a device."""
    listed = about.get("deviceProperties")
    rows = [row for row in listed if isinstance(row, dict)] if isinstance(listed, list) else []
    return tuple(_device(row, position) for position, row in enumerate(rows[:1024]))


def facts(about: dict[str, Any]) -> dict[str, str]:
    """Versions and settings, as text."""
    found = {key: _text(about.get(key)) for key in _FACTS}
    info = about.get("distributedInfo")
    if isinstance(info, dict):
        found |= {key: _text(info.get(key)) for key in ("backend", "nccl_version")}
    return {key: value for key, value in found.items() if value}


def host(about: dict[str, Any]) -> str | None:
    """The host's name, where the file has one."""
    return _text(about.get("hostname") or about.get("host_name") or about.get("host")) or None


def integer(value: Any) -> int | None:
    """A number, also in text; None for anything else."""
    try:
        number = int(value) if not isinstance(value, bool) else None
    except (ValueError, TypeError, OverflowError):
        return None
    return number if number is not None and abs(number) < 1 << 62 else None


def _device(row: dict[str, Any], position: int) -> TraceDevice:
    number = integer(row.get("id"))
    major, minor = integer(row.get("computeMajor")), integer(row.get("computeMinor"))
    return TraceDevice(
        device=position if number is None or not 0 <= number < 1 << 31 else number,
        name=_text(row.get("name")) or None,
        sm_count=_positive(row.get("numSms")),
        memory_bytes=_positive(row.get("totalGlobalMem")),
        compute_capability=None if major is None else f"{major}.{minor or 0}",
        max_threads_per_sm=_positive(row.get("maxThreadsPerMultiprocessor")),
        warp_size=_positive(row.get("warpSize")),
        registers_per_sm=_positive(row.get("regsPerMultiprocessor")),
        shared_bytes_per_sm=_positive(row.get("sharedMemPerMultiprocessor")),
    )


def _positive(value: Any) -> int | None:
    number = integer(value)
    return number if number and number > 0 else None


def _text(value: Any) -> str:
    return str(value)[:_LONGEST] if isinstance(value, str | int | float) else ""
