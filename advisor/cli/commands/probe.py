"""`advisor probe`: measure what this very card can do."""

from __future__ import annotations

import rich_click as click

from advisor.cli.options import DURATION, WholeType, report_options


@click.command("probe")
@click.argument("names", nargs=-1, metavar="[NAMES]...")
@click.option(
    "--device",
    default="",
    metavar="WHICH",
    help="Indices, UUIDs or MIG UUIDs, comma-separated; all; or cpu. Default: the first GPU CUDA would use.",
)
@click.option(
    "--quick", is_flag=True, help="A fifth of the time: fewer shapes, and no clock is held until it settles."
)
@click.option("--full", is_flag=True, help="Four times the time: more windows, longer sustained loads.")
@click.option("--sustained", type=DURATION, help="How long to hold the sustained GEMM, such as 120s.")
@click.option("--seed", type=WholeType(0), default=0, metavar="N", help="Of the random data. [default: 0]")
@click.option("--force", is_flag=True, help="Measure a busy GPU too; marked contended, never a ceiling.")
@click.option("--history", is_flag=True, help="Measure nothing; show stored runs and how figures moved.")
@click.option("--no-store", is_flag=True, help="Do not store the run.")
@click.option("--list", "listed", is_flag=True, help="Measure nothing; list the probes there are.")
@report_options
def command(
    names: tuple[str, ...],
    device: str,
    quick: bool,
    full: bool,
    sustained: float | None,
    seed: int,
    force: bool,
    history: bool,
    no_store: bool,
    listed: bool,
    form: str | None,
    as_json: bool,
    out: str | None,
    flavor: str,
    keep: bool,
) -> int:
    """Measure what a card can do: memory bandwidth, GEMMs in each precision, transfers, launches, latencies.

    NAMES are probes, such as `bandwidth tensor`; all when none is given. The run is stored, and live
    verdicts are then relative to it. Refuses a GPU that somebody else uses. Ctrl-C ends it and shows what
    was measured. Exits 3 where nothing could be measured.
    """
    from advisor.cli.delivery import check_writable, delivery
    from advisor.cli.probing import Wanted, list_probes, measure, show_history

    wanted = Wanted(
        names=names,
        device=device,
        quick=quick,
        full=full,
        sustained_s=sustained,
        seed=seed,
        force=force,
        store=not no_store,
        delivery=delivery(form, as_json, out, flavor, keep),
    )
    check_writable(wanted.delivery, ("text", "md", "json"))
    if listed:
        return list_probes(wanted)
    return show_history(wanted) if history else measure(wanted)
