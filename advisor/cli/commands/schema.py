"""`advisor schema`: the JSON Schema of what advisor writes and reads."""

from __future__ import annotations

import rich_click as click

from advisor.schema import WHICH, Which, json_schema


@click.command("schema", epilog=f"KIND is one of {', '.join(WHICH)}.")
@click.argument("kind", type=click.Choice(WHICH), default="diagnosis", metavar="[KIND]")
@click.option(
    "--json", is_flag=True, expose_value=False, help="The schema is always JSON; accepted for symmetry."
)
def command(kind: Which) -> int:
    """Print the JSON Schema of what advisor writes or reads; without KIND that of a diagnosis (`--json`)."""
    from advisor.cli import output
    from advisor.cli.diagnostics import ExitCode

    output.write_record(json_schema(kind))
    return ExitCode.OK
