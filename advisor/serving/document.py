"""The document of `advisor serving`: engines over one window."""

from __future__ import annotations

import msgspec

from rules.finding import Finding
from rules.serving import ServingFigures

SCHEMA_VERSION = 1


class Unread(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An endpoint that could not be read, and why."""

    endpoint: str
    reason: str


class ServingReport(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Engines over one window, and what is wrong with how they run.

    no_gpu: why nothing is known of GPUs, None where they were
    watched. findings: of the rules for serving alone; `advisor diagnose` has them all.
    """

    schema_version: int = SCHEMA_VERSION
    advisor_version: str
    created: str
    t_start_s: float
    t_end_s: float
    engines: tuple[ServingFigures, ...] = ()
    unread: tuple[Unread, ...] = ()
    findings: tuple[Finding, ...] = ()
    no_gpu: str | None = None
    synthetic: bool = False
    notes: tuple[str, ...] = ()
