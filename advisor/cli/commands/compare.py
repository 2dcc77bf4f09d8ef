"""`advisor compare`: what changed between two looks, and whether they can be compared at all."""

from __future__ import annotations

import rich_click as click

from advisor.cli.options import json_option_of, keep_option, price_option

FORMATS = ("text", "md", "json")


@click.command("compare")
@click.argument("a", metavar="A", type=click.Path(allow_dash=True))
@click.argument("b", metavar="B", type=click.Path(allow_dash=True))
@click.option("--gpu", metavar="N", help="Only this GPU of both: an index or the beginning of a UUID.")
@click.option(
    "--match",
    "pairs",
    multiple=True,
    metavar="A_GPU=B_GPU",
    help="Compare these two, by index or UUID. Repeatable. Default: by UUID, index and model, or workload.",
)
@click.option(
    "--cards", is_flag=True, help="Cards are what is compared: another model is no reason to refuse."
)
@click.option(
    "--force", is_flag=True, help="Give figures although the two are not comparable, marked as forced."
)
@click.option(
    "--work",
    metavar="A=N,B=N",
    help="Steps or items a second that the job itself counted, instead of an estimate of throughput.",
)
@click.option(
    "--fail-on",
    multiple=True,
    metavar="WHAT",
    help="Exit 1 when worse: 'regression>5%', 'wasted>10%' (points) or 'usd>1.5', in quotes. Repeatable.",
)
@price_option
@click.option(
    "--format",
    "form",
    type=click.Choice(FORMATS),
    help="Default: by the suffix of FILE given to -o, or text.",
)
@json_option_of("comparison")
@click.option("-o", "--output", "out", metavar="FILE", help="Write to FILE (mode 0600); - is stdout.")
@keep_option
def command(
    a: str,
    b: str,
    gpu: str | None,
    pairs: tuple[str, ...],
    cards: bool,
    force: bool,
    work: str | None,
    fail_on: tuple[str, ...],
    price: float | None,
    form: str | None,
    as_json: bool,
    out: str | None,
    keep: bool,
) -> int:
    """Compare two looks: saved diagnoses (`advisor diagnose --json -o FILE`), or recordings.

    A is before, B is after; - is stdin, for one of them. First says in what the two are not alike, and
    refuses figures where their methods differ (exit 2). Then what changed, each with its 95 % interval, and
    what A's predictions came to. Saved diagnoses of two profiler traces are compared by step, cause and
    kernel (advisor schema trace-comparison). --price is for recordings: a diagnosis keeps its own.
    """
    from advisor.cli.comparing import compare_files, parse_work, wish_of
    from advisor.cli.delivery import check_writable, delivery

    wanted = delivery(form, as_json, out, keep=keep)
    check_writable(wanted, ("text", "md", "json"))
    wish = wish_of(gpu, pairs, cards=cards, force=force, work=parse_work(work))
    return compare_files(a, b, wish, fail_on, wanted, price)
