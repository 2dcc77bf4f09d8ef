"""`advisor prices`: the bundled prices, what speaks against them, and which one is in force here."""

from __future__ import annotations

import rich_click as click

from advisor.cli.options import json_option_of


@click.command("prices")
@click.option("--gpu", "model", metavar="MODEL", help="Rows for one model, such as H100 or A100-80GB-PCIe.")
@click.option("--provider", metavar="P", help="Rows of one provider, such as aws.")
@json_option_of("prices")
def command(model: str | None, provider: str | None, as_json: bool) -> int:
    """List the bundled prices with what speaks against each, and say which price is in force and why.

    A figure with a flag that spoils it never becomes a price by itself. Order: --price, ADVISOR_PRICE, the
    configuration (node_prices, job_prices, prices, price_usd_h, cost of ownership), the row for this node's
    type of instance, the bundled default of price_provider; else there is no price.
    """
    from advisor.cli import output
    from advisor.cli.diagnostics import ExitCode
    from advisor.cli.pricing import listed
    from advisor.reports.prices import as_text

    found = listed(model, provider)
    if as_json:
        output.write_record(found)
    else:
        output.write(as_text(found, output.columns()))
    return ExitCode.OK
