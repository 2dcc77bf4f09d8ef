"""A probe run as JSON: without secrets, and without what JSON cannot hold."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import msgspec

from advisor.reports.jsontext import as_json
from advisor.reports.redact_text import redact_text
from probes.record import ProbeRun


def encode(run: ProbeRun, *, unicode: bool = True) -> str:
    """The run, indented by two spaces. unicode: False for a stream that takes ASCII alone."""
    return as_json(run, unicode=unicode)


def cleaned(run: ProbeRun, keep: bool = False) -> ProbeRun:
    """The run without secrets and home directories in its texts (as it was with keep=True), and without
    what JSON cannot hold: lone surrogates become question marks, figures that are not finite go."""
    clean: Callable[[str], str] = (lambda text: text) if keep else (lambda text: redact_text(text)[0])
    return msgspec.convert(_walk(msgspec.to_builtins(run), clean), type=ProbeRun)


def _walk(node: Any, clean: Callable[[str], str]) -> Any:
    if isinstance(node, str):
        return clean(node.encode("utf-8", "replace").decode())
    if isinstance(node, dict):
        kept = {key: value for key, value in node.items() if not _is_not_finite(value)}
        return {_walk(key, str): _walk(value, clean) for key, value in kept.items()}
    if isinstance(node, list | tuple):
        return [_walk(value, clean) for value in node]
    return node


def _is_not_finite(value: object) -> bool:
    return isinstance(value, float) and not math.isfinite(value)
