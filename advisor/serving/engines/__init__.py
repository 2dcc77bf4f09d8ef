"""The engines that can be read: one table each. A new one is a module here and a line in ENGINES."""

from __future__ import annotations

from advisor.serving.engines.dynamo import DYNAMO
from advisor.serving.engines.llamacpp import LLAMACPP
from advisor.serving.engines.sglang import SGLANG
from advisor.serving.engines.table import Engine, Series
from advisor.serving.engines.tgi import TGI
from advisor.serving.engines.triton import TRITON
from advisor.serving.engines.trtllm import TRTLLM
from advisor.serving.engines.vllm import VLLM

__all__ = ["ENGINES", "PATHS", "PORTS", "Engine", "Series", "engine_named"]

# An engine's own metrics come before those of a proxy or server around it on the same page.
ENGINES: tuple[Engine, ...] = (VLLM, SGLANG, TRTLLM, LLAMACPP, TGI, TRITON, DYNAMO)
# Where metrics are looked for, most usual first.
PATHS: tuple[str, ...] = tuple(dict.fromkeys(path for engine in ENGINES for path in engine.paths))
PORTS: tuple[int, ...] = tuple(sorted({port for engine in ENGINES for port in engine.ports}))


def engine_named(name: str) -> Engine | None:
    """The engine of this name, None for one that a newer advisor knew."""
    return next((engine for engine in ENGINES if engine.name == name), None)
