"""Opening CUDA through torch in the worker: what stands in the way and what to do about it."""

from __future__ import annotations

import importlib
import platform
import tempfile
from collections.abc import MutableMapping
from importlib import metadata
from pathlib import Path
from typing import Any

import msgspec

from probes.lab import first_line
from probes.record import DeviceFacts

# Distributions by what a report calls them; the first that is installed counts.
_DISTRIBUTIONS = {
    "torch": ("torch",),
    "cupy": ("cupy-cuda13x", "cupy-cuda12x", "cupy"),
    "cublas": ("nvidia-cublas", "nvidia-cublas-cu12"),
    "triton": ("triton",),
}
# The CUDA major version a driver runs -> the extra of this package that fits it.
_EXTRAS = {12: "cuda12", 13: "cuda13"}

# What CUDA's own words (cudaGetErrorString) mean for who reads them.
_FIXES = {
    "out of memory": "Something holds nearly all of the GPU's memory: see `nvidia-smi`.",
    "system not yet initialized": "On NVSwitch nodes start the fabric manager: "
    "`sudo systemctl start nvidia-fabricmanager`, of the driver's own version.",
    "busy or unavailable": "The GPU is in exclusive or prohibited compute mode, or broken: see "
    "`nvidia-smi --query-gpu=compute_mode --format=csv`.",
    "unsupported display driver": "A CUDA compatibility library in LD_LIBRARY_PATH does not fit the driver: "
    "take it out of there.",
}
_CHECK = "Check `nvidia-smi`, the rights on /dev/nvidia*, and `python -c 'import torch; torch.cuda.init()'`."


class CannotStartError(Exception):
    """CUDA does not open here. fix: what to do about it."""

    def __init__(self, reason: str, fix: str) -> None:
        super().__init__(reason)
        self.fix = fix


def library_versions() -> dict[str, str]:
    """`python`, and of torch, cupy, cublas and triton whichever is installed; imports none of them."""
    found = {"python": platform.python_version()}
    for name, distributions in _DISTRIBUTIONS.items():
        if version := _first_version(distributions):
            found[name] = version
    return found


def _first_version(distributions: tuple[str, ...]) -> str | None:
    for distribution in distributions:
        try:
            return metadata.version(distribution)
        except metadata.PackageNotFoundError:
            continue
    return None


def prepare_cupy(env: MutableMapping[str, str]) -> None:
    """Set what cupy reads when it is imported: it must launch on the stream that torch uses, and keep
    compiled kernels in memory where it cannot write them to its cache."""
    env.pop("CUPY_CUDA_PER_THREAD_DEFAULT_STREAM", None)
    if not _can_write(env.get("CUPY_CACHE_DIR") or "~/.cupy/kernel_cache"):
        env["CUPY_CACHE_IN_MEMORY"] = "1"


def _can_write(path: str) -> bool:
    """Whether a folder is there, or can be, and takes files. Without a home "~" leads nowhere."""
    try:
        folder = Path(path).expanduser()
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return True
    except (OSError, RuntimeError):
        return False


def open_cuda(facts: DeviceFacts, cuda_driver: str | None) -> tuple[DeviceFacts, dict[str, str]]:
    """Import torch, open the one GPU it sees, run a kernel, and complete the facts.

    cuda_driver: the newest CUDA version the driver runs, as NVML says. Gives the versions of torch and of its
    CUDA too. Raises CannotStartError.
    """
    torch = _torch(cuda_driver)
    versions = {"torch": str(torch.__version__), "cuda": str(torch.version.cuda)}
    _check_versions(str(torch.__version__), torch.version.cuda, cuda_driver)
    try:
        torch.cuda.init()
        found = complete(facts, torch)
        _run_a_kernel(torch)
    except Exception as error:
        raise cannot_open(error, versions, facts, cuda_driver) from error
    return found, versions


def complete(facts: DeviceFacts, torch: Any) -> DeviceFacts:
    """The facts with what the runtime knows of the open device."""
    properties = torch.cuda.get_device_properties(0)
    free, total = torch.cuda.mem_get_info(0)
    known = {
        "sm_count": int(properties.multi_processor_count),
        "l2_bytes": int(getattr(properties, "L2_cache_size", 0)) or facts.l2_bytes,
        "compute_capability": f"{properties.major}.{properties.minor}",
        "memory_free_bytes": int(free),
        "memory_total_bytes": facts.memory_total_bytes or int(total),
    }
    missing = {what: why for what, why in facts.missing.items() if known.get(what) is None}
    return msgspec.structs.replace(facts, **known, missing=missing)


def cannot_open(
    error: Exception, versions: dict[str, str], facts: DeviceFacts, cuda_driver: str | None
) -> CannotStartError:
    """Why CUDA did not open, from what torch said."""
    text = str(error)
    ours = f"torch {versions['torch']} (CUDA {versions['cuda']})"
    if "no kernel image" in text:
        capability = facts.compute_capability or "this GPU's compute capability"
        reason = f"{ours} has no kernels for compute capability {capability}"
        return CannotStartError(reason, _install(cuda_driver, other_than=versions["cuda"]))
    if "too old" in text or "driver version is insufficient" in text:
        runs = f"which runs CUDA {cuda_driver} at most" if cuda_driver else "which is too old for it"
        return CannotStartError(f"{ours} does not fit the driver, {runs}", _install(cuda_driver))
    fix = next((fix for sign, fix in _FIXES.items() if sign in text), _CHECK)
    return CannotStartError(f"CUDA does not open: {first_line(error)}", fix)


def _torch(cuda_driver: str | None) -> Any:
    try:
        return importlib.import_module("torch")
    except ImportError as error:
        absent = isinstance(error, ModuleNotFoundError) and error.name == "torch"
        reason = "torch is not installed" if absent else f"torch cannot be imported: {first_line(error)}"
        raise CannotStartError(reason, _install(cuda_driver)) from error


def _check_versions(torch: str, cuda: str | None, cuda_driver: str | None) -> None:
    """A driver runs every CUDA of its own major version and of earlier ones (minor version compatibility)."""
    if cuda is None:
        raise CannotStartError(f"torch {torch} is a build without CUDA", _install(cuda_driver))
    if cuda_driver is None or _major(cuda) <= _major(cuda_driver):
        return
    raise CannotStartError(
        f"torch {torch} is built for CUDA {cuda}, and the driver runs CUDA {cuda_driver} at most",
        f"{_install(cuda_driver)} Or update the driver.",
    )


def _run_a_kernel(torch: Any) -> None:
    torch.zeros(1, device="cuda:0").add_(1)
    torch.cuda.synchronize()


def _install(cuda_driver: str | None, other_than: str | None = None) -> str:
    """The extra for this driver; for a card that a newer CUDA dropped, the older one."""
    extra = _EXTRAS.get(_major(cuda_driver)) if cuda_driver else None
    if other_than is not None and extra == _EXTRAS.get(_major(other_than)):
        extra = "cuda12" if extra == "cuda13" else "cuda13"
    if extra is None and cuda_driver and _major(cuda_driver) < min(_EXTRAS):
        return "The driver is too old for CUDA 12: update it."
    if extra is None:
        extra = "cuda13" if cuda_driver else "cuda12"
    return f"Install torch for this driver: `pip install 'gpu-advisor[{extra}]'`."


def _major(version: str) -> int:
    head = version.partition(".")[0]
    return int(head) if head.isdigit() else 0
