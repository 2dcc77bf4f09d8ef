"""`advisor whatif`: what fixes would buy."""

from __future__ import annotations

import rich_click as click

from advisor.cli.options import json_option_of, keep_option, price_option


@click.command("whatif")
@click.argument("file", type=click.Path(allow_dash=True), required=False)
@click.option(
    "--fix",
    "fixes",
    multiple=True,
    metavar="FIX",
    help="This fix (a name such as host-gap, or a finding's code such as HOST003) in full; several together.",
)
@click.option(
    "--gpu", metavar="SEL", help="Indices or UUIDs in the diagnosis, comma-separated. Default: all."
)
@click.option("--list", "as_list", is_flag=True, help="List the fixes that can be asked for.")
@price_option
@json_option_of("whatif")
@keep_option
def command(
    file: str | None,
    fixes: tuple[str, ...],
    gpu: str | None,
    as_list: bool,
    price: float | None,
    as_json: bool,
    keep: bool,
) -> int:
    """What fixes would buy for a saved diagnosis (FILE, or - for stdin) or a recording.

    Without --fix: every fix by itself, as a range of throughput with its basis and what today's work would
    cost. With --fix: those together, composed on shares of time, with everything that the range assumes. A
    fix can turn out slower, or unknown with the reason. --price is for recordings: a diagnosis has its own.
    """
    from advisor.cli import output
    from advisor.cli.asking import asked
    from advisor.cli.diagnostics import CliError, ExitCode
    from advisor.reports.whatif_pages import as_text, list_text

    width, unicode = output.columns(), output.unicode()
    if as_list:
        from advisor.asked import pages

        if as_json:
            output.write_record(pages())
        else:
            output.write(list_text(pages(), width=width, unicode=unicode))
        return ExitCode.OK
    if file is None:
        raise CliError(
            "no diagnosis was given",
            "name a file made by `advisor diagnose --json -o FILE`, or a recording; --list shows the fixes",
        )
    found = asked(file, fixes, gpu, price, keep)
    if as_json:
        output.write_record(found)
    else:
        output.write(as_text(found, width=width, unicode=unicode))
    return ExitCode.OK
