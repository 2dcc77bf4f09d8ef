"""A ServingReport as it may leave: without secrets, home folders and the names of other hosts."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from advisor.reports.redact import host_hash, redact_record

if TYPE_CHECKING:
    from advisor.serving.document import ServingReport

LOOPBACK = ("127.0.0.1", "localhost", "[::1]")


def redact_serving(report: ServingReport, *, leaves: bool) -> ServingReport:
    """The report without secrets and home folders. leaves: it goes into a file or another program."""
    clean = redact_record(report)
    if not leaves:
        return clean
    names = hashed_hosts([*(e.endpoint for e in report.engines), *(u.endpoint for u in report.unread)])
    return msgspec.convert(_walk(msgspec.to_builtins(clean), names), type(clean))


def hashed_hosts(endpoints: Iterable[str]) -> dict[str, str]:
    """What stands for these endpoints and their hosts, the longest first.

    A host's name without a dot may be a word of ours ("vllm", "gpu"): it goes with its port alone.
    """
    found: dict[str, str] = {}
    for endpoint in endpoints:
        host, _, port = endpoint.rpartition(":")
        if host not in LOOPBACK:
            found[endpoint] = f"{host_hash(host)}:{port}"
            if re.search(r"[.:]", host):
                found[host] = host_hash(host)
    return dict(sorted(found.items(), key=lambda pair: -len(pair[0])))


def _walk(node: Any, names: Mapping[str, str]) -> Any:
    if isinstance(node, str):
        return without_hosts(node, names)
    if isinstance(node, dict):
        return {key: _walk(value, names) for key, value in node.items()}
    if isinstance(node, list | tuple):
        return [_walk(value, names) for value in node]
    return node


def without_hosts(text: str, names: Mapping[str, str]) -> str:
    """The text with these names replaced wherever they stand as words, in any case."""
    for name, hashed in names.items():
        text = re.sub(rf"(?i)(?<![\w.-]){re.escape(name)}(?![\w-]|\.\w)", hashed, text)
    return text
