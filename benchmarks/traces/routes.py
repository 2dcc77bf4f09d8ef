"""Ways to read one trace, each run in a process of its own: `python -m benchmarks.traces.routes ROUTE FILE`.

Each prints one line of JSON: what it found. Its time and memory are taken by whoever starts it.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec


class _Args(msgspec.Struct, gc=False):
    correlation: int | str | None = None
    stream: int | str | None = None
    device: int | str | None = None
    bytes: int | None = None


class _Event(msgspec.Struct, gc=False):
    ph: str
    name: str = ""
    cat: str = ""
    pid: int | str = 0
    tid: int | str = 0
    ts: float | int | str = 0
    dur: float | int | str = 0
    args: _Args | None = None


class _Trace(msgspec.Struct):
    traceEvents: list[_Event]  # noqa: N815 - the file's own word


def bare(path: Path) -> dict[str, Any]:
    """The whole file through one typed decode, and nothing done with it: what reading costs at the least."""
    return {"events": len(msgspec.json.decode(path.read_bytes(), type=_Trace).traceEvents)}


def plain(path: Path) -> dict[str, Any]:
    """The standard library's parser, as HTA uses it."""
    with path.open("rb") as file:
        return {"events": len(json.load(file)["traceEvents"])}


def advisor(path: Path) -> dict[str, Any]:
    """Read, attribute, classify: the figures of `advisor trace FILE --json`, through the program itself."""
    from advisor.__main__ import main

    sys.argv = ["advisor", "trace", str(path), "--json"]
    try:
        main()
    except SystemExit as end:
        if end.code:
            raise
    return {}


ROUTES: dict[str, Callable[[Path], dict[str, Any]]] = {"bare": bare, "json": plain, "advisor": advisor}


def main() -> None:
    """Run one route."""
    found = ROUTES[sys.argv[1]](Path(sys.argv[2]))
    if found:
        print(json.dumps(found))


if __name__ == "__main__":
    main()
