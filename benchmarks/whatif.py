"""What-ifs held against measured speed-ups: for each labelled workload with a known fix, did the range hold?

    python -m benchmarks.whatif [--json] [--recordings DIR_OR_ARCHIVE]... [-o FILE]

Each recording is replayed through the product, its what-if of the known fix is worked out from the recording
alone, and compared with how much faster the fix was measured to run. Without --recordings: everything under
benchmarks/results/ that a GPU produced; where there is nothing, simulated recordings, whose speed-ups come
from a model of a card: they test the machinery and claim nothing.

Exit code: 0, or 2 where no recording can be read.
"""

from __future__ import annotations

import argparse
import math
import statistics
import sys
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec

from advisor.config import Config
from advisor.monitor import Monitor, MonitorOptions
from advisor.telemetry.lines import RecordingError
from advisor.whatifs import cases
from benchmarks.accuracy.__main__ import find_corpus
from benchmarks.accuracy.corpus import Corpus, CorpusError, Problem, Recorded
from benchmarks.accuracy.replay import header, read_messages, subject_key
from rules.whatif import WhatIf
from rules.whatifs.answers import combined, what_ifs
from rules.whatifs.registry import named

AIM_INSIDE, AIM_ERROR = 0.8, 0.15
# Runs of one program differ by as much: a measured speed-up this far outside a range still counts as inside.
TOLERANCE = 0.02

# Family of workloads, or one of them by name -> the fix that its known fix is.
FIXES: dict[str, str] = {
    "host_input": "host-gap",
    "host_launch": "cuda-graphs",
    "host_sync": "host-gap",
    "host_limits": "host-gap",
    "pageable_copies": "pin-memory",
    "small_h2d_copies": "host-gap",
    "host_compute_60_40": "host-gap",
    "host_memory_40_60": "host-gap",
    "gemm_fp32_no_tf32": "tf32",
    "elementwise_chain": "fuse",
    "device_shape": "fill-gpu",
}
NOT_SPOKEN_OF: dict[str, str] = {
    "memory_decode": "its fix makes the batch eight times as large; the what-if speaks of doubling it",
}


class Compared(msgspec.Struct, frozen=True, kw_only=True):
    """One workload: what was predicted for its known fix, and what was measured.

    measured: work a second with the fix over without. low, high: the predicted range; None where refused.
    inside: whether the measured one lies in it, within TOLERANCE. width: high over low. proposed: whether
    the diagnosis speaks for this fix unasked. error_frac: how far the middle of the range (geometric mean) is
    from the measured one. said: why nothing was predicted, else "".
    """

    name: str
    family: str
    source: str
    known_fix: str
    fix: str
    measured: float
    low: float | None = None
    high: float | None = None
    basis: str = ""
    inside: bool | None = None
    width: float | None = None
    proposed: bool = False
    error_frac: float | None = None
    said: str = ""


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """All workloads. compared: those with a prediction; median_error_frac, median_width: over these, or None.

    inside_frac: of all with a measured speed-up, so that a refusal counts as outside. proposed,
    proposed_inside_frac, proposed_median_width: of those fixes alone that the diagnosis speaks for unasked;
    the fix asked about is the workload's known one, not the diagnosis's choice. tolerance_frac: how far
    outside a range still counts as inside. claims: what may be concluded. aims_met: None where nothing was
    measured on a GPU.
    """

    synthetic: bool
    claims: str
    compared: int
    refused: int
    inside_frac: float | None
    median_error_frac: float | None
    median_width: float | None = None
    proposed: int = 0
    proposed_inside_frac: float | None = None
    proposed_median_width: float | None = None
    tolerance_frac: float = TOLERANCE
    aims_met: bool | None = None
    aim_inside_frac: float = AIM_INSIDE
    aim_error_frac: float = AIM_ERROR
    rows: tuple[Compared, ...] = ()
    left_out: dict[str, str] = {}
    problems: tuple[Problem, ...] = ()


def fix_of(name: str, family: str) -> str | None:
    """The what-if that a workload's known fix is; None where none speaks of it."""
    return FIXES.get(name) or FIXES.get(family)


def compare_all(corpus: Corpus) -> Result:
    """Every workload with a known fix and a measured speed-up. Raises CorpusError where none can be read."""
    rows: list[Compared] = []
    left_out: dict[str, str] = {}
    problems = list(corpus.problems)
    synthetic = corpus.synthetic
    for recorded in corpus.recordings:
        reason = _left_out(recorded)
        if reason:
            left_out[recorded.truth.name] = reason
            continue
        made = _compared(recorded)
        if isinstance(made, Problem):
            problems.append(made)
        else:
            row, streamed = made
            synthetic |= streamed
            rows.append(row)
    if not corpus.recordings:
        raise CorpusError("no recording can be compared: " + "; ".join(p.reason for p in problems)[:300])
    return _result(rows, left_out, tuple(problems), synthetic)


def _left_out(recorded: Recorded) -> str:
    truth = recorded.truth
    if truth.fix is None:
        return "no known fix but other hardware or less work"
    if truth.speedup is None or not math.isfinite(truth.speedup) or truth.speedup <= 0.0:
        return "no measured speed-up: its fix did not run"
    if fix_of(truth.name, truth.family) is None:
        return (
            NOT_SPOKEN_OF.get(truth.name) or NOT_SPOKEN_OF.get(truth.family) or "no what-if speaks of its fix"
        )
    return ""


def _compared(recorded: Recorded) -> tuple[Compared, bool] | Problem:
    try:
        messages = read_messages(recorded.path)
        key = subject_key(messages, recorded.truth)
        monitor = Monitor(MonitorOptions(window_s=None, source="replay", config=Config(), env={}))
        for message in messages:
            monitor.feed(message)
        case = next(case for case in cases(monitor.diagnosis()) if case.evidence.key == key)
    except (RecordingError, ValueError, ArithmeticError, StopIteration) as error:
        return Problem(file=str(recorded.path), reason=str(error) or "its device is not in its stream")
    slug = fix_of(recorded.truth.name, recorded.truth.family) or ""
    proposed = slug in {one.fix for one in what_ifs(case) if one.refused is None}
    row = against(recorded, combined(case, named(slug)), proposed=proposed)
    return row, header(messages).synthetic


def against(recorded: Recorded, said: WhatIf, *, proposed: bool = True) -> Compared:
    """A what-if beside the measured speed-up. A fix that it says gains nothing predicts 1.0.

    proposed: whether the diagnosis speaks for the fix unasked.
    """
    truth = recorded.truth
    measured = truth.speedup or math.nan
    plain = Compared(
        name=truth.name,
        family=truth.family,
        source=recorded.source,
        known_fix=truth.fix or "",
        fix=said.fix,
        measured=measured,
        basis=said.basis,
        proposed=proposed and said.effect is not None,
        said=said.refused or "",
    )
    if said.effect is None:
        return plain
    low, high = said.effect.low, said.effect.high
    gains = proposed and bool(said.levers)
    return msgspec.structs.replace(
        plain,
        low=low,
        high=high,
        inside=low * (1.0 - TOLERANCE) <= measured <= high * (1.0 + TOLERANCE),
        width=high / low,
        error_frac=abs(math.sqrt(low * high) / measured - 1.0),
        said="" if gains else "not proposed: its cause was not seen",
    )


def _result(
    rows: list[Compared], left_out: dict[str, str], problems: tuple[Problem, ...], synthetic: bool
) -> Result:
    told = [row for row in rows if row.inside is not None]
    spoken = [row for row in told if row.proposed]
    inside = sum(row.inside is True for row in rows) / len(rows) if told else None
    error = _median([row.error_frac for row in told])
    met = None
    if not synthetic and inside is not None and error is not None:
        met = inside >= AIM_INSIDE and error <= AIM_ERROR
    return Result(
        synthetic=synthetic,
        claims=_claims(synthetic, bool(told)),
        compared=len(told),
        refused=len(rows) - len(told),
        inside_frac=inside,
        median_error_frac=error,
        median_width=_median([row.width for row in told]),
        proposed=len(spoken),
        proposed_inside_frac=sum(row.inside is True for row in spoken) / len(spoken) if spoken else None,
        proposed_median_width=_median([row.width for row in spoken]),
        aims_met=met,
        rows=tuple(rows),
        left_out=left_out,
        problems=problems,
    )


def _median(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.median(known) if known else None


def _claims(synthetic: bool, any_told: bool) -> str:
    if not any_told:
        return "No measured speed-up could be compared, so nothing is claimed."
    if synthetic:
        return (
            "SIMULATED recordings: speed-ups come from a model of a card, and no GPU produced them. This "
            "tests the machinery and claims nothing of what-ifs; the aims are not shown."
        )
    return "Speed-ups were measured on a GPU, with the fix and without; the run without was watched."


def text(result: Result) -> str:
    """The table and its sums, for a terminal."""
    lines = [result.claims, ""]
    if result.rows:
        wide = max(len(row.name) for row in result.rows)
        lines.append(f"{'workload'.ljust(wide)}  fix          measured  predicted         inside  error")
        lines += [_line(row, wide) for row in result.rows]
        lines.append("")
    lines += _sums(result)
    lines += [f"left out: {name}: {why}" for name, why in sorted(result.left_out.items())]
    lines += [f"problem: {problem.file}: {problem.reason}" for problem in result.problems]
    return "\n".join(lines) + "\n"


def _line(row: Compared, wide: int) -> str:
    head = f"{row.name.ljust(wide)}  {row.fix.ljust(11)}  {row.measured:7.2f}x"
    if row.low is None or row.high is None:
        return f"{head}  refused: {row.said}"
    said = f"  ({row.said})" if row.said else ""
    inside = "yes" if row.inside else "no"
    predicted = f"{row.low:.2f}x to {row.high:.2f}x"
    return f"{head}  {predicted.ljust(16)}  {inside.ljust(6)}  {100 * (row.error_frac or 0.0):4.0f} %{said}"


def _sums(result: Result) -> Iterable[str]:
    if result.inside_frac is None or result.median_error_frac is None:
        return ()
    verdict = {None: "not shown", True: "met", False: "missed"}[result.aims_met]
    return (
        f"{result.compared} compared, {result.refused} refused (a refusal counts as outside); inside is "
        f"within {100 * TOLERANCE:.0f} % of the range.",
        f"inside the range: {100 * result.inside_frac:.0f} % (aim {100 * AIM_INSIDE:.0f} %); median error of "
        f"its middle: {100 * result.median_error_frac:.0f} % (aim {100 * AIM_ERROR:.0f} %): {verdict}",
        f"median width (high over low): {result.median_width or math.nan:.2f}x",
        *_proposed(result),
    )


def _proposed(result: Result) -> Iterable[str]:
    """The fixes that a diagnosis speaks for: the others span from no gain to the bound."""
    if result.proposed_inside_frac is None:
        return ("proposed by the diagnosis: none",)
    return (
        f"proposed by the diagnosis: {result.proposed}; inside {100 * result.proposed_inside_frac:.0f} %, "
        f"median width {result.proposed_median_width or math.nan:.2f}x",
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run; returns the exit code."""
    args = _parser().parse_args(argv)
    with tempfile.TemporaryDirectory(prefix="advisor-whatif-") as scratch:
        try:
            result = compare_all(find_corpus(args.recordings, Path(scratch)))
        except CorpusError as error:
            print(f"whatif: {error}", file=sys.stderr)
            return 2
    said = (
        msgspec.json.format(msgspec.json.encode(result), indent=2).decode() + "\n"
        if args.json
        else text(result)
    )
    if args.out is None:
        sys.stdout.write(said)
    else:
        args.out.write_text(said)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.whatif",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--json", action="store_true", help="print the whole result as JSON")
    parser.add_argument("--recordings", action="append", type=Path, default=[], metavar="DIR_OR_ARCHIVE")
    parser.add_argument("-o", "--out", type=Path, metavar="FILE", help="write to a file")
    return parser


if __name__ == "__main__":
    sys.exit(main())
