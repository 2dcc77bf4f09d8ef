"""JSON Schema of everything the program writes or reads, made from the records themselves."""

from __future__ import annotations

from importlib import import_module
from typing import Any, Literal, cast, get_args

import msgspec

DIALECT = "https://json-schema.org/draft/2020-12/schema"

Which = Literal[
    "diagnosis",
    "recording",
    "config",
    "probe",
    "prices",
    "comparison",
    "bundle",
    "history",
    "calculation",
    "serving",
    "whatif",
    "trace-comparison",
]
WHICH: tuple[Which, ...] = get_args(Which)

_TITLES: dict[Which, str] = {
    "diagnosis": "A diagnosis of one node",
    "recording": "One line of a recording",
    "config": "The configuration file",
    "probe": "A probe run",
    "whatif": "What `advisor whatif --json` prints",
    "history": "What `advisor history --json` prints",
    "prices": "The price list",
    "calculation": "What a calculator of `advisor cost` says",
    "comparison": "A comparison of two diagnoses",
    "trace-comparison": "A comparison of two profiler traces",
    "bundle": "The manifest of a bundle",
    "serving": "What `advisor serving --json` prints",
}
# Where each document's record is declared. The configuration has no version: it is never kept.
_RECORDS: dict[Which, tuple[str, str]] = {
    "diagnosis": ("advisor.document", "Diagnosis"),
    "recording": ("advisor.telemetry.records", "Message"),
    "serving": ("advisor.serving.document", "ServingReport"),
    "config": ("advisor.config", "Config"),
    "probe": ("probes.record", "ProbeRun"),
    "prices": ("advisor.price_list", "PriceList"),
    "bundle": ("advisor.bundle", "Manifest"),
    "comparison": ("rules.compare.records", "Comparison"),
    "trace-comparison": ("rules.traces.compared", "TraceComparison"),
    "history": ("advisor.keeping.records", "History"),
    "whatif": ("advisor.asked", "Answers"),
    "calculation": ("rules.calculators.calculation", "Calculation"),
}


def json_schema(which: Which) -> dict[str, Any]:
    """The JSON Schema (Draft 2020-12) of what `which` names.

    Descriptions are the records' docstrings. `$id` holds the schema's version: a document that says
    another `schema_version` is not described by this schema.
    """
    type_, version = _source(which)
    (root,), components = msgspec.json.schema_components([type_], ref_template="#/$defs/{name}")
    head = {"$schema": DIALECT, "$id": f"urn:gpu-advisor:schema:{which}:{version}", "title": _TITLES[which]}
    for component in components.values():
        _pin_version(component, version)
    whole = {**head, **root, "$defs": components}
    return cast("dict[str, Any]", msgspec.json.decode(msgspec.json.encode(whole)))


def _source(which: Which) -> tuple[Any, int]:
    """The record that `which` names, and its version. Only its own module is loaded."""
    if which not in _RECORDS:
        raise ValueError(f"no schema is called {which!r}; there are {', '.join(WHICH)}")
    module, name = _RECORDS[which]
    loaded = import_module(module)
    return getattr(loaded, name), getattr(loaded, "SCHEMA_VERSION", 1)


def _pin_version(component: dict[str, Any], version: int) -> None:
    """A record that carries the version must say it, and say this one."""
    properties = cast("dict[str, Any]", component.get("properties", {}))
    if "schema_version" in properties:
        properties["schema_version"] = {"type": "integer", "const": version}
        component["required"] = sorted({*component.get("required", ()), "schema_version"})
