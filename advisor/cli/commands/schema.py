"""`advisor schema`: the JSON Schema of what advisor writes and reads."""

from __future__ import annotations

from typing import cast

import rich_click as click

from advisor.schema import WHICH, Which, json_schema

# What commands print, by the command's own name.
COMMANDS: dict[str, Which] = {
    "compare": "comparison",
    "cost": "calculation",
    "diagnose": "diagnosis",
    "record": "recording",
}


@click.command("schema", epilog=f"KIND is one of {', '.join(WHICH)}.")
@click.argument("kind", type=click.Choice((*WHICH, *COMMANDS)), default="diagnosis", metavar="[KIND]")
@click.option(
    "--json", is_flag=True, expose_value=False, help="The schema is always JSON; accepted for symmetry."
)
def command(kind: str) -> int:
    """Print the JSON Schema of what advisor writes or reads; without KIND that of a diagnosis (`--json`)."""
    from advisor.cli import output
    from advisor.cli.diagnostics import ExitCode

    output.write_record(json_schema(COMMANDS.get(kind) or cast("Which", kind)))
    return ExitCode.OK
