"""Bills: the waste ladder summed over a GPU, a job or a node, and who could win back which part of it."""

from __future__ import annotations

from typing import Literal

import msgspec

Scope = Literal["gpu", "job", "node"]


class Recoverable(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What of one term could be won back, by whom, and why so much. Wasted is not the same as recoverable.

    term: a key of TERMS. owner: who can act. share_*: of the scope's paid time; usd_h_*: dollars an hour,
    None without a price. because: the finding's code or the fact that it rests on.
    """

    term: str
    owner: Literal["job", "fleet"]
    share_low: float
    share_high: float
    usd_h_low: float | None = None
    usd_h_high: float | None = None
    because: str = ""


class Bill(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One scope's ladder. `terms` sums to `price_usd_h`; `shares` sums to 1 and exists without a price.

    name: "GPU 2", a job such as "slurm:123" or a process's name (untrusted), or the node's pseudonym. rows:
    keys of the ladder rows in it. unpriced: rows without a price, which are in `shares` alone when no row has
    a price, and nowhere else.
    """

    scope: Scope
    name: str
    rows: tuple[str, ...]
    shares: dict[str, float]
    price_usd_h: float | None = None
    terms: dict[str, float] | None = None
    wasted_usd_h: float | None = None
    unpriced: int = 0
    recoverable: tuple[Recoverable, ...] = ()
