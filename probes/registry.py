"""Which probes there are. A probe is one generator function with a docstring, in one of the modules below."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import msgspec

from probes.record import Kind, Measurement

if TYPE_CHECKING:
    from probes.lab import Lab

Run = Callable[["Lab"], Iterator[Measurement]]


class Probe(msgspec.Struct, frozen=True, kw_only=True):
    """One probe: its name on the command line, the device it is for, and where its function is.

    budget_s: what it may take in default mode on an H100-class node; quick is a fifth, full four times. All
    of a GPU's together, with some 6 s to start, are to stay under a minute, and near 15 s in quick
    mode.
    """

    name: str
    kind: Kind
    title: str
    target: str
    budget_s: float

    def load(self) -> Run:
        """Import the function. Its module may need torch and cupy only once it runs."""
        module, name = self.target.split(":")
        run: Run = getattr(importlib.import_module(module), name)
        return run


# In the order in which they run. Host figures come first, while the card is cool and idle; GEMMs, which
# heat it, last.
PROBES: tuple[Probe, ...] = (
    Probe(name="host", kind="cuda", title="host", target="probes.host:host", budget_s=2),
    Probe(name="launch", kind="cuda", title="kernel launch", target="probes.launch:launch", budget_s=4),
    Probe(
        name="dispatch", kind="cuda", title="torch dispatch", target="probes.dispatch:dispatch", budget_s=2
    ),
    Probe(name="allocator", kind="cuda", title="allocator", target="probes.allocator:allocator", budget_s=2),
    Probe(name="transfer", kind="cuda", title="transfers", target="probes.transfer:transfer", budget_s=5),
    Probe(name="latency", kind="cuda", title="latency", target="probes.latency:latency", budget_s=2),
    Probe(name="bandwidth", kind="cuda", title="bandwidth", target="probes.bandwidth:bandwidth", budget_s=7),
    Probe(name="tensor", kind="cuda", title="GEMM", target="probes.tensor:tensor", budget_s=25),
    Probe(name="host", kind="cpu", title="host", target="probes.host:host", budget_s=2),
    Probe(name="cores", kind="cpu", title="core to core", target="probes.cores:cores", budget_s=3),
    Probe(name="membw", kind="cpu", title="memory", target="probes.membw:membw", budget_s=10),
    Probe(name="gemm", kind="cpu", title="GEMM", target="probes.gemm:gemm", budget_s=15),
)
# What people call a probe of the other kind of device.
ALIASES: dict[Kind, dict[str, str]] = {
    "cpu": {"bandwidth": "membw", "tensor": "gemm"},
    "cuda": {"gemm": "tensor"},
}


def names(kind: Kind) -> tuple[str, ...]:
    """The probes of a kind of device, in the order in which they run."""
    return tuple(p.name for p in PROBES if p.kind == kind)


def chosen(kind: Kind, wanted: tuple[str, ...]) -> tuple[Probe, ...]:
    """The probes called so, in the order in which they run; all when none is named.

    Raises ValueError with the names there are.
    """
    aliases = ALIASES[kind]
    asked = {aliases.get(name, name) for name in wanted}
    if unknown := sorted(asked - set(names(kind))):
        raise ValueError(
            f"no probe of a {kind} device is called {unknown[0]!r}; there are {', '.join(names(kind))}"
        )
    return tuple(p for p in PROBES if p.kind == kind and (not asked or p.name in asked))
