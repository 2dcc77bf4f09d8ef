"""Check of what `advisor probe` has measured on this node's cards, and whether it still holds."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence

from advisor.ceilings import age_words, measured
from advisor.cli.checks.check import Check, ok, skip, warn
from advisor.cli.checks.nvml_look import NvmlLook
from advisor.store import Store
from advisor.telemetry.records import DeviceInfo
from probes.ceilings import Ceilings

ID = "probes.ceilings"
MEASURE = "Run `advisor probe --device all` while the GPUs are idle."


def ceilings_check(seen: NvmlLook, store: Store | None = None, env: Mapping[str, str] = os.environ) -> Check:
    """Whether verdicts can be relative to what each of these cards was seen to do."""
    devices = [look.info for look in seen.devices]
    here = [info for info in devices if not info.mig_enabled]
    if not here:
        return skip(ID, "no GPU to look up")
    store = Store() if store is None else store
    found, problems = measured(devices, seen.driver, store)
    said = "; ".join(_words(info, found.get(info.key)) for info in here)
    if problems:
        fix = f"Mend or remove it: the store is {store.folder}."
        return warn(ID, "; ".join((said, *problems)), fix)
    if not _in_use(env):
        return skip(ID, f"{said}; not used", "Set use_stored_ceilings = true to compare with them.")
    return ok(ID, said) if _all_hold(here, found) else warn(ID, said, MEASURE)


def _all_hold(devices: Sequence[DeviceInfo], found: Mapping[str, Ceilings]) -> bool:
    known = [found.get(info.key) for info in devices]
    return all(c is not None and c.stale is None and c.label == "measured" for c in known)


def _words(info: DeviceInfo, ceilings: Ceilings | None) -> str:
    """ "GPU 0 measured 2 d ago", with what is wrong with that."""
    name = f"GPU {info.index}" + (f" {info.mig_profile}" if info.mig_profile else "")
    if ceilings is None:
        return f"{name} never measured"
    partly = "" if ceilings.label == "measured" else "partly "
    stale = f", stale: {ceilings.stale}" if ceilings.stale else ""
    return f"{name} {partly}measured {age_words(ceilings, time.time())}{stale}"


def _in_use(env: Mapping[str, str]) -> bool:
    from advisor.config import ConfigError, load

    try:
        return load({}, env).use_stored_ceilings
    except ConfigError:  # which has a check of its own
        return True
