"""`advisor export`: render a saved diagnosis again."""

from __future__ import annotations

import rich_click as click

from advisor.cli.options import FORMATS, flavor_option, json_option, keep_option, out_option


@click.command("export")
@click.argument("file", type=click.Path(allow_dash=True))
@click.option(
    "--format", "form", type=click.Choice(FORMATS), help="Default: by the suffix of FILE given to -o, or md."
)
@json_option
@out_option
@flavor_option
@keep_option
def command(file: str, form: str | None, as_json: bool, out: str | None, flavor: str, keep: bool) -> int:
    """Render a diagnosis saved as JSON (FILE, or - for stdin) as Markdown for a ticket, text, or JSON."""
    import msgspec

    from advisor.cli.delivery import check_writable, deliver, delivery
    from advisor.cli.diagnostics import ExitCode
    from advisor.cli.inputs import load_config, read_document

    wanted = delivery(form, as_json, out, flavor, keep)
    if wanted.form is None and wanted.path is None:
        wanted = msgspec.structs.replace(wanted, form="md")
    check_writable(wanted)
    deliver(read_document(file), wanted, load_config())
    return ExitCode.OK
