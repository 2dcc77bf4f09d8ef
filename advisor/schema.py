"""JSON Schema of everything the program writes or reads, made from the records themselves."""

from __future__ import annotations

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
    "bundle": "The manifest of a bundle",
    "serving": "What `advisor serving --json` prints",
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
    if which == "diagnosis":
        from advisor.document import SCHEMA_VERSION, Diagnosis

        return Diagnosis, SCHEMA_VERSION
    if which == "recording":
        from advisor.telemetry import records

        return records.Message, records.SCHEMA_VERSION
    if which == "serving":
        from advisor.serving import document

        return document.ServingReport, document.SCHEMA_VERSION
    if which == "config":
        from advisor.config import Config

        return Config, 1
    if which == "probe":
        from probes import record

        return record.ProbeRun, record.SCHEMA_VERSION
    if which == "prices":
        from advisor import price_list

        return price_list.PriceList, price_list.SCHEMA_VERSION
    if which == "bundle":
        from advisor import bundle

        return bundle.Manifest, bundle.SCHEMA_VERSION
    if which == "comparison":
        from rules.compare import records as compared

        return compared.Comparison, compared.SCHEMA_VERSION
    if which == "history":
        from advisor.keeping import records as kept

        return kept.History, kept.SCHEMA_VERSION
    if which == "whatif":
        from advisor import asked

        return asked.Answers, asked.SCHEMA_VERSION
    if which == "calculation":
        from rules.calculators import calculation

        return calculation.Calculation, calculation.SCHEMA_VERSION
    raise ValueError(f"no schema is called {which!r}; there are {', '.join(WHICH)}")


def _pin_version(component: dict[str, Any], version: int) -> None:
    """A record that carries the version must say it, and say this one."""
    properties = cast("dict[str, Any]", component.get("properties", {}))
    if "schema_version" in properties:
        properties["schema_version"] = {"type": "integer", "const": version}
        component["required"] = sorted({*component.get("required", ()), "schema_version"})
