"""Readings that come by field id, many in one nvmlDeviceGetFieldValues, each with its own return code."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from advisor.telemetry import nvml_api as api
from advisor.telemetry.nvml_api import Nvml, NvmlError
from advisor.telemetry.nvml_errors import DeviceCalls

_UNSIGNED_INT = 1
_VALUE_OF_TYPE = ("dVal", "uiVal", "ulVal", "ullVal", "sllVal", "siVal", "usVal")
ALL_LINKS = 0xFFFFFFFF
KIB = 1024


class FieldReading(NamedTuple):
    """An NVML field id, the `Sample` field it fills, and how: `convert(value, valueType)`."""

    id: int
    scope: int
    field: str
    convert: Callable[[Any, int], Any]


def _counter(value: Any, value_type: int) -> int:
    """A byte counter; one of 32 bits would wrap several times a second, so it is no use."""
    if value_type == _UNSIGNED_INT:
        raise ValueError("this driver's counter has 32 bits and wraps too fast")
    return int(value)


def _kib_counter(value: Any, _value_type: int) -> int:
    return int(value) * KIB


def _temperature(value: Any, _value_type: int) -> float:
    if not 0 < value < 200:
        raise ValueError(f"the driver's memory temperature makes no sense ({value})")
    return float(value)


FAST_FIELDS = (
    FieldReading(197, 0, "pcie_tx_bytes", _counter),
    FieldReading(198, 0, "pcie_rx_bytes", _counter),
    FieldReading(138, ALL_LINKS, "nvlink_tx_bytes", _kib_counter),
    FieldReading(139, ALL_LINKS, "nvlink_rx_bytes", _kib_counter),
)
SLOW_FIELDS = (FieldReading(82, 0, "mem_temp_c", _temperature),)


def read_fields(
    nvml: Nvml, calls: DeviceCalls, readings: tuple[FieldReading, ...], into: dict[str, Any]
) -> None:
    """Put these fields' values into `into`, or take them out and note why. Raises DeviceLostError."""
    wanted = [reading for reading in readings if not calls.refused(reading.id)]
    for reading in readings:
        into.pop(reading.field, None)
    if not wanted or calls.refused("nvmlDeviceGetFieldValues"):
        return
    try:
        found = nvml.call("nvmlDeviceGetFieldValues", calls.handle, [(r.id, r.scope) for r in wanted])
    except NvmlError as error:
        calls.note("nvmlDeviceGetFieldValues", [r.field for r in wanted], error.code)
        return
    for reading, value in zip(wanted, found, strict=True):
        _keep(calls, reading, value, into)


def _keep(calls: DeviceCalls, reading: FieldReading, value: Any, into: dict[str, Any]) -> None:
    if value.nvmlReturn != api.SUCCESS:
        calls.note(reading.id, (reading.field,), value.nvmlReturn)
        return
    try:
        kind = value.valueType
        into[reading.field] = reading.convert(getattr(value.value, _VALUE_OF_TYPE[kind]), kind)
    except (ValueError, IndexError) as nonsense:
        calls.explain((reading.field,), str(nonsense))
        return
    calls.found((reading.field,))
