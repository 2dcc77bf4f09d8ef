"""`advisor demo`: the bundled recording."""

from __future__ import annotations

import rich_click as click

from advisor.cli.options import diagnosis_options


@click.command("demo")
@click.option(
    "-1", "--once", is_flag=True, help="Print the recording's diagnosis instead of opening the screen."
)
@diagnosis_options
def command(once: bool, form: str | None, as_json: bool, out: str | None, flavor: str, keep: bool) -> int:
    """Replay the bundled demo recording; needs no GPU.

    Opens the live screen on a terminal. With --once, any output option, or off a terminal, prints the
    recording's diagnosis.
    """
    from advisor.cli.delivery import delivery
    from advisor.cli.replaying import demo_report, demo_screen, wants_screen

    wanted = delivery(form, as_json, out, flavor, keep)
    if wants_screen(once, wanted):
        return demo_screen()
    return demo_report(wanted)
