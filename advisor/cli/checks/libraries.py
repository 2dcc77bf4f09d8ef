"""Checks of Python libraries by their installed metadata alone: torch and cupy are never imported."""

from __future__ import annotations

import re
from importlib import metadata

from advisor.cli.checks.check import Check, ok, skip, warn

CUPY = ("cupy-cuda11x", "cupy-cuda12x", "cupy-cuda13x", "cupy")
_LOCAL = re.compile(r"\+cu(\d+)(\d)$")
_RUNTIME = re.compile(r"^nvidia-cuda-runtime(?:-cu\d+)?\s*\(?==\s*(\d+)\.(\d+)")


def library_checks(driver_cuda: str | None) -> list[Check]:
    """Every python.* check. driver_cuda: the newest CUDA the driver runs, such as "13.0", or None."""
    return [_pynvml(), _torch(driver_cuda), _cupy(driver_cuda)]


def _pynvml() -> Check:
    binding = _version("nvidia-ml-py")
    if binding is None:
        return warn("python.pynvml", "nvidia-ml-py is not installed", "pip install nvidia-ml-py")
    impostor = _version("pynvml")
    # From 12 on, the `pynvml` distribution no longer ships a module of that name.
    if impostor is not None and int(impostor.partition(".")[0] or 0) < 12:
        return warn(
            "python.pynvml",
            f"pynvml {impostor} is installed beside nvidia-ml-py {binding} and may shadow it",
            "pip uninstall pynvml; pip install --force-reinstall nvidia-ml-py",
        )
    return ok("python.pynvml", f"nvidia-ml-py {binding}")


def _torch(driver_cuda: str | None) -> Check:
    version = _version("torch")
    if version is None:
        return _absent("python.torch", "torch", driver_cuda)
    built = torch_cuda(version, metadata.requires("torch") or [])
    if built is None:
        return warn(
            "python.torch",
            f"torch {version} is built without CUDA: advisor probe can measure the CPU alone",
            f"pip install 'gpu-advisor[{_extra(driver_cuda)}]' from an index with CUDA builds.",
        )
    return _matched("python.torch", f"torch {version} for CUDA {built[0]}.{built[1]}", built[0], driver_cuda)


def _cupy(driver_cuda: str | None) -> Check:
    found = [(name, version) for name in CUPY if (version := _version(name)) is not None]
    if not found:
        return _absent("python.cupy", "cupy", driver_cuda)
    if len(found) > 1:
        names = ", ".join(name for name, _ in found)
        return warn(
            "python.cupy", f"several cupy packages are installed: {names}", "Keep the one for your CUDA."
        )
    name, version = found[0]
    digits = re.search(r"cuda(\d+)x", name)
    if digits is None:
        return ok("python.cupy", f"cupy {version}, built from source")
    return _matched("python.cupy", f"{name} {version}", int(digits[1]), driver_cuda)


def torch_cuda(version: str, requires: list[str]) -> tuple[int, int] | None:
    """CUDA a torch build is for: by its version's local tag, else by the CUDA runtime it depends on."""
    if local := _LOCAL.search(version):
        return int(local[1]), int(local[2])
    found = (_RUNTIME.match(line) for line in requires)
    return next(((int(m[1]), int(m[2])) for m in found if m), None)


def _matched(id_: str, what: str, built_major: int, driver_cuda: str | None) -> Check:
    """A driver runs every CUDA up to its own major version."""
    if driver_cuda is None:
        return ok(id_, f"{what}; no driver here to match it with")
    major = int(driver_cuda.partition(".")[0])
    if built_major > major:
        return warn(
            id_,
            f"{what} is too new for this driver (CUDA {driver_cuda})",
            f"pip install 'gpu-advisor[{_extra(driver_cuda)}]', or update the driver.",
        )
    return ok(id_, f"{what}, driver runs up to CUDA {driver_cuda}")


def _absent(id_: str, name: str, driver_cuda: str | None) -> Check:
    """Nothing but the probes needs it, so its absence is no fault."""
    needed = f"{name} is not installed; advisor probe needs it to measure this card's ceilings"
    return skip(id_, needed, f"pip install 'gpu-advisor[{_extra(driver_cuda)}]'")


def _extra(driver_cuda: str | None) -> str:
    """The extra that fits a driver: one for an older CUDA runs on every newer driver as well."""
    major = int((driver_cuda or "12").partition(".")[0])
    return "cuda13" if major >= 13 else "cuda12"


def _version(distribution: str) -> str | None:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None
