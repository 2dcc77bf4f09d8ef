"""The list of probes: each target exists, and loading it needs neither torch nor cupy nor the driver."""

from __future__ import annotations

import inspect
import subprocess
import sys

import pytest

from probes.registry import ALIASES, PROBES, Probe, chosen, names

HEAVY = {"torch", "cupy", "pynvml", "psutil", "numpy"}


@pytest.mark.parametrize("probe", PROBES, ids=lambda probe: f"{probe.kind}-{probe.name}")
def test_every_target_is_a_generator_function_with_a_docstring(probe: Probe) -> None:
    run = probe.load()
    assert inspect.isgeneratorfunction(run)
    assert run.__doc__
    assert list(inspect.signature(run).parameters) == ["lab"]


def test_loading_every_probe_imports_nothing_heavy() -> None:
    code = (
        "import sys, pkgutil, importlib, probes\n"
        "from probes.registry import PROBES\n"
        "for probe in PROBES: probe.load()\n"
        "for found in pkgutil.iter_modules(probes.__path__):\n"
        "    if found.name != '__main__': importlib.import_module('probes.' + found.name)\n"
        "print(*sorted({name.partition('.')[0] for name in sys.modules}))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) & HEAVY == set()


def test_names_are_unique_within_a_kind_and_in_the_order_of_running() -> None:
    for kind in ("cuda", "cpu"):
        found = names(kind)
        assert len(set(found)) == len(found)
    assert names("cuda")[-1] == "tensor"


def test_nothing_named_means_all() -> None:
    assert tuple(p.name for p in chosen("cuda", ())) == names("cuda")


def test_chosen_probes_run_in_the_registrys_order_once_each() -> None:
    assert [p.name for p in chosen("cuda", ("tensor", "bandwidth", "gemm"))] == ["bandwidth", "tensor"]


def test_aliases_name_probes_there_are() -> None:
    for kind, aliases in ALIASES.items():
        assert set(aliases.values()) <= set(names(kind))
        assert not set(aliases) & set(names(kind))
    assert [p.name for p in chosen("cpu", ("bandwidth",))] == ["membw"]


def test_an_unknown_name_is_answered_with_those_there_are() -> None:
    with pytest.raises(
        ValueError, match="no probe of a cpu device is called 'launch'; there are host, cores"
    ):
        chosen("cpu", ("launch",))


def test_budgets_stay_within_a_minute() -> None:
    assert sum(probe.budget_s for probe in PROBES if probe.kind == "cuda") <= 60
    assert all(probe.budget_s > 0 for probe in PROBES)
