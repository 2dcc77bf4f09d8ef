"""What-ifs and engines as a page shows them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from advisor.reports.common import SENTENCE, Style, row_name
from advisor.reports.figures import factor, number, percent, span, usd
from rules.serving import ServingFigures
from rules.whatif import WhatIf

MAX_WHAT_IFS = 100
MAX_ENGINES = 40


class WhatIfRow(msgspec.Struct, frozen=True, kw_only=True):
    """One what-if, ready to show."""

    place: str
    title: str
    outlook: str
    effect: str
    cost: str
    basis: str
    conditions: tuple[str, ...]
    actions: tuple[str, ...]


class Engine(msgspec.Struct, frozen=True, kw_only=True):
    """One inference engine: its figures in groups, and what it did not tell."""

    name: str
    model: str
    facts: str
    figures: tuple[tuple[str, str], ...]
    missing: tuple[str, ...]


def what_if_rows(what_ifs: Sequence[WhatIf], style: Style) -> list[WhatIfRow]:
    """What fixes would buy, in the document's order."""
    return [_what_if(found, style) for found in what_ifs[:MAX_WHAT_IFS]]


def _what_if(found: WhatIf, style: Style) -> WhatIfRow:
    bound = found.effect.bound if found.effect else None
    basis = style.prose(found.effect.basis, SENTENCE) if found.effect else ""
    limit = f"; no fix of this kind exceeds {factor(bound)}" if bound is not None else ""
    return WhatIfRow(
        place=row_name(found.gpu, found.mig, style),
        title=style.text(found.title, 160),
        outlook="nothing can be said" if found.refused is not None else _OUTLOOKS[found.outlook],
        effect=_effect(found, style),
        cost=_cost(found),
        basis=f"{_BASES[found.basis]}{f': {basis}' if basis else ''}{limit}",
        conditions=tuple(style.prose(text, SENTENCE) for text in found.assumes[:12]),
        actions=tuple(style.prose(text, SENTENCE) for text in found.actions[:8]),
    )


_OUTLOOKS = {"faster": "faster", "no-gain": "no gain", "slower": "slower", "uncertain": "may be slower"}
_BASES = {"measured": "measured on this card", "anchor": "published figures", "assumption": "an assumption"}


def _effect(found: WhatIf, style: Style) -> str:
    if found.effect is None:
        return style.prose(found.refused or "unknown", SENTENCE)
    low, high = factor(found.effect.low), factor(found.effect.high)
    return f"{low} throughput" if low == high else f"{low} to {high} throughput"


def _cost(found: WhatIf) -> str:
    parts = []
    if found.usd_h_low is not None and found.usd_h_high is not None:
        now = "" if found.price_usd_h is None else f" instead of {usd(found.price_usd_h)}"
        parts.append(f"{_range(usd(found.usd_h_low), usd(found.usd_h_high))}{now} an hour for today's work")
    if found.usd_per_mtok_low is not None and found.usd_per_mtok_high is not None:
        per = _range(_fine(found.usd_per_mtok_low), _fine(found.usd_per_mtok_high))
        parts.append(f"{per} per million tokens")
    if found.watts_low is not None and found.watts_high is not None:
        parts.append(f"{_range(number(found.watts_low), number(found.watts_high))} W")
    return "; ".join(parts)


def _range(low: str, high: str) -> str:
    return low if low == high else f"{low} to {high}"


def _fine(amount: float) -> str:
    """Dollars of tokens, which may be far below a cent."""
    return usd(amount) if abs(amount) >= 1 else f"${amount:.3g}"


def engines(serving: Sequence[ServingFigures], style: Style) -> list[Engine]:
    """What inference engines said of themselves."""
    return [_engine(found, style) for found in serving[:MAX_ENGINES]]


def _engine(found: ServingFigures, style: Style) -> Engine:
    version = f" {style.text(found.engine_version, 40)}" if found.engine_version else ""
    resets = f", counters began anew {found.resets} times" if found.resets else ""
    shown = [
        (words, say(value)) for name, words, say in _FIGURES if (value := getattr(found, name)) is not None
    ]
    price = [("price", style.text(found.price_source, 160))] if found.price_source else []
    slo = [("objective", style.text(found.slo, 80))] if found.slo else []
    return Engine(
        name=f"{style.text(found.engine, 40)}{version} at {style.text(found.endpoint, 80)}",
        model=style.text(found.model, 120) if found.model else "",
        facts=f"{found.scrapes} scrapes over {span(found.t_end_s - found.t_start_s)}{resets}",
        figures=(*slo, *shown, *price),
        missing=tuple(style.text(f"{k}: {v}", 160) for k, v in list(found.missing.items())[:12]),
    )


def _rate(value: float) -> str:
    return f"{number(value)} tok/s"


def _time(value: float) -> str:
    return f"{number(value * 1e3)} ms" if value < 1 else f"{value:.3g} s"


_FIGURES: tuple[tuple[str, str, Callable[[float], str]], ...] = (
    ("generation_tok_s", "generated", _rate),
    ("prompt_tok_s", "prompt, computed", _rate),
    ("cached_tok_s", "prompt, from cache", _rate),
    ("response_s", "responses a second", number),
    ("good_response_frac", "responses that were neither failed nor aborted", percent),
    ("prompt_tokens_per_response", "prompt tokens a response", number),
    ("generation_tokens_per_response", "generated tokens a response", number),
    ("running", "requests running", number),
    ("waiting", "requests waiting", number),
    ("step_tokens", "tokens a forward pass", number),
    ("kv_use_frac", "KV cache in use", percent),
    ("kv_use_max_frac", "KV cache in use, most", percent),
    ("preemptions_s", "preemptions a second", number),
    ("graphs_frac", "decode passes that replayed a CUDA graph", percent),
    ("prefix_hit_frac", "prefix cache hits", percent),
    ("ttft_p50_s", "time to first token, P50", _time),
    ("ttft_p99_s", "time to first token, P99", _time),
    ("itl_p50_s", "time between tokens, P50", _time),
    ("itl_p99_s", "time between tokens, P99", _time),
    ("e2e_p50_s", "whole request, P50", _time),
    ("e2e_p99_s", "whole request, P99", _time),
    ("queue_p50_s", "in the queue, P50", _time),
    ("queue_p99_s", "in the queue, P99", _time),
    ("prefill_time_frac", "prefill's share of prefill and decode", percent),
    ("usd_h", "price of its devices an hour", usd),
    ("usd_per_mtok", "per million tokens", _fine),
    ("usd_per_mtok_prefill", "per million prompt tokens", _fine),
    ("usd_per_mtok_decode", "per million generated tokens", _fine),
    ("usd_per_response", "per meaningful response", _fine),
    ("tok_usd", "tokens a dollar", number),
    ("power_w", "power of its devices (W)", number),
    ("tok_j", "tokens a joule", number),
    ("usd_energy_per_mtok", "energy per million tokens", _fine),
    ("slo_met_frac", "met the objective", percent),
    ("slo_met_low_frac", "met the objective, at least", percent),
    ("slo_met_high_frac", "met the objective, at most", percent),
    ("goodput_tok_s", "goodput", _rate),
    ("usd_per_mtok_good", "per million tokens that met it", _fine),
)
