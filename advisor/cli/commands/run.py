"""`advisor run`: observe one command from start to end."""

from __future__ import annotations

import sys

import rich_click as click

from advisor.cli.options import (
    diagnosis_options,
    gpu_option,
    history_option,
    interval_option,
    price_option,
    select_options,
    serving_option,
)


@click.command("run", context_settings={"allow_interspersed_args": False})
@gpu_option
@interval_option
@price_option
@serving_option
@diagnosis_options
@select_options
@history_option
@click.argument("argv", nargs=-1, required=True, type=click.UNPROCESSED, metavar="CMD...")
def command(
    gpu: str | None,
    interval: float | None,
    price: float | None,
    no_serving: bool,
    form: str | None,
    as_json: bool,
    out: str | None,
    flavor: str,
    keep: bool,
    select: tuple[str, ...],
    ignore: tuple[str, ...],
    history: bool | None,
    argv: tuple[str, ...],
) -> int:
    """Run CMD and diagnose the GPUs that it and its children use, from its start to its end.

    CMD keeps stdin, stdout and stderr. The report goes to stderr, or to FILE with -o (- is stdout), so that
    CMD's own stdout stays clean. SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1 and SIGUSR2 reach CMD. The exit
    code is CMD's own, 128+N when signal N ended it, 127 or 126 when it could not be started. Where nothing
    can be measured CMD runs all the same, and stderr says so.
    """
    from advisor.cli.delivery import delivery
    from advisor.cli.inputs import load_config
    from advisor.cli.ruleset import chosen
    from advisor.cli.running import run_observed
    from advisor.cli.session import Look, reproduce

    wanted = delivery(form, as_json, out, flavor, keep)
    look = Look(source="run", gpu=gpu, price=price, command=reproduce(sys.argv[1:]))
    serving = False if no_serving else None
    config = load_config(interval_s=interval, serving=serving, **chosen(select, ignore))
    return run_observed(argv, look, config, wanted, history)
