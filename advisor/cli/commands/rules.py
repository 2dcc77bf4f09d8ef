"""`advisor rules`: every rule on one line."""

from __future__ import annotations

import rich_click as click

from advisor.cli.options import json_option


@click.command("rules")
@json_option
def command(as_json: bool) -> int:
    """List every rule: its code, how severe it can get, who can act on it, and its title.

    Rules of other packages (entry-point group advisor.rules) are among them, with the package's name.
    """
    from advisor.cli import output
    from advisor.cli.diagnostics import ExitCode
    from advisor.cli.rulepages import as_record, listing
    from advisor.cli.ruleset import load_rules
    from rules.registry import all_rules

    load_rules()
    if as_json:
        output.write_record([as_record(rule, with_page=False) for rule in all_rules()])
    else:
        output.write(listing(all_rules(), output.columns()))
    return ExitCode.OK
