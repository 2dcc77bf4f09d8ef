"""`advisor replay`: show a recording again."""

from __future__ import annotations

import rich_click as click

from advisor.cli.options import DURATION, SPEED, diagnosis_options, gpu_option, price_option, select_options


@click.command("replay")
@click.argument("file", type=click.Path(dir_okay=False))
@click.option(
    "--speed",
    type=SPEED,
    default=1.0,
    show_default=True,
    help="Times real time, on the screen.",
)
@click.option("--seek", type=DURATION, help="Start this far into the recording.")
@click.option(
    "-1", "--once", is_flag=True, help="Print the recording's diagnosis instead of opening the screen."
)
@gpu_option
@price_option
@diagnosis_options
@select_options
def command(
    file: str,
    speed: float,
    seek: float | None,
    once: bool,
    gpu: str | None,
    price: float | None,
    form: str | None,
    as_json: bool,
    out: str | None,
    flavor: str,
    keep: bool,
    select: tuple[str, ...],
    ignore: tuple[str, ...],
) -> int:
    """Show a recording made by `advisor record`, plain or gzip.

    Opens the live screen on a terminal. With --once, any output option, or off a terminal, prints the
    diagnosis of the whole recording.
    """
    from advisor.cli.delivery import delivery
    from advisor.cli.replaying import replay_report, replay_screen, wants_screen
    from advisor.cli.ruleset import chosen
    from advisor.cli.session import Look

    wanted = delivery(form, as_json, out, flavor, keep)
    rules = chosen(select, ignore)
    look = Look(source="replay", gpu=gpu, price=price, select=rules["select"], ignore=rules["ignore"])
    if wants_screen(once, wanted):
        return replay_screen(file, look, speed=speed, seek_s=seek or 0.0)
    return replay_report(file, look, wanted, seek_s=seek or 0.0)
