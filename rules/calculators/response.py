"""Cost of a response that can be used: attempts, tokens of each, and what a guardrail reads.

A × E_t × C_t + P_t × C_p, with A = 1 / (share of attempts that succeed). A guardrail looks once, at the
response that is kept, or at every attempt.
"""

from __future__ import annotations

from typing import Literal

from rules.calculators.calculation import Calculation, CalculationError, Input, Sheet
from rules.tokens import usd_per_mtok as tokens_cost

Guardrail = Literal["once", "attempt"]
TITLE = "What a meaningful response costs"
# Two counts of the same tokens that are further apart than this do not describe one service.
DISAGREE = 1.5


def response(
    *,
    tokens_per_response: Input,
    attempts: Input | None = None,
    success_frac: Input | None = None,
    usd_per_mtok: Input | None = None,
    price_usd_h: Input | None = None,
    gpus: Input | None = None,
    tok_s: Input | None = None,
    guardrail_tokens: Input | None = None,
    guardrail_usd_per_mtok: Input | None = None,
    tok_h: Input | None = None,
    responses_h: Input | None = None,
    guardrail: Guardrail = "once",
) -> Calculation:
    """Dollars per response, by both ways of counting the guardrail; `guardrail` names the result."""
    sheet = Sheet(
        tokens_per_response, attempts, success_frac, usd_per_mtok, price_usd_h, gpus, tok_s,
        guardrail_tokens, guardrail_usd_per_mtok, tok_h, responses_h,
    )  # fmt: skip
    _attempts(sheet)
    _token_price(sheet)
    tried = sheet["attempts"] * sheet["tokens_per_response"] * sheet["usd_per_mtok"] / 1e6
    formula = "attempts × tokens_per_response × usd_per_mtok / 1e6"
    sheet.add("model_usd", "$", "the model's tokens, all attempts", formula, tried)
    once = _guardrail(sheet)
    sheet.add(
        "usd_per_response_once", "$", "with the guardrail once", "model_usd + guardrail_usd", tried + once
    )
    each = tried + sheet["attempts"] * once
    sheet.add(
        "usd_per_response_attempt",
        "$",
        "with the guardrail at each attempt",
        "model_usd + attempts × guardrail_usd",
        each,
    )
    _agreement(sheet)
    return sheet.result("response", TITLE, f"usd_per_response_{guardrail}")


def _attempts(sheet: Sheet) -> None:
    if sheet.has("attempts"):
        return
    if not sheet.has("success_frac"):
        fix = "give --success-frac (share of attempts that succeed) or --attempts"
        raise CalculationError("how many attempts a response takes is not known", fix)
    sheet.add("attempts", "x", "attempts for one response", "1 / success_frac", 1.0 / sheet["success_frac"])


def _token_price(sheet: Sheet) -> None:
    """Dollars per million tokens as given, or of the GPUs' price and rate."""
    if sheet.has("usd_per_mtok"):
        return
    if not sheet.has("price_usd_h", "gpus", "tok_s"):
        raise CalculationError(
            "what a token costs is not known", "give --usd-per-mtok, or --price and --tok-s"
        )
    usd = tokens_cost(sheet["tok_s"], sheet["price_usd_h"] * sheet["gpus"])
    formula = "1e6 × price_usd_h × gpus / (3600 × tok_s)"
    sheet.add("usd_per_mtok", "$/Mtok", "the model's tokens", formula, usd)


def _guardrail(sheet: Sheet) -> float:
    """Dollars of one look of the guardrail; it reads the response where nothing else is said."""
    if sheet.has("guardrail_tokens") and not sheet["guardrail_usd_per_mtok"]:
        raise CalculationError("the guardrail's tokens have no price", "give --guardrail-usd-per-mtok")
    read = "guardrail_tokens" if sheet.has("guardrail_tokens") else "tokens_per_response"
    usd = sheet[read] * sheet["guardrail_usd_per_mtok"] / 1e6
    formula = f"{read} × guardrail_usd_per_mtok / 1e6"
    return sheet.add("guardrail_usd", "$", "one look of the guardrail", formula, usd)


def _agreement(sheet: Sheet) -> None:
    """Whether tokens and responses an hour say the same of a response's length."""
    if not sheet.has("tok_h", "responses_h"):
        return
    seen = sheet["tok_h"] / sheet["responses_h"]
    sheet.add(
        "tokens_per_response_seen", "tok", "by tokens and responses an hour", "tok_h / responses_h", seen
    )
    said = sheet["attempts"] * sheet["tokens_per_response"]
    if not 1.0 / DISAGREE <= seen / said <= DISAGREE:
        sheet.warn(
            f"The inputs disagree: {seen:,.0f} tokens for each response by the hour's counts, {said:,.0f} by "
            "its attempts and their length. Not all of them describe the same service."
        )
