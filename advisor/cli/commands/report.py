"""`advisor report`: a saved diagnosis or a recording as a page, a ticket, a table or images."""

from __future__ import annotations

import rich_click as click

from advisor.cli.options import (
    DIAGNOSIS_FORMATS,
    flavor_option,
    json_option,
    keep_option,
    price_option,
    select_options,
)


@click.command("report")
@click.argument("file", type=click.Path(allow_dash=True), metavar="DIAGNOSIS|RECORDING")
@click.option(
    "--format",
    "form",
    type=click.Choice((*DIAGNOSIS_FORMATS, "png")),
    help="Default: by the suffix of FILE given to -o, or text.",
)
@json_option
@click.option(
    "-o",
    "--output",
    "out",
    metavar="FILE",
    help="Write to FILE (mode 0600, in one step) instead of stdout. PNG: FILE-ladder.png, one image a chart.",
)
@click.option("--images", is_flag=True, help="Also write each chart as PNG beside an HTML or Markdown FILE.")
@flavor_option
@price_option
@keep_option
@select_options
def command(
    file: str,
    form: str | None,
    as_json: bool,
    out: str | None,
    images: bool,
    flavor: str,
    price: float | None,
    keep: bool,
    select: tuple[str, ...],
    ignore: tuple[str, ...],
) -> int:
    """Make a report of a diagnosis saved as JSON (or - for stdin), or of a recording.

    HTML is one file without network or script: what it costs and what to do first at the top, charts and
    evidence below. CSV is one line a figure, for spreadsheets.
    """
    from advisor.cli.reporting import Wish, report

    return report(
        file,
        Wish(
            form=form,
            as_json=as_json,
            out=out,
            images=images,
            flavor=flavor,
            price=price,
            keep=keep,
            select=select,
            ignore=ignore,
        ),
    )
