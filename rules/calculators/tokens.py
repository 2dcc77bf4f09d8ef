"""Tokens for a dollar, dollars for a million tokens, and how prefill and decode share them.

T tokens a second on N GPUs at p dollars an hour each: 3600 T / (p N) tokens a dollar. The phases share the
price by the time that requests spent in them.
"""

from __future__ import annotations

from rules.calculators.calculation import Calculation, CalculationError, Input, Sheet
from rules.tokens import tokens_per_usd, usd_per_mtok

TITLE = "What tokens cost"


def tokens(
    *,
    price_usd_h: Input,
    gpus: Input,
    tok_s: Input | None = None,
    prompt_tok_s: Input | None = None,
    generation_tok_s: Input | None = None,
    prefill_frac: Input | None = None,
    prefill_s: Input | None = None,
    decode_s: Input | None = None,
) -> Calculation:
    """Dollars per million tokens. Prompt and generation rates are added where no total is given.

    Raises CalculationError without any rate of tokens, or where the phases took no time.
    """
    sheet = Sheet(price_usd_h, gpus, tok_s, prompt_tok_s, generation_tok_s, prefill_frac, prefill_s, decode_s)
    total = _total(sheet)
    usd_h = sheet.add("usd_h", "$/h", "all GPUs", "price_usd_h × gpus", sheet["price_usd_h"] * sheet["gpus"])
    sheet.add(
        "tok_usd",
        "tok/$",
        "tokens for a dollar",
        f"3600 × {total} / usd_h",
        tokens_per_usd(sheet[total], usd_h),
    )
    sheet.add(
        "usd_per_mtok", "$/Mtok", "all tokens alike", "1e6 / tok_usd", usd_per_mtok(sheet[total], usd_h)
    )
    _phases(sheet, usd_h)
    return sheet.result("tokens", TITLE, "usd_per_mtok")


def _total(sheet: Sheet) -> str:
    """The name of the rate that all tokens are counted by."""
    if sheet.has("tok_s"):
        return "tok_s"
    if not sheet.has("generation_tok_s"):
        raise CalculationError("no rate of tokens is given", "give --tok-s, or --generation-tok-s")
    if not sheet.has("prompt_tok_s"):
        sheet.note("Generated tokens alone are counted, as prompt tokens are not known.")
        return "generation_tok_s"
    both = sheet["prompt_tok_s"] + sheet["generation_tok_s"]
    sheet.add("tok_s", "tok/s", "prompt and generated", "prompt_tok_s + generation_tok_s", both)
    return "tok_s"


def _phases(sheet: Sheet, usd_h: float) -> None:
    """Each phase's part of the price, and of what its tokens cost where their rate is known."""
    if not sheet.has("prefill_frac"):
        if not sheet.has("prefill_s", "decode_s"):
            return
        spent = sheet["prefill_s"] + sheet["decode_s"]
        if spent <= 0.0:
            raise CalculationError(
                "prefill and decode took no time", "give --prefill-s or --decode-s above 0"
            )
        meaning = "prefill's share of the requests' time"
        sheet.add(
            "prefill_frac", "frac", meaning, "prefill_s / (prefill_s + decode_s)", sheet["prefill_s"] / spent
        )
    prefill = usd_h * sheet["prefill_frac"]
    sheet.add("prefill_usd_h", "$/h", "prefill", "usd_h × prefill_frac", prefill)
    sheet.add(
        "decode_usd_h", "$/h", "decode", "usd_h × (1 - prefill_frac)", usd_h * (1.0 - sheet["prefill_frac"])
    )
    for phase, rate, token in (
        ("prefill", "prompt_tok_s", "prompt"),
        ("decode", "generation_tok_s", "generated"),
    ):
        if sheet.has(rate) and sheet[rate] > 0.0:
            cost = 1e6 * sheet[f"{phase}_usd_h"] / (3600.0 * sheet[rate])
            formula = f"1e6 × {phase}_usd_h / (3600 × {rate})"
            sheet.add(f"{phase}_usd_per_mtok", "$/Mtok", f"{token} tokens", formula, cost)
    sheet.note("The phases share the price by the requests' time in them, not by what each alone would need.")
