"""`advisor export`: render a saved diagnosis again."""

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
@click.argument("file", type=click.Path(allow_dash=True))
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
    """Render a diagnosis saved as JSON (FILE, or - for stdin) again: Markdown, text, JSON, HTML or CSV."""
    import msgspec

    from advisor.cli.delivery import check_writable, deliver, delivery
    from advisor.cli.diagnostics import ExitCode
    from advisor.cli.inputs import load_config, read_document
    from advisor.cli.ruleset import chosen
    from advisor.selection import parse_selection

    wanted = delivery(form, as_json, out, flavor, keep)
    if wanted.form is None and wanted.path is None:
        wanted = msgspec.structs.replace(wanted, form="md")
    check_writable(wanted)
    config = load_config(**(chosen(select, ignore) if select or ignore else {}))
    selection = parse_selection(config.select, config.ignore)
    deliver(selection.applied(read_document(file)), wanted, config)
    return ExitCode.OK
