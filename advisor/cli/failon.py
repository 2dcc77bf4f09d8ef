"""--fail-on: which findings, or how much waste, turn the exit code into 1."""

from __future__ import annotations

from collections.abc import Iterable

from advisor.cli.diagnostics import CliError, ExitCode, cannot_measure, note
from advisor.document import Diagnosis
from advisor.gate import FailOn, GateError, parse_gate, rank
from rules.finding import Finding


def parse_fail_on(texts: Iterable[str]) -> FailOn:
    """SEVERITY, CODE or usd:N, repeated or comma-separated. Raises CliError naming what is wrong."""
    try:
        return parse_gate(texts)
    except GateError as error:
        raise CliError(f"--fail-on {error}", error.fix) from None


def reasons_to_fail(wanted: FailOn, diagnosis: Diagnosis) -> list[str]:
    """One line for each finding, or amount, that is at or over what was asked for.

    Raises CliError when usd:N was asked for and nothing on the node has a price: a gate that cannot be
    judged must not look passed.
    """
    lines = [f"{f.code} on GPU {f.gpu} is {f.severity}" for f in diagnosis.findings if _fails(wanted, f)]
    if wanted.usd_h is None:
        return lines
    wasted = diagnosis.totals.wasted_usd_h
    if wasted is None and not lines:
        raise cannot_measure(
            "--fail-on usd: cannot be judged, because no GPU here has a known price", "give --price USD_H"
        )
    if wasted is not None and wasted >= wanted.usd_h:
        lines.append(f"${wasted:.2f}/h is wasted, at or over ${wanted.usd_h:.2f}/h")
    return lines


def judge(diagnosis: Diagnosis, wanted: FailOn) -> ExitCode:
    """FINDINGS when anything asked for is there, with each reason on stderr."""
    reasons = reasons_to_fail(wanted, diagnosis)
    for line in reasons:
        note(f"--fail-on: {line}")
    return ExitCode.FINDINGS if reasons else ExitCode.OK


def _fails(wanted: FailOn, finding: Finding) -> bool:
    severe = wanted.severity is not None and rank(finding.severity) <= rank(wanted.severity)
    return severe or finding.code in wanted.codes
