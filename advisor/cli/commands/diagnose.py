"""`advisor diagnose`: look at the node for a while and say what limits it."""

from __future__ import annotations

import sys
from pathlib import Path

import rich_click as click

from advisor.cli.diagnostics import CliError, ExitCode, cannot_measure, warn
from advisor.cli.options import (
    WholeType,
    diagnosis_options,
    duration_option,
    gpu_option,
    history_option,
    interval_option,
    native_option,
    price_option,
    select_options,
    serving_option,
    stacks_option,
)


@click.command("diagnose")
@gpu_option
@click.option("--pid", type=WholeType(min=1), help="Only the GPUs this process and its children use.")
@duration_option("30s", "How long to look.")
@interval_option
@price_option
@stacks_option
@native_option
@serving_option
@diagnosis_options
@select_options
@history_option
@click.option(
    "--fail-on",
    multiple=True,
    metavar="WHAT",
    help="Exit 1 on findings: a severity or worse, a rule's CODE, or usd:N wasted per hour. Repeatable.",
)
def command(
    gpu: str | None,
    pid: int | None,
    duration: float,
    interval: float | None,
    price: float | None,
    stacks: bool,
    native: bool,
    no_serving: bool,
    form: str | None,
    as_json: bool,
    out: str | None,
    flavor: str,
    keep: bool,
    select: tuple[str, ...],
    ignore: tuple[str, ...],
    history: bool | None,
    fail_on: tuple[str, ...],
) -> int:
    """Look at the GPUs for a while; say what limits each, how that is known, what it wastes, what to do.

    Ctrl-C ends it early and prints what was seen so far. Exits 3 where nothing can be measured.
    """
    from advisor.cli.delivery import check_writable, deliver, delivery
    from advisor.cli.failon import judge, parse_fail_on
    from advisor.cli.inputs import load_config_for
    from advisor.cli.inside import last_looks, looking_inside
    from advisor.cli.ruleset import chosen
    from advisor.cli.session import (
        Look,
        beside_its_past,
        collect,
        diagnosis_of,
        exit_of,
        live_feed,
        make_monitor,
        reproduce,
        started,
    )
    from advisor.keeping.recorder import keep_diagnosis

    wanted = delivery(form, as_json, out, flavor, keep)
    check_writable(wanted)
    config = load_config_for(
        duration, interval, serving=False if no_serving else None, **chosen(select, ignore)
    )
    if pid is not None and not Path(f"/proc/{pid}").exists():
        raise CliError(f"there is no process {pid}", "check the PID with nvidia-smi or ps")
    gate = parse_fail_on(fail_on or (config.fail_on,))
    look = Look(gpu=gpu, pid=pid, price=price, command=reproduce(sys.argv[1:]))
    feed = live_feed(config)
    looks = looking_inside(feed, duration, native, pid) if stacks or native else None
    with started(looks or feed) as hello:
        monitor = make_monitor(hello, look, config)
        if looks is not None:
            looks.keys = monitor.options.keys
        outcome = collect(looks or feed, monitor, hello, duration, pid=pid)
        if looks is not None:
            last_looks(looks, monitor, outcome)
    if pid is not None and outcome.frames > 0 and not outcome.keys:
        raise cannot_measure(
            f"process {pid} and its children hold no GPU that can be seen here",
            "Check the PID with nvidia-smi; in a container the driver's PIDs are the host's.",
        )
    diagnosis = beside_its_past(diagnosis_of(monitor, outcome), config)
    try:
        deliver(diagnosis, wanted, config)
    finally:
        if outcome.frames > 0:
            keep_diagnosis(diagnosis, config, warn, history)
    code = exit_of(outcome)
    return code if code is not ExitCode.OK else judge(diagnosis, gate)
