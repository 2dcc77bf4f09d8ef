"""`advisor export`: `advisor report` by another name, Markdown where nothing says otherwise."""

from __future__ import annotations

import rich_click as click

from advisor.cli.options import (
    DIAGNOSIS_FORMATS,
    flavor_option,
    json_option,
    keep_option,
    out_option,
    select_options,
)


@click.command("export")
@click.argument("file", type=click.Path(allow_dash=True), metavar="DIAGNOSIS|RECORDING")
@click.option(
    "--format",
    "form",
    type=click.Choice(DIAGNOSIS_FORMATS),
    help="Default: by the suffix of FILE given to -o, or md.",
)
@json_option
@out_option
@flavor_option
@keep_option
@select_options
def command(
    file: str,
    form: str | None,
    as_json: bool,
    out: str | None,
    flavor: str,
    keep: bool,
    select: tuple[str, ...],
    ignore: tuple[str, ...],
) -> int:
    """Make a report, as `advisor report` does; on stdout it is Markdown."""
    from advisor.cli.reporting import Wish, report

    if form is None and not as_json and out in (None, "-"):
        form = "md"
    wish = Wish(form=form, as_json=as_json, out=out, flavor=flavor, keep=keep, select=select, ignore=ignore)
    return report(file, wish)
