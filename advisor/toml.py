"""Writing the little TOML that a configuration needs; the standard library only reads it."""

from __future__ import annotations

from collections.abc import Mapping

Scalar = str | bool | int | float

_ESCAPES = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\t": "\\t", "\r": "\\r"}


def dump_line(key: str, value: Scalar) -> str:
    """`key = value`, the key as it stands."""
    return f"{key} = {_value(value)}"


def dump_table(name: str, values: Mapping[str, Scalar]) -> str:
    """A `[name]` table with quoted keys."""
    return "".join([f"[{name}]\n", *(f"{_text(k)} = {_value(v)}\n" for k, v in values.items())])


def _value(value: Scalar) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return _text(value) if isinstance(value, str) else repr(value)


def _text(text: str) -> str:
    return '"' + "".join(_ESCAPES.get(c) or _plain(c) for c in text) + '"'


def _plain(char: str) -> str:
    control = ord(char) < 0x20 or ord(char) == 0x7F
    return f"\\u{ord(char):04x}" if control else char
