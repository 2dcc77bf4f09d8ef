"""Which prices hold on this node, for the commands that tell it."""

from __future__ import annotations

import datetime
import difflib
import os
import platform
from collections.abc import Iterable, Sequence

import msgspec

from advisor.cli.diagnostics import CliError
from advisor.cli.inputs import load_config
from advisor.cloud import read_cloud
from advisor.config import Config
from advisor.price_list import PriceList, Wanted, price_list
from advisor.price_table import Model, PriceRow, all_models, bundled_rows, find_models, model_of
from advisor.prices import NodeFacts, facts_of
from advisor.reports.escape import terminal
from advisor.telemetry.records import DeviceInfo


def listed(model: str | None, provider: str | None) -> PriceList:
    """The list for a model and a provider, each None for all. Raises CliError where one is not known."""
    config = load_config()
    wanted = devices_here() if model is None else [Wanted(model=one) for one in _models(model, config)]
    names = None if model is None else {name for one in wanted for name in one.model.accelerators}
    rows = [row for row in bundled_rows() if names is None or row.accelerator in names]
    today = datetime.datetime.now(datetime.UTC).date()
    return price_list(_of_provider(rows, provider), wanted, config, os.environ, this_node(), today)


def this_node() -> NodeFacts:
    """What of this node may set its prices."""
    from advisor.telemetry.host import HostReader

    facts = facts_of(HostReader().info(), (platform.node(),))
    return msgspec.structs.replace(facts, instance_why=read_cloud().why)


def devices_here() -> list[Wanted]:
    """The models of this node's GPUs; none where no driver answers."""
    from advisor.cli.checks.nvml_look import look

    return by_model(device.info for device in look().devices)


def by_model(devices: Iterable[DeviceInfo]) -> list[Wanted]:
    """Whole GPUs, those of one model together."""
    found: dict[tuple[str, int | None], list[int]] = {}
    for info in devices:
        if info.parent_key is None:
            found.setdefault((info.name, info.memory_total_bytes), []).append(info.index)
    return [Wanted(model=model_of(*asked), gpus=tuple(gpus)) for asked, gpus in found.items()]


def _models(text: str, config: Config) -> Sequence[Model]:
    found = find_models(text)
    if found:
        return found
    if text.strip().lower() in {name.strip().lower() for name in config.prices}:
        return (model_of(text),)
    names = sorted({name for model in all_models() for name in (model.name, *model.accelerators)})
    near = difflib.get_close_matches(text, names, n=3, cutoff=0.5)
    fix = f"did you mean {', '.join(near)}?" if near else "without --gpu every model is listed"
    raise CliError(f"--gpu: no model is called {terminal(text)!r}", fix)


def _of_provider(rows: Sequence[PriceRow], provider: str | None) -> Sequence[PriceRow]:
    if provider is None:
        return rows
    known = sorted({row.provider for row in bundled_rows()})
    if provider.strip().lower() not in known:
        raise CliError(
            f"--provider: {terminal(provider)!r} is not in the table", f"one of {', '.join(known)}"
        )
    return [row for row in rows if row.provider == provider.strip().lower()]
