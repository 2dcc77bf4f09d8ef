"""Starting NVML, and what to tell a person when that fails."""

from __future__ import annotations

from pathlib import Path

from advisor.telemetry import nvml_api as api
from advisor.telemetry.nvml_api import Nvml, NvmlError, PyNvml
from advisor.telemetry.nvml_errors import describe


class CannotMeasureError(Exception):
    """NVML gives nothing here. `fix` says what to do."""

    def __init__(self, message: str, fix: str) -> None:
        super().__init__(message)
        self.fix = fix


_CONTAINER = "In a container, start it with the GPUs: `docker run --gpus all …` (NVIDIA Container Toolkit)."
_DMESG = "Look at `nvidia-smi` and `dmesg | grep -i -e nvrm -e xid`."

_FAILURES = {
    api.LIBRARY_NOT_FOUND: (
        "no NVIDIA driver found (libnvidia-ml.so.1 could not be loaded)",
        f"Install the NVIDIA driver. {_CONTAINER}",
    ),
    api.DRIVER_NOT_LOADED: (
        "the NVIDIA driver is not loaded",
        f"Load it with `sudo modprobe nvidia`; if that fails, reinstall it. {_DMESG}",
    ),
    api.LIB_RM_VERSION_MISMATCH: (
        "driver/library version mismatch: reboot or reload the kernel module",
        "The driver was upgraded under a running kernel: reboot, or stop GPU processes and reload `nvidia`.",
    ),
    api.NO_PERMISSION: (
        "no permission to use the NVIDIA driver",
        f"Give this user read and write access to /dev/nvidiactl and /dev/nvidia*. {_CONTAINER}",
    ),
    api.OPERATING_SYSTEM: (
        "the operating system blocks the NVIDIA driver",
        f"Check access to /dev/nvidia* and security modules. {_CONTAINER}",
    ),
    api.GPU_IS_LOST: ("the GPU is lost: it fell off the bus", f"{_DMESG} A reboot is usually needed."),
    api.FUNCTION_NOT_FOUND: (
        "the NVIDIA driver is too old (its NVML lacks a function needed to start)",
        "Update the NVIDIA driver.",
    ),
}
NO_DEVICES = CannotMeasureError(
    "the NVIDIA driver is loaded but no GPU is visible",
    f"Check `nvidia-smi -L`. {_CONTAINER}",
)


def cannot_measure(code: int) -> CannotMeasureError:
    """The sentence and the fix for an nvmlInit that failed with this code."""
    message, fix = _FAILURES.get(code, (f"the NVIDIA driver does not start NVML: {describe(code)}", _DMESG))
    return CannotMeasureError(message, fix)


def start_nvml() -> Nvml:
    """Load and initialise NVML. Raises CannotMeasureError; may hang with a hung driver."""
    nvml = PyNvml()
    try:
        nvml.call("nvmlInit")
    except NvmlError as error:
        raise cannot_measure(error.code) from None
    return nvml


def is_simulated(nvml: Nvml) -> bool:
    """True when no driver answers but a simulation, so that nothing seen is a measurement."""
    return bool(getattr(nvml, "simulated", False))


def driver_versions(nvml: Nvml) -> tuple[str | None, str | None]:
    """Versions of the driver and of the CUDA it supports ("12.8"), None where the driver does not say."""
    return _text(nvml, "nvmlSystemGetDriverVersion"), _cuda(nvml)


def _text(nvml: Nvml, function: str) -> str | None:
    try:
        return str(nvml.call(function))
    except NvmlError:
        return None


def _cuda(nvml: Nvml) -> str | None:
    try:
        version = int(nvml.call("nvmlSystemGetCudaDriverVersion"))
    except NvmlError:
        return None
    return f"{version // 1000}.{version % 1000 // 10}"


def pynvml_version() -> str | None:
    """The installed nvidia-ml-py, read off its metadata folder's name (importlib.metadata costs 20 ms)."""
    import pynvml

    beside = Path(pynvml.__file__).parent.glob("nvidia_ml_py-*.dist-info")
    return next((folder.name.split("-")[1].removesuffix(".dist") for folder in beside), None)
