"""Programs that serve requests, told by the names and command lines of processes."""

from __future__ import annotations

import re

from rules import thresholds as th
from rules.evidence import Evidence
from rules.serving import ServingFigures

# Programs that serve requests: their GPU waits when nobody asks.
SERVERS: tuple[str, ...] = (
    "vllm",
    "sglang",
    "trtllm-serve",
    "tritonserver",
    "text-generation-server",
    "text-generation-launcher",
    "text-embeddings-router",
    "tgi",
    "ollama",
    "ollama_llama_server",
    "llama-server",
    "lmdeploy",
    "dynamo-run",
    "dynamo.vllm",
    "dynamo.sglang",
    "dynamo.trtllm",
    "dynamo.frontend",
    "infinity_emb",
    "torchserve",
)
# A name stands alone, or before a module, a kind of process or an extension of its own ("vllm.entrypoints",
# "sglang::scheduler"); as a part of another word it is another program.
_SERVER = re.compile(rf"(?<![\w.-])(?:{'|'.join(map(re.escape, SERVERS))})(?![\w-])", re.IGNORECASE)


def server_in(name: str) -> str | None:
    """The program of SERVERS that a process's name or command names, as a word of its own."""
    found = _SERVER.search(name)
    return found.group().lower() if found else None


def is_server(evidence: Evidence) -> bool:
    """True when the workload serves requests, as far as its name and the command lines around it tell."""
    name = evidence.workload.name if evidence.workload else ""
    return evidence.server is not None or server_in(name) is not None


def nothing_waits(engine: ServingFigures | None) -> bool:
    """Whether an engine says that no request waits: its batch is what is asked, and no setting's."""
    return engine is not None and engine.waiting is not None and engine.waiting < th.WAITING.value
