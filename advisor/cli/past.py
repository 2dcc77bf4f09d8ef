"""`advisor history` at work: what of the past is chosen, and how it is printed."""

from __future__ import annotations

import time
from collections.abc import Sequence
from difflib import get_close_matches
from typing import TYPE_CHECKING

import msgspec

from advisor.cli import output
from advisor.cli.diagnostics import CliError, ExitCode, note, warn
from advisor.cli.documents import devices_named
from advisor.cli.inputs import load_config, tell
from advisor.keeping.errors import HistoryError
from advisor.keeping.history import HistoryFile
from advisor.keeping.recorder import history_of
from advisor.keeping.records import DeviceTrends, History, KeptDiagnosis, KeptFigure
from advisor.keeping.trends import WORKLOADS, device_trends
from advisor.naming import Place, words
from advisor.store import Store
from probes.metrics import METRICS

if TYPE_CHECKING:
    from advisor.reports.probes import Page


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What to show. gpu: indices and UUIDs, or beginnings of those. limit: diagnoses of each device."""

    gpu: str | None = None
    since_s: float | None = None
    metric: str | None = None
    limit: int = 20
    trends: bool = False
    as_json: bool = False


def show(asked: Asked) -> ExitCode:
    """Print what is kept. Raises CliError (2) for a GPU or figure that the history does not know."""
    config = load_config()
    history = history_of(config)
    since_s = -float("inf") if asked.since_s is None else time.time() - asked.since_s
    try:
        history.numbers()  # a damaged file is named here, and left as it is
        if config.history:
            _catch_up(history)
        diagnoses, figures = history.diagnoses(since_s), history.figures(since_s)
    except HistoryError as error:
        raise CliError(str(error), error.fix) from error
    diagnoses, figures = _chosen(asked.gpu, diagnoses, figures)
    _check_metric(asked.metric, figures)
    if asked.trends:
        return _told_trends(history, device_trends(diagnoses, figures, asked.metric), asked)
    return _told_list(history, diagnoses, figures, asked)


def _catch_up(history: HistoryFile) -> None:
    """Take over probe runs that came while history was off, or from an earlier advisor."""
    store = Store()
    try:
        history.take_over(store)
    except HistoryError as error:
        warn(f"probe runs were not taken over: {error}")
    tell([*history.warnings, *store.warnings])


def _chosen(
    gpu: str | None, diagnoses: list[KeptDiagnosis], figures: list[KeptFigure]
) -> tuple[list[KeptDiagnosis], list[KeptFigure]]:
    """Rows of the devices that were asked for. Raises CliError when there are rows, and none of those."""
    chosen = words(gpu)
    if chosen is None:
        return diagnoses, figures
    places = [*map(_place, diagnoses), *map(_place, figures)]
    found = {place for word in chosen for place in devices_named(word, places)}
    if places and not found:
        known = sorted({*map(_name, diagnoses), *map(_name, figures)})
        raise CliError(f"--gpu {gpu}: no such device is in the history", f"there are {', '.join(known)}")
    return [d for d in diagnoses if _place(d) in found], [f for f in figures if _place(f) in found]


def _place(row: KeptDiagnosis | KeptFigure) -> Place:
    return Place(row.key, row.gpu, row.mig)


def _name(row: KeptDiagnosis | KeptFigure) -> str:
    return row.key if row.gpu is None else f"{row.gpu} ({row.key})"


def _check_metric(metric: str | None, figures: Sequence[KeptFigure]) -> None:
    known = [*WORKLOADS, *METRICS]
    if metric is None or metric in known or any(f.metric == metric for f in figures):
        return
    near = get_close_matches(metric, known, n=3)
    hint = f"did you mean {' or '.join(near)}?" if near else f"such as {', '.join([*WORKLOADS, 'bf16'])}"
    raise CliError(f"--metric {metric}: there is no such figure", hint)


def _told_trends(history: HistoryFile, devices: tuple[DeviceTrends, ...], asked: Asked) -> ExitCode:
    from advisor.reports.history import trend_pages
    from advisor.reports.probe_pages import TERMINAL

    if asked.metric is not None:
        devices = tuple(device for device in devices if device.ceilings or device.workloads)
    if asked.as_json:
        return _as_json(History(path=str(history.path), trends=devices))
    return _as_pages(history, trend_pages(devices, TERMINAL, unicode=output.unicode()))


def _told_list(
    history: HistoryFile, diagnoses: list[KeptDiagnosis], figures: list[KeptFigure], asked: Asked
) -> ExitCode:
    from advisor.reports.history import list_pages, metric_pages
    from advisor.reports.probe_pages import TERMINAL

    shown = _newest(diagnoses, asked.limit)
    latest = _newest_runs([f for f in figures if asked.metric in (None, f.metric)], asked.limit)
    if asked.as_json:
        left_out = len(diagnoses) - len(shown)
        return _as_json(
            History(path=str(history.path), diagnoses=tuple(shown), figures=tuple(latest), left_out=left_out)
        )
    if asked.metric is not None:
        return _as_pages(history, metric_pages(shown, latest, asked.metric, TERMINAL))
    code = _as_pages(history, list_pages(shown, figures, TERMINAL))
    if len(shown) < len(diagnoses):
        note(f"the newest {asked.limit} of each device; --limit shows more")
    return code


def _newest(rows: Sequence[KeptDiagnosis], limit: int) -> list[KeptDiagnosis]:
    """The newest rows of each device, devices by their latest index."""
    counts: dict[str, int] = {}
    place: dict[str, tuple[int, str]] = {}
    kept = []
    for row in rows:
        place.setdefault(row.key, (row.gpu, row.key))
        counts[row.key] = counts.get(row.key, 0) + 1
        if counts[row.key] <= limit:
            kept.append(row)
    return sorted(kept, key=lambda row: place[row.key])


def _newest_runs(figures: Sequence[KeptFigure], limit: int) -> list[KeptFigure]:
    """Figures of the newest runs of each device."""
    seen: dict[str, set[float]] = {}
    kept = []
    for figure in figures:
        runs = seen.setdefault(figure.key, set())
        if figure.t_s in runs or len(runs) < limit:
            runs.add(figure.t_s)
            kept.append(figure)
    return kept


def _as_json(history: History) -> ExitCode:
    output.write_record(history)
    return ExitCode.OK


def _as_pages(history: HistoryFile, pages: Sequence[Page]) -> ExitCode:
    from advisor.reports.probe_pages import as_text

    if not pages:
        output.write(_nothing_said(history))
        return ExitCode.OK
    text = as_text(pages, (), width=output.columns(), color=output.use_color(), unicode=output.unicode())
    output.write(text)
    return ExitCode.OK


def _nothing_said(history: HistoryFile) -> str:
    from advisor.reports.escape import terminal

    where = terminal(str(history.path))
    if history.numbers()[0] or history.figures(-float("inf")):
        return f"Nothing of what was asked for is among what is kept in {where}.\n"
    return (
        f"Nothing is kept in {where} yet.\n"
        "advisor diagnose, advisor run and advisor probe add to it, unless the setting history is false.\n"
    )
