"""`advisor explain`: one rule's page."""

from __future__ import annotations

import rich_click as click

from advisor.cli.options import json_option


@click.command("explain")
@click.argument("code")
@json_option
def command(code: str, as_json: bool) -> int:
    """Print the page of the rule with this CODE: what it detects, why it costs, what to do, its source.

    The letters that codes begin with (HOST, MEM) list the rules of that family.
    """
    from advisor.cli import output
    from advisor.cli.diagnostics import CliError, ExitCode
    from advisor.cli.rulepages import as_record, family, listing, shown_page
    from advisor.cli.ruleset import load_rules
    from rules.registry import UnknownRuleError, get_rule

    load_rules()
    members = family(code)
    if members:
        if as_json:
            output.write_record([as_record(rule, with_page=False) for rule in members])
        else:
            output.write(listing(members, output.columns()))
        return ExitCode.OK
    try:
        rule = get_rule(code)
    except UnknownRuleError as error:
        raise CliError(str(error)) from error
    if as_json:
        output.write_record(as_record(rule, with_page=True))
    else:
        output.write(shown_page(rule.code))
    return ExitCode.OK
