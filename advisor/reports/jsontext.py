"""Any record as JSON text: what every command that prints JSON, and every JSON file, is written with."""

from __future__ import annotations

import re
from typing import Any

import msgspec

_BEYOND_ASCII = re.compile(r"[^\x00-\x7f]")


def as_json(record: object, *, unicode: bool = True, indent: int | None = 2) -> str:
    """Anything that msgspec can encode, with a newline at its end.

    Lone surrogates, which JSON cannot hold, become question marks. unicode: False for a stream that takes
    ASCII alone. indent: None puts the whole record on one line.
    """
    raw = encoded(record)
    text = (raw if indent is None else msgspec.json.format(raw, indent=indent)).decode() + "\n"
    return text if unicode else escaped(text)


def encoded(record: object) -> bytes:
    """The record as JSON without spaces, whatever bytes the names in it were made of."""
    try:
        return msgspec.json.encode(record)
    except UnicodeEncodeError:
        return msgspec.json.encode(without_surrogates(msgspec.to_builtins(record)))


def escaped(document: str) -> str:
    """The same JSON in ASCII alone: what is beyond it can only stand in a string, where it has an escape."""
    return _BEYOND_ASCII.sub(_escape, document)


def _escape(found: re.Match[str]) -> str:
    pair = found[0].encode("utf-16-be")
    return "".join(f"\\u{pair[at : at + 2].hex()}" for at in range(0, len(pair), 2))


def without_surrogates(value: Any) -> Any:
    """Names from the kernel may hold bytes that are no UTF-8; each becomes a question mark."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, dict):
        return {without_surrogates(k): without_surrogates(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [without_surrogates(item) for item in value]
    return value
