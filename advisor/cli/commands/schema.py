"""`advisor schema`: the JSON Schema of what advisor writes and reads."""

from __future__ import annotations

import rich_click as click

KINDS = ("diagnosis", "recording", "config")


@click.command("schema")
@click.argument("kind", type=click.Choice(KINDS), default="diagnosis")
@click.option(
    "--json", is_flag=True, expose_value=False, help="The schema is always JSON; accepted for symmetry."
)
def command(kind: str) -> int:
    """Print the JSON Schema of a diagnosis (`--format json`), of a recording's lines, or of config.toml."""
    from advisor.cli import output
    from advisor.cli.diagnostics import ExitCode
    from advisor.schema import json_schema

    output.write_record(json_schema(kind))
    return ExitCode.OK
