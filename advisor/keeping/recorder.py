"""Keeping what was just seen, without ever getting in its way: a failure is one warning, and no more."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from advisor.document import Diagnosis
from advisor.keeping.errors import HistoryError

if TYPE_CHECKING:
    from advisor.config import Config
    from advisor.keeping.history import HistoryFile
    from advisor.store import Store

LIVE = frozenset({"live", "run"})


def is_kept(diagnosis: Diagnosis, config: Config, wanted: bool | None) -> bool:
    """Whether a diagnosis goes into the history.

    wanted: what was asked for; None leaves it to the configuration, by which what was seen live on real
    GPUs is kept: no replay, no demo, nothing synthetic, nothing without a single row.
    """
    if wanted is not None:
        return wanted and bool(diagnosis.verdicts)
    p = diagnosis.provenance
    return config.history and p.source in LIVE and not p.synthetic and bool(diagnosis.verdicts)


def keep_diagnosis(
    diagnosis: Diagnosis, config: Config, warn: Callable[[str], None], wanted: bool | None = None
) -> int | None:
    """Keep a diagnosis, redacted as it is in exports; gives its number, None where it was not kept."""
    if not is_kept(diagnosis, config, wanted):
        return None

    def work(history: HistoryFile) -> int | None:
        from advisor.reports.redact import redact_diagnosis

        return history.add(redact_diagnosis(diagnosis, keep=not config.redact))

    return _tried(work, config, warn, "this diagnosis")


def keep_runs(store: Store, keys: list[str], config: Config, warn: Callable[[str], None]) -> None:
    """Take over new probe runs of these devices, and older ones that the history has not yet."""
    if config.history and keys:
        _tried(lambda history: history.take_over(store, keys), config, warn, "this probe run")


def history_of(config: Config) -> HistoryFile:
    """The history with the limits of the configuration."""
    from advisor.keeping.history import HistoryFile, Limits

    return HistoryFile(limits=Limits(config.history_days, config.history_mib))


def _tried(
    work: Callable[[HistoryFile], int | None], config: Config, warn: Callable[[str], None], what: str
) -> int | None:
    """What `work` gives, None where it failed; whatever happened is one line."""
    said: list[str] = []
    found: int | None = None
    try:
        history = history_of(config)
        said = history.warnings
        found = work(history)
    except HistoryError as error:
        said.append(f"{what} is not in the history: {error}{f'; {error.fix}' if error.fix else ''}")
    except Exception as error:  # whatever is wrong with the past must not cost the present
        said.append(f"{what} is not in the history: {type(error).__name__}: {error}")
    if said:
        warn("; ".join(said))
    return found
