"""`advisor cost`: cost formulas, from figures or from a saved diagnosis, worked out step by step."""

from __future__ import annotations

from typing import Any

import rich_click as click

from advisor.cli.costs.options import TimesType, takes

EXAMPLES = {
    "tokens": "advisor cost tokens --model 'H100 SXM5 80GB' --tok-s 9010",
    "energy": "advisor cost energy --power-w 700 --other-power-w 400 --gpus 8 --years 3",
    "response": "advisor cost response --tokens-per-response 150 --attempts 1.2 --usd-per-mtok 0.212",
    "tco": "advisor cost tco --capex-usd-per-gpu 31250 --kw-per-gpu 1.275 --utilisation-frac 0.4",
    "scaling": "advisor cost scaling --gpus 8 --one-tok-s 1070 --all-tok-s 7000 --price 6.88",
    "rightsize": "advisor cost rightsize --model 'H100 SXM5 80GB' --other-model L40S",
    "straggler": "advisor cost straggler --gpus 64 --price 6.88 --slower-frac 0.15",
}


@click.group(
    "cost", invoke_without_command=True, epilog="Alone, `advisor cost` prints an example of each calculator."
)
@click.pass_context
def command(ctx: click.Context) -> int:
    """Work out what tokens, energy, responses, owning, scaling or another GPU cost.

    Each prints its formula, the same with numbers put in, and every input with whose figure it is. What no
    flag gives comes from a diagnosis (--from FILE), the environment, the configuration, or a default.
    """
    from advisor.cli import output
    from advisor.cli.diagnostics import ExitCode

    if ctx.invoked_subcommand is None:
        output.write(_listing(ctx))
    return ExitCode.OK


def _listing(ctx: click.Context) -> str:
    """Every calculator with an example."""
    lines = []
    for name, example in EXAMPLES.items():
        found = command.get_command(ctx, name)
        about = found.get_short_help_str(70) if found is not None else ""
        lines.append(f"{name:<10} {about}\n           {_folded(example)}\n")
    return "".join(lines) + "\nInputs, formulas and defaults: advisor cost NAME --help\n"


def _folded(example: str) -> str:
    """An example over as many lines as it needs within 80 columns, as a shell takes it."""
    import textwrap

    lines = textwrap.wrap(example, 66, break_on_hyphens=False, break_long_words=False)
    return " \\\n             ".join(lines)


def _epilog(name: str, *more: str) -> str:
    return "\n\n".join(("Examples:", EXAMPLES[name], *more))


@command.command(
    "tokens", epilog=_epilog("tokens", "advisor cost tokens --from diagnosis.json --gpu 0 --price 3.99")
)
@takes(
    "price_usd_h", "gpus", "tok_s", "prompt_tok_s", "generation_tok_s", "prefill_frac", "prefill_s",
    "decode_s",
)  # fmt: skip
def tokens(**given: Any) -> int:
    """Tokens for a dollar, dollars for a million, prefill and decode."""
    from advisor.cli.costs.working import Order
    from rules.calculators.tokens import tokens as calculator

    order = Order(given)
    rates = ("prompt_tok_s", "generation_tok_s")
    phases = ("prefill_frac", "prefill_s", "decode_s")
    split = order.sources.seen("generation_tok_s") and not order.sources.flagged("tok_s")
    total = () if split or order.sources.flagged(*rates) else ("tok_s",)
    return order.show(order.work(calculator, ("price_usd_h", "gpus"), (*total, *rates, *phases)))


@command.command(
    "energy",
    epilog=_epilog(
        "energy",
        "advisor cost energy --tok-j 13.05 --electricity-usd-kwh 0.10 --pue 1.54",
        "advisor cost energy --from diagnosis.json --years 1",
    ),
)
@takes(
    "power_w", "other_power_w", "power_p90_w", "energy_j", "window_s", "gpus", "nodes", "years",
    "electricity_usd_kwh", "pue", "tok_j", "tokens", "tok_s", "price_usd_h",
)  # fmt: skip
def energy(**given: Any) -> int:
    """Electricity of a million tokens, or of GPUs over years."""
    from advisor.cli.costs.working import Order
    from rules.calculators.energy import energy_of_period, energy_of_tokens

    order = Order(given)
    site = ("electricity_usd_kwh", "pue")
    if _is_of_tokens(order.sources):
        figures = ("tok_j", "tokens", "energy_j", "tok_s", "power_w", "gpus", "price_usd_h")
        return order.show(order.work(energy_of_tokens, site, figures))
    needs = ("gpus", "nodes", "years", *site)
    power = ("power_w", "energy_j", "window_s", "other_power_w", "power_p90_w", "price_usd_h")
    return order.show(order.work(energy_of_period, needs, power))


def _is_of_tokens(sources: Any) -> bool:
    """Tokens are asked for where a flag gives some, or a diagnosis does and no period is named."""
    if sources.flagged("tok_j", "tokens", "tok_s"):
        return True
    return sources.seen("tok_s") and not sources.flagged("years", "nodes", "other_power_w")


@command.command(
    "response",
    epilog=_epilog(
        "response",
        "advisor cost response --tokens-per-response 150 --success-frac 0.8333 --usd-per-mtok 150 "
        "--guardrail-usd-per-mtok 2",
        "advisor cost response --from diagnosis.json",
    ),
)
@takes(
    "tokens_per_response", "attempts", "success_frac", "usd_per_mtok", "price_usd_h", "gpus", "tok_s",
    "guardrail_tokens", "guardrail_usd_per_mtok", "tok_h", "responses_h",
)  # fmt: skip
@click.option(
    "--guardrail",
    type=click.Choice(["once", "attempt"]),
    default="once",
    show_default=True,
    help="Whether the guardrail reads the response that is kept, or every attempt; both are printed.",
)
def response(guardrail: str, **given: Any) -> int:
    """A response that can be used: attempts, tokens, guardrail."""
    from advisor.cli.costs.working import Order
    from rules.calculators.response import response as calculator

    order = Order(given)
    figures = (
        "attempts", "success_frac", "usd_per_mtok", "price_usd_h", "gpus", "tok_s", "guardrail_tokens",
        "tok_h", "responses_h",
    )  # fmt: skip
    needs = ("tokens_per_response", "guardrail_usd_per_mtok")
    return order.show(order.work(calculator, needs, figures, guardrail=guardrail))


@command.command(
    "tco",
    epilog=_epilog("tco", "advisor cost tco --capex-usd-per-gpu 31250 --kw-per-gpu 1.275 --model H200"),
)
@takes(
    "capex_usd_per_gpu", "life_y", "maintenance_frac_y", "kw_per_gpu", "electricity_usd_kwh", "pue",
    "staffing_usd_h", "utilisation_frac", "gpus", "price_usd_h",
)  # fmt: skip
def tco(**given: Any) -> int:
    """An owned GPU's hour, by part; an hour of its use; against renting."""
    from advisor.cli.costs.working import Order
    from rules.calculators.tco import tco as calculator

    order = Order(given)
    needs = (
        "capex_usd_per_gpu", "life_y", "maintenance_frac_y", "electricity_usd_kwh", "pue", "kw_per_gpu",
        "staffing_usd_h", "gpus",
    )  # fmt: skip
    rented = () if order.sources.is_owned() else ("price_usd_h",)
    return order.show(order.work(calculator, needs, ("utilisation_frac", *rented)))


@command.command(
    "scaling",
    epilog=_epilog(
        "scaling",
        "advisor cost scaling --gpus 64 --per-doubling-frac 0.97 --price 6.88",
        "advisor cost scaling --one-tok-s 138 --efficiency-frac 0.85 --other-tok-s 111 "
        "--other-efficiency-frac 0.97",
    ),
)
@takes(
    "gpus", "one_tok_s", "all_tok_s", "each_tok_s", "price_usd_h", "servers", "racks", "kw",
    "per_doubling_frac", "efficiency_frac", "other_tok_s", "other_efficiency_frac",
)  # fmt: skip
@click.option(
    "--aggregated",
    is_flag=True,
    help="The figures are a whole system's, divided by its devices: refused, as the loss is in them already.",
)
def scaling(aggregated: bool, **given: Any) -> int:
    """What N devices do of N times one, and what the rest costs."""
    from advisor.cli.costs.working import Order
    from rules.calculators.scaling import compared, compounded, measured

    order = Order(given)
    if order.sources.flagged("efficiency_frac", "other_efficiency_frac", "other_tok_s"):
        kinds = ("one_tok_s", "efficiency_frac", "other_tok_s", "other_efficiency_frac")
        return order.show(order.work(compared, kinds, aggregated=aggregated))
    if order.sources.flagged("per_doubling_frac"):
        each, more = ("gpus", "per_doubling_frac"), ("one_tok_s", "price_usd_h")
        return order.show(order.work(compounded, each, more, aggregated=aggregated))
    total = () if order.sources.flagged("each_tok_s") else ("all_tok_s",)
    needs = ("gpus", "one_tok_s", *total)
    rest = ("each_tok_s", "price_usd_h", "servers", "racks", "kw")
    return order.show(order.work(measured, needs, rest, aggregated=aggregated))


@command.command(
    "rightsize",
    epilog=_epilog(
        "rightsize",
        "advisor cost rightsize --model 'H100 SXM5 80GB' --weights-gb 16.06 --step-ms 7.3",
        "advisor cost rightsize --rank aws",
    ),
)
@takes(
    "price_usd_h", "other_price_usd_h", "bandwidth_gb_s", "other_bandwidth_gb_s",
    "memory_gb", "other_memory_gb",
    "weights_gb", "kv_gb", "step_ms", "slo_ms", "kept_frac", "gr_active_frac", "tflop_s", "other_tflop_s",
    "batch", "weight_bytes", "requests_min", "request_s", models=("model", "other_model"),
)  # fmt: skip
@click.option("--rank", metavar="PROVIDER", help="Rank a provider's GPUs by memory bandwidth for a dollar.")
def rightsize(rank: str | None, **given: Any) -> int:
    """Another GPU, precision, batch, or a closed host gap: bounds."""
    from advisor.cli.costs.working import Order
    from rules.calculators.rightsize import rightsize as calculator

    order = Order(given)
    if rank is not None:
        from advisor.cli.costs.models import offers
        from rules.calculators.ranking import ranking

        found = offers(rank.strip().lower())
        return order.show(order.work(lambda: ranking(found), ()))
    names = (
        "price_usd_h", "other_price_usd_h", "bandwidth_gb_s", "other_bandwidth_gb_s",
        "memory_gb", "other_memory_gb",
        "weights_gb", "kv_gb", "step_ms", "slo_ms", "kept_frac", "gr_active_frac", "tflop_s",
        "other_tflop_s", "batch", "weight_bytes", "requests_min", "request_s",
    )  # fmt: skip
    return order.show(order.work(calculator, (), names))


@command.command(
    "straggler",
    epilog=_epilog("straggler", "advisor cost straggler --price 6.88 --times-s 1.00,1.01,0.99,1.15"),
)
@takes("gpus", "price_usd_h", "median_s", "slowest_s", "slower_frac")
@click.option("--times-s", type=TimesType(), metavar="S,S,…", help="Each rank's time for a step, in seconds.")
def straggler(times_s: tuple[float, ...] | None, **given: Any) -> int:
    """What waiting for the slowest rank costs."""
    from advisor.cli.costs.working import Order
    from rules.calculators.straggler import of_times
    from rules.calculators.straggler import straggler as calculator

    order = Order({**given, "times_s": times_s})
    if times_s is not None:
        names = ("gpus", "median_s", "slowest_s")
        times: dict[str, Any] = dict(zip(names, of_times(times_s), strict=True))
        return order.show(order.work(calculator, ("price_usd_h",), (), **times))
    needs = ("price_usd_h", "gpus")
    return order.show(order.work(calculator, needs, ("median_s", "slowest_s", "slower_frac")))
