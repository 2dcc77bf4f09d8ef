"""`python -m probes`: measure what a device can do, without the rest of the program.

Results on stdout, everything else on stderr. Exit code 0: measured; 2: wrong usage; 3: nothing could be
measured; 130: interrupted.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec

from probes import registry
from probes.devices import NoDeviceError, list_devices
from probes.events import Event, Progress
from probes.metrics import METRICS
from probes.plain import one_line, run_table
from probes.record import DeviceFacts, Kind, Mode, Plan, ProbeRun
from probes.suite import run_devices

FINE, USAGE, CANNOT, INTERRUPTED = 0, 2, 3, 130
_SECONDS = {"": 1.0, "s": 1.0, "m": 60.0, "min": 60.0}
_SUSTAINED_MAX_S = 3600.0
_KINDS: tuple[Kind, ...] = ("cuda", "cpu")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line. Returns the exit code; wrong usage raises SystemExit."""
    parser = _parser()
    asked = parser.parse_args(arguments)
    if asked.output is not None and (problem := _cannot_hold(asked.output)):
        return _complain(USAGE, problem)
    if asked.list:
        return _write(_listing(), None)
    try:
        return _probe(parser, asked)
    except NoDeviceError as error:
        return _complain(CANNOT, str(error), error.fix)
    except KeyboardInterrupt:
        return _complain(INTERRUPTED, "interrupted")


def _probe(parser: argparse.ArgumentParser, asked: argparse.Namespace) -> int:
    _check_names(parser, tuple(asked.names), _KINDS)
    devices = list_devices(asked.device)
    _check_names(parser, tuple(asked.names), tuple({facts.kind for facts in devices}), each=True)
    plan = Plan(
        names=tuple(asked.names),
        mode=_mode(asked),
        sustained_s=asked.sustained,
        force=asked.force,
        seed=asked.seed,
    )
    with_progress = sys.stderr.isatty()
    run = run_devices(plan, devices, _show if with_progress else _nothing)
    if with_progress:
        sys.stderr.write("\r\x1b[2K")
    text = _json(run) if asked.json else run_table(run) + "\n"
    return _write(text, asked.output) or _outcome(run)


def _outcome(run: ProbeRun) -> int:
    for report in run.reports:
        if report.refused:
            _complain(CANNOT, f"{report.device.name}: {report.refused}")
    if any(report.interrupted for report in run.reports):
        return _complain(INTERRUPTED, "interrupted")
    measured = any(m.median is not None for report in run.reports for m in report.measurements)
    return FINE if measured else CANNOT


def _check_names(
    parser: argparse.ArgumentParser, names: tuple[str, ...], kinds: Sequence[Kind], *, each: bool = False
) -> None:
    """Every kind of device must have the probes, or with each=False at least one of the kinds."""
    problems = []
    for kind in kinds:
        try:
            registry.chosen(kind, names)
        except ValueError as error:
            problems.append(str(error))
    if problems and (each or len(problems) == len(kinds)):
        parser.error(one_line("; ".join(problems), 400))


def _mode(asked: argparse.Namespace) -> Mode:
    return "quick" if asked.quick else "full" if asked.full else "default"


def _show(facts: DeviceFacts, event: Event) -> None:
    """One line on a terminal that overwrites itself."""
    if isinstance(event, Progress):
        where = "CPU" if facts.index is None else f"GPU {facts.index}"
        line = one_line(f"{where} {event.probe} {event.frac:4.0%} {event.text}", 78)
        sys.stderr.write(f"\r\x1b[2K{line}")
        sys.stderr.flush()


def _nothing(_facts: DeviceFacts, _event: Event) -> None:
    """Off a terminal there is no progress."""


def _json(run: ProbeRun) -> str:
    return msgspec.json.format(msgspec.json.encode(run), indent=2).decode() + "\n"


def _cannot_hold(path: Path) -> str | None:
    """Why a file cannot be written there, before anything is measured for it."""
    if path.is_dir():
        return f"{path} is a folder"
    place = path if path.exists() else path.parent
    return None if os.access(place, os.W_OK) else f"cannot write to {place}"


def _write(text: str, path: Path | None) -> int:
    """To a file, or to stdout as far as its encoding goes."""
    try:
        if path is not None:
            with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
                file.write(text.encode("utf-8", "replace"))
            return FINE
        sys.stdout.buffer.write(text.encode(sys.stdout.encoding or "utf-8", "replace"))
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError as error:
        return _complain(USAGE, f"cannot write the result: {error}")
    return FINE


def _complain(code: int, what: str, fix: str = "") -> int:
    sys.stderr.write(f"probes: {one_line(what, 600)}\n")
    if fix:
        sys.stderr.write(f"  {one_line(fix, 600)}\n")
    return code


def _listing() -> str:
    lines = []
    for kind in _KINDS:
        lines.append("GPU" if kind == "cuda" else "CPU")
        lines += [
            f"  {probe.name:<10} {_metrics(probe.name)}" for probe in registry.PROBES if probe.kind == kind
        ]
    return "\n".join(lines) + "\n"


def _metrics(probe: str) -> str:
    return ", ".join(metric.name for metric in METRICS.values() if metric.probe == probe)


def _duration(text: str) -> float:
    """Seconds from "120", "120s" or "2m"."""
    match = re.fullmatch(r"([0-9]{1,6}(?:\.[0-9]{1,3})?)(s|m|min|)", text.strip())
    seconds = float(match[1]) * _SECONDS[match[2]] if match else 0.0
    if not 1.0 <= seconds <= _SUSTAINED_MAX_S:
        raise argparse.ArgumentTypeError(f"{text!r} is no time between 1s and 60m")
    return seconds


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m probes", description="Measure what a device can do.")
    parser.add_argument("names", nargs="*", metavar="NAME", help="probes to run; all if none is named")
    parser.add_argument(
        "--device", default="", help="0, a list by commas, a UUID, all, or cpu (default: the first GPU)"
    )
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--quick", action="store_true", help="at most 15 s on an H100")
    length.add_argument("--full", action="store_true", help="some minutes: longer windows, all shapes")
    parser.add_argument(
        "--sustained", type=_duration, metavar="TIME", help="how long a GEMM is kept up: 120s"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the random data (default: 0)")
    parser.add_argument(
        "--force", action="store_true", help="measure beside others too; marked, and never a ceiling"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("-o", "--output", type=Path, metavar="FILE", help="write there instead of stdout")
    parser.add_argument("--list", action="store_true", help="list the probes and what each measures")
    return parser


if __name__ == "__main__":
    sys.exit(main())
