"""`advisor trace`: what a profiler's trace shows, to the nanosecond."""

from __future__ import annotations

import rich_click as click

from advisor.cli.options import (
    DIAGNOSIS_FORMATS,
    DurationType,
    WholeType,
    flavor_option,
    json_option,
    keep_option,
    price_option,
    select_options,
)

EXAMPLES = (
    ("advisor trace run.pt.trace.json.gz", "what limits it, and where idle time went"),
    ("advisor trace run.json -o run.html", "the same as a page with charts"),
    ("advisor trace runs/", "a folder: ranks of one job, who waits for whom"),
    ("advisor trace before.json after.json", "what a fix changed"),
    ("advisor trace run.sqlite --perfetto out.json", "causes as tracks for ui.perfetto.dev"),
    ("advisor trace --pid 4711 --save run.json.gz", "ask a running process"),
    ("nsys export --type sqlite run.nsys-rep", "what an .nsys-rep needs first"),
)
EPILOG = "\n\n".join(("Examples:", *(f"{line}  # {what}" for line, what in EXAMPLES)))


@click.command("trace", epilog=EPILOG)
@click.argument("files", nargs=-1, metavar="FILE...", type=click.Path(allow_dash=True))
@click.option(
    "--pid",
    type=WholeType(min=1),
    help="Ask this running PyTorch process for a trace; it was started with KINETO_USE_DAEMON=1.",
)
@click.option("--steps", type=WholeType(min=1), help="With --pid: optimizer steps to trace. Default: 5.")
@click.option(
    "--seconds", type=DurationType(), help="With --pid: trace for a time instead, as for inference: 1s."
)
@click.option("--with-stacks", is_flag=True, help="With --pid: also record Python stacks, which slows it.")
@click.option(
    "--save", metavar="OUT", help="With --pid: keep the trace as this new file; compressed if it ends in .gz."
)
@click.option("--device", type=WholeType(min=0), help="Only this device, by its number in the trace.")
@click.option(
    "--top",
    type=WholeType(min=1, max=10_000),
    help="How many kernels to list. Default: 10 in text, 15 in Markdown, 25 in HTML.",
)
@click.option(
    "--ranks", is_flag=True, help="The files are ranks of one job, whatever they say of themselves."
)
@click.option("--compare", is_flag=True, help="The two files are before and after.")
@click.option(
    "--gpu-model",
    metavar="NAME",
    help="Take ceilings and price of this model, such as 'H100 SXM5', where the trace names none or another.",
)
@price_option
@click.option(
    "--join",
    metavar="DIAGNOSIS",
    help="A diagnosis of the same job, saved as JSON: what the trace proves is put into it.",
)
@click.option("--tui", is_flag=True, help="Open the screen: timeline, causes, kernels, steps, ranks.")
@click.option(
    "--perfetto",
    metavar="OUT",
    help="Also write a trace with our attribution as tracks, for ui.perfetto.dev.",
)
@click.option(
    "--format",
    "form",
    type=click.Choice((*DIAGNOSIS_FORMATS, "png")),
    help="Default: by the suffix of FILE given to -o, or text.",
)
@json_option
@click.option(
    "-o", "--output", "out", metavar="FILE", help="Write the report to FILE (mode 0600); - is stdout."
)
@click.option("--images", is_flag=True, help="Also write each chart as PNG beside an HTML or Markdown FILE.")
@flavor_option
@keep_option
@select_options
@click.option(
    "--fail-on",
    multiple=True,
    metavar="WHAT",
    help="Exit 1 on findings: a severity or worse, a rule's CODE, or usd:N wasted per hour. Repeatable.",
)
def command(
    files: tuple[str, ...],
    pid: int | None,
    steps: int | None,
    seconds: float | None,
    with_stacks: bool,
    save: str | None,
    device: int | None,
    top: int | None,
    ranks: bool,
    compare: bool,
    gpu_model: str | None,
    price: float | None,
    join: str | None,
    tui: bool,
    perfetto: str | None,
    form: str | None,
    as_json: bool,
    out: str | None,
    images: bool,
    flavor: str,
    keep: bool,
    select: tuple[str, ...],
    ignore: tuple[str, ...],
    fail_on: tuple[str, ...],
) -> int:
    """Read profiler traces: what limits the workload, every idle nanosecond by its cause, kernel by kernel.

    FILE is a trace of the PyTorch profiler (JSON, also gzipped), a SQLite export of Nsight Systems, or a
    folder of them. Several files that say so are ranks of one job; two others are compared. Nothing is run,
    and no GPU is needed. With --pid, a running process is asked for a trace instead of reading a FILE.
    """
    from advisor.cli.reporting import Wish
    from advisor.cli.trace_asking import order_of
    from advisor.cli.tracing import Asked, trace

    order = order_of(pid, steps=steps, seconds=seconds, stacks=with_stacks, save=save)
    wish = Wish(
        form=form,
        as_json=as_json,
        out=out,
        images=images,
        flavor=flavor,
        price=price,
        keep=keep,
        select=select,
        ignore=ignore,
        top=top,
    )
    asked = Asked(
        files=files,
        order=order,
        device=device,
        ranks=ranks,
        compare=compare,
        gpu_model=gpu_model,
        join=join,
        tui=tui,
        perfetto=perfetto,
        fail_on=fail_on,
    )
    return trace(asked, wish)
