"""`advisor history`: what was seen of these GPUs before, and how they changed."""

from __future__ import annotations

import rich_click as click

from advisor.cli.options import (
    DURATION,
    NumberType,
    WholeType,
    diagnosis_options,
    json_option,
    json_option_of,
    typed,
)

DAYS = NumberType("days, above 0 and at most 36500; write 30", 36500)
MIB = NumberType("mebibytes, above 0 and at most 100000; write 64", 100_000)


@click.group("history", invoke_without_command=True)
@click.option("--gpu", metavar="SEL", help="Indices or UUIDs (or their beginnings), comma-separated.")
@click.option("--since", type=DURATION, help="Only what is not older, such as 7d.")
@click.option("--metric", metavar="NAME", help="One figure over time: useful, wasted, power_w_p50, bf16, ...")
@click.option(
    "--limit",
    type=WholeType(1, 1_000_000),
    default=20,
    show_default=True,
    help="Diagnoses, and with --json or --metric probe runs, to list of each device.",
)
@click.option(
    "--trends", is_flag=True, help="How ceilings, waste and power moved; which ceiling fell, since when."
)
@json_option_of("history")
@click.pass_context
def command(
    ctx: click.Context,
    gpu: str | None,
    since: float | None,
    metric: str | None,
    limit: int,
    trends: bool,
    as_json: bool,
) -> int:
    """Past diagnoses of these GPUs, and how their ceilings moved beside their own past.

    Without a command: a list. `diagnose`, `run` and `probe` add to it; settings history, history_days and
    history_mib say whether and how much. `advisor probe --history` shows probe runs alone, figure by figure.
    """
    if ctx.invoked_subcommand is not None:
        _refuse_misplaced(ctx)
        return 0
    from advisor.cli.past import Asked, show

    return show(Asked(gpu=gpu, since_s=since, metric=metric, limit=limit, trends=trends, as_json=as_json))


def _refuse_misplaced(ctx: click.Context) -> None:
    """An option of the list before a command would be silently ignored."""
    for option in typed(ctx):
        raise click.UsageError(f"{option} is an option of the list, not of {ctx.invoked_subcommand}", ctx)


@command.command("show")
@click.argument("number", type=WholeType(1, 2**63 - 1), metavar="ID")
@diagnosis_options
def show_one(number: int, form: str | None, as_json: bool, out: str | None, flavor: str, keep: bool) -> int:
    """Print diagnosis ID again, in any format of `diagnose`."""
    from advisor.cli import past_file
    from advisor.cli.delivery import check_writable, deliver, delivery
    from advisor.cli.inputs import load_config

    wanted = delivery(form, as_json, out, flavor, keep)
    check_writable(wanted)
    deliver(past_file.document(number), wanted, load_config())
    return 0


@command.command("add")
@click.argument("files", metavar="DIAGNOSIS...", nargs=-1, required=True)
def add(files: tuple[str, ...]) -> int:
    """Keep saved diagnoses too, such as another node's or a replay's; - reads stdin.

    The first that cannot be kept ends it; those before it are kept.
    """
    from advisor.cli import past_file

    for file in files:
        past_file.add(file)
    return 0


@command.command("prune")
@click.option("--days", type=DAYS, help="Remove what is older.")
@click.option("--mib", type=MIB, help="Remove the oldest until the file takes no more than this.")
@click.option("--all", "everything", is_flag=True, help="Remove everything.")
@json_option
def prune(days: float | None, mib: float | None, everything: bool, as_json: bool) -> int:
    """Remove what is too old or too much: by --days and --mib, else by the configuration.

    Stored probe runs that live verdicts use are not touched: `advisor probe --history` lists those.
    """
    from advisor.cli import past_file

    return past_file.prune(days, mib, everything=everything, as_json=as_json)


@command.command("path")
@json_option
def path(as_json: bool) -> int:
    """Print where the history is, or would be."""
    from advisor.cli import past_file

    return past_file.path(as_json=as_json)
