"""The comparison of two traces: redacted, compared, delivered in the shape that was asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from advisor.cli.delivery import Delivery, Format, check_writable, hand_over
from advisor.cli.diagnostics import CliError, ExitCode
from advisor.document import Diagnosis

if TYPE_CHECKING:
    from rules.traces.compared import TraceComparison

SHAPES: tuple[Format, ...] = ("text", "md", "json")


def check_comparison(wanted: Delivery) -> None:
    """Raise CliError for a shape that no comparison is written in."""
    if wanted.shape not in SHAPES:
        raise CliError(
            f"a comparison is not written as {wanted.shape}", f"--format {', '.join(SHAPES)}, or one trace"
        )
    check_writable(wanted, SHAPES)


def compare_and_show(a: Diagnosis, b: Diagnosis, names: tuple[str, str], wanted: Delivery) -> ExitCode:
    """Deliver what changed from a to b, documents as they may leave. Raises CliError (2) for no pair."""
    from advisor.traces.comparing import compare_traces

    found = compare_traces(a, b, names=names)
    hand_over(wanted, lambda width, color, unicode: _draw(found, wanted, width, color, unicode))
    if found.refused is not None:
        raise CliError(f"not comparable: {found.refused}", "name two traces of the same job")
    return ExitCode.OK


def _draw(found: TraceComparison, wanted: Delivery, width: int, color: bool, unicode: bool) -> str:
    from advisor.reports import trace_compare as reports

    if wanted.shape == "json":
        from advisor.reports.jsontext import as_json

        return as_json(found, unicode=unicode)
    if wanted.shape == "md":
        from advisor.reports.escape import markup_as_ascii

        text = reports.render_markdown(found)
        return text if unicode else markup_as_ascii(text)
    return reports.render_text(found, width, color, unicode=unicode)
