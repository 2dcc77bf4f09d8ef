"""`advisor bundle`: everything a ticket needs, in one file."""

from __future__ import annotations

import rich_click as click

from advisor.cli.options import duration_option, interval_option, keep_option, price_option, typed


@click.command("bundle")
@click.argument("file", metavar="DIAGNOSIS|RECORDING", type=click.Path(allow_dash=True), required=False)
@click.option("--live", is_flag=True, help="Look at this node now, and bundle that, recording included.")
@duration_option("30s", "How long to look, with --live.")
@interval_option
@click.option(
    "-o",
    "--output",
    "out",
    metavar="FILE.tar.gz",
    help="Where to write it (mode 0600, in one step). Default: advisor-bundle-HOST-TIME.tar.gz here.",
)
@click.option(
    "--recording",
    type=click.Path(),
    metavar="FILE",
    help="Put this recording in as well, redacted anew. A RECORDING that is bundled goes in by itself.",
)
@click.option("--no-recording", is_flag=True, help="Leave the recording out, as where a tracker takes less.")
@click.option("--no-doctor", is_flag=True, help="Leave out what `advisor doctor` says of this machine.")
@price_option
@click.option("--json", "as_json", is_flag=True, help="Print the manifest as JSON (`advisor schema bundle`).")
@keep_option
@click.pass_context
def command(
    ctx: click.Context,
    file: str | None,
    live: bool,
    duration: float,
    interval: float | None,
    out: str | None,
    recording: str | None,
    no_recording: bool,
    no_doctor: bool,
    price: float | None,
    as_json: bool,
    keep: bool,
) -> int:
    """Put reports, JSON, CSV, doctor output and the recording into one .tar.gz for a ticket.

    It is made of a saved diagnosis (- is stdin), of a recording, or of a look at this node (--live). Secrets,
    user names and host names are taken out of every member first; the list of what went is inside, with sizes
    and checksums. Equal contents give equal files. --price is for recordings and for --live.
    """
    from advisor.cli.bundle_parts import Plan
    from advisor.cli.bundling import bundle

    if not live and (idle := typed(ctx, "duration", "interval")):
        raise click.UsageError(f"{idle[0]} says how to look, and goes with --live", ctx)
    plan = Plan(
        file=file or "",
        live_s=duration if live else None,
        interval_s=interval,
        out=out,
        recording=recording,
        with_recording=not no_recording,
        with_doctor=not no_doctor,
        price=price,
        keep=keep,
    )
    return bundle(plan, as_json=as_json)
