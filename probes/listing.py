"""Asks the driver for its devices, in a process that may hang: `python -m probes.listing` prints JSON."""

from __future__ import annotations

import contextlib
import subprocess
import sys

import msgspec

from probes.link import start_environment
from probes.record import DeviceFacts

HANGS_FIX = (
    "If `nvidia-smi` hangs too, the driver is hung: look at `dmesg | grep -i -e nvrm -e xid`; a GPU reset or "
    "a reboot is usually needed."
)


class Listed(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What there is. skipped: by index, why a GPU cannot be probed. error, fix: why nothing is known."""

    devices: tuple[DeviceFacts, ...] = ()
    skipped: dict[int, str] = {}
    error: str | None = None
    fix: str = ""


def listed(timeout_s: float) -> Listed:
    """What the driver has. Never raises for what the driver does; a hung one is left behind, killed."""
    command = [sys.executable, "-P", "-m", "probes.listing"]
    try:
        done = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
            env=start_environment(),
        )
    except OSError as error:
        return Listed(error=f"the driver cannot be asked: {error}", fix="Check the Python installation.")
    return _answer(done, timeout_s)


def _answer(process: subprocess.Popen[bytes], timeout_s: float) -> Listed:
    """Not `communicate` after the kill: a process stuck in the driver would be waited for without end."""
    try:
        out, said = process.communicate(timeout=timeout_s)
    except subprocess.TimeoutExpired:
        return Listed(error=f"the NVIDIA driver does not answer (waited {timeout_s:g} s)", fix=HANGS_FIX)
    finally:
        _let_go(process)
    try:
        return msgspec.json.decode(out, type=Listed)
    except msgspec.MsgspecError:
        return _unanswered(process.returncode, said)


def _let_go(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.kill()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(1.0)
    for pipe in (process.stdout, process.stderr):
        if pipe is not None:
            pipe.close()


def _unanswered(code: int, said: bytes) -> Listed:
    last = (said.decode(errors="replace").strip().splitlines() or ["it said nothing"])[-1]
    plain = "".join(c if c.isprintable() else " " for c in last)[:200]
    return Listed(error=f"asking the driver failed with code {code}: {plain}", fix="Check `nvidia-smi`.")


def main() -> int:
    """Print what the driver has."""
    sys.stdout.buffer.write(msgspec.json.encode(_look()))
    return 0


def _look() -> Listed:
    try:
        from probes.nvml import CannotProbeError, Nvml, list_devices
    except ImportError as error:
        return Listed(error=f"pynvml cannot be imported: {error}", fix="Install nvidia-ml-py.")
    try:
        nvml = Nvml()
        found = list_devices(nvml)
    except CannotProbeError as error:
        return Listed(error=str(error), fix=error.fix)
    except ImportError as error:
        return Listed(error=f"pynvml cannot be imported: {error}", fix="Install nvidia-ml-py.")
    answer = Listed(devices=tuple(d.facts for d in found.devices), skipped=found.skipped)
    nvml.close()
    return answer


if __name__ == "__main__":
    sys.exit(main())
