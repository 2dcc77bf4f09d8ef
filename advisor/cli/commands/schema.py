"""`advisor schema`: the JSON Schema of what advisor writes and reads."""

from __future__ import annotations

from typing import Literal, get_args

import rich_click as click

Kind = Literal[
    "diagnosis",
    "recording",
    "config",
    "probe",
    "prices",
    "comparison",
    "bundle",
    "history",
    "calculation",
    "serving",
]


@click.command("schema", epilog=f"KIND is one of {', '.join(get_args(Kind))}.")
@click.argument("kind", type=click.Choice(get_args(Kind)), default="diagnosis", metavar="[KIND]")
@click.option(
    "--json", is_flag=True, expose_value=False, help="The schema is always JSON; accepted for symmetry."
)
def command(kind: Kind) -> int:
    """Print the JSON Schema of what advisor writes or reads; without KIND that of a diagnosis (`--json`)."""
    from advisor.cli import output
    from advisor.cli.diagnostics import ExitCode
    from advisor.schema import json_schema

    output.write_record(json_schema(kind))
    return ExitCode.OK
