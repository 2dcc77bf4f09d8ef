"""Tokens, dollars and joules: the formulas that serving, what-ifs and calculators share.

tok_s: tokens a second. usd_h: dollars an hour for everything that serves them (all GPUs together). Each
raises ValueError where an input makes no sense; a rate of 0 has no cost per token.
"""

from __future__ import annotations

JOULES_PER_KWH = 3.6e6
_MILLION = 1e6
_SECONDS_PER_HOUR = 3600.0


def tokens_per_usd(tok_s: float, usd_h: float) -> float:
    """Tokens for a dollar: 3600 T / p. 9010 tok/s at $6.88/h is 4.71 million."""
    return _SECONDS_PER_HOUR * _positive("tokens a second", tok_s) / _positive("dollars an hour", usd_h)


def usd_per_mtok(tok_s: float, usd_h: float) -> float:
    """Dollars per million tokens: 1e6 / (3600 T / p). 9010 tok/s at $6.88/h is $0.212."""
    return _MILLION / tokens_per_usd(tok_s, usd_h)


def tokens_per_joule(tokens: float, energy_j: float) -> float:
    """Tokens per joule of an energy counter's difference, which is (tok/s) per watt."""
    return _positive("tokens", tokens) / _positive("joules", energy_j)


def energy_usd_per_mtok(tok_j: float, electricity_usd_kwh: float, pue: float = 1.0) -> float:
    """Dollars of electricity per million tokens: 1e6 / (tok/J) / 3.6e6 x $/kWh x PUE.

    13.05 tok/J, $0.10 per kWh and a PUE of 1.54 give $0.0033.
    """
    kwh = _MILLION / _positive("tokens a joule", tok_j) / JOULES_PER_KWH
    return kwh * _positive("dollars per kWh", electricity_usd_kwh) * _positive("PUE", pue)


def _positive(name: str, value: float) -> float:
    if not 0.0 < value < float("inf"):
        raise ValueError(f"{name} must be a number above 0, not {value}")
    return value
