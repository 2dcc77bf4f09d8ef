"""Compiles the simulated NVML library with the system compiler.

`python -m tests.nvml_stub.build --out DIR [--omit SYMBOL]...` prints the directory for LD_LIBRARY_PATH.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

SOURCES = Path(__file__).parent / "src"
LIBRARY = "libnvidia-ml.so.1"
FLAGS = (
    "-std=gnu11", "-Wall", "-Wextra", "-Werror", "-O1", "-fPIC", "-shared", "-fvisibility=hidden", "-pthread",
    f"-Wl,-soname,{LIBRARY}",
)  # fmt: skip


class CompilerError(RuntimeError):
    """There is no C compiler, or it refused the sources."""


def compiler() -> str | None:
    """Path of the C compiler: $CC, cc, gcc or clang. None where there is none."""
    names = [os.environ.get("CC", ""), "cc", "gcc", "clang"]
    return next((found for name in names if name and (found := shutil.which(name))), None)


def build_stub(out_dir: Path, omit: Sequence[str] = ()) -> Path:
    """Compiles into a folder of `out_dir` named by a hash of sources and options, once; returns that folder.

    omit: exported symbols left out, as a driver too old for them would: `nvmlDeviceGetFieldValues`.
    Several processes may call this at the same time. Raises CompilerError.
    """
    found = compiler()
    if found is None:
        raise CompilerError("no C compiler: none of $CC, cc, gcc, clang is on PATH")
    target = out_dir / _digest(found, omit)
    if not (target / LIBRARY).exists():
        out_dir.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=out_dir) as scratch:
            _compile(found, Path(scratch) / LIBRARY, omit)
            target.mkdir(exist_ok=True)
            (Path(scratch) / LIBRARY).replace(target / LIBRARY)
    return target


def _digest(found: str, omit: Sequence[str]) -> str:
    state = hashlib.sha256(repr((found, FLAGS, sorted(omit))).encode())
    for source in sorted(SOURCES.iterdir()):
        state.update(source.name.encode() + b"\0" + source.read_bytes())
    return state.hexdigest()[:16]


def _compile(found: str, library: Path, omit: Sequence[str]) -> None:
    renamed = [f"-D{symbol}=omitted_{symbol}" for symbol in omit]
    sources = [str(path) for path in sorted(SOURCES.glob("*.c"))]
    command = [found, *FLAGS, *renamed, *sources, "-lm", "-o", str(library)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise CompilerError(f"{found} failed with exit code {done.returncode}:\n{done.stderr}")


def default_cache() -> Path:
    """Folder for compiled libraries under the user's cache."""
    root = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(root) / "gpu-advisor" / "simulated-nvml"


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line: builds, prints the directory."""
    parser = argparse.ArgumentParser(description="Compile the simulated NVML library.")
    parser.add_argument(
        "--out", type=Path, default=default_cache(), help="where to build (default: the user's cache)"
    )
    parser.add_argument(
        "--omit", action="append", default=[], metavar="SYMBOL", help="leave this function out"
    )
    options = parser.parse_args(arguments)
    try:
        print(build_stub(options.out, options.omit).resolve())  # noqa: T201
    except CompilerError as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
