"""`advisor serving`: what inference engines do with the GPUs, and what their tokens cost."""

from __future__ import annotations

import rich_click as click

from advisor.cli.options import (
    DURATION,
    WholeType,
    duration_option,
    gpu_option,
    json_option_of,
    keep_option,
    out_option,
    price_option,
)


@click.command("serving")
@click.argument("urls", nargs=-1, metavar="[URL]...")
@duration_option("30s", "How long to look before printing one report.")
@click.option(
    "--interval",
    type=DURATION,
    default="5s",
    show_default=True,
    help="Time between two looks at an engine's metrics.",
)
@click.option(
    "--slo",
    metavar="LIMITS",
    help="The objective, such as ttft=200ms,itl=30ms,e2e=5s. Default: configuration, or none.",
)
@price_option
@click.option(
    "--gpus",
    type=WholeType(min=1, max=100_000),
    help="How many GPUs an engine elsewhere runs on, for --price. Default: 1.",
)
@gpu_option
@click.option("--watch", is_flag=True, help="Print anew at every interval until Ctrl-C.")
@json_option_of("serving")
@out_option
@keep_option
def command(
    urls: tuple[str, ...],
    duration: float,
    interval: float,
    slo: str | None,
    price: float | None,
    gpus: int | None,
    gpu: str | None,
    watch: bool,
    as_json: bool,
    out: str | None,
    keep: bool,
) -> int:
    """Tokens a second, $ per million tokens, tokens per joule and latencies, from an engine's own metrics.

    URL is an engine's address, such as http://localhost:8000; without one, engines that listen on this node's
    loopback are found. vLLM, SGLang, TensorRT-LLM, Triton, TGI, llama.cpp and Dynamo are read, without any
    change to them. --gpu names the GPUs that the engine runs on where advisor cannot see that. A password in
    URL is sent and never shown; ADVISOR_SERVING_TOKEN is sent to a named URL as a bearer's token. Exits 3
    where no engine could be read.
    """
    from advisor.cli.serving import Asked, serve

    asked = Asked(
        urls=urls,
        duration_s=duration,
        interval_s=interval,
        slo=slo,
        price=price,
        gpus=gpus,
        gpu=gpu,
        watch=watch,
        as_json=as_json,
        out=out,
        keep=keep,
    )
    return serve(asked)
