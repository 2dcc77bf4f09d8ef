"""The Diagnosis as JSON: what `--format json` prints, what is attached to a ticket, what is read back."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import msgspec

from advisor.document import SCHEMA_VERSION, Diagnosis
from advisor.reports.errors import DocumentError
from advisor.reports.escape import terminal
from advisor.reports.jsontext import encoded
from advisor.reports.sound import refuse_unsound_money

__all__ = ["MAX_BYTES", "DocumentError", "decode", "encode"]

MAX_BYTES = 64 * 1024 * 1024

_AGAIN = "write it again with `advisor diagnose --format json -o FILE`"
_GZIP = b"\x1f\x8b"
# An array of numbers alone, as the formatter lays it out; no string of JSON holds a line break.
_NUMBERS = re.compile(rb"\[\n\s*(?:(?:-?[\d.eE+-]+|null),\n\s*)*(?:-?[\d.eE+-]+|null)\n\s*\]")

# Version -> a function that turns that version's object into the next one's.
MIGRATIONS: dict[int, Callable[[dict[str, Any]], dict[str, Any]]] = {}


def encode(diagnosis: Diagnosis) -> bytes:
    """The document as UTF-8 JSON, indented by two spaces, with a newline at its end.

    Every figure is finite: an optional one that is not becomes null, and a required one raises
    DocumentError. What this returns, `decode` reads, unless its dollars do not add up.
    """
    raw = encoded(diagnosis)
    try:
        msgspec.json.decode(raw, type=Diagnosis)
    except msgspec.ValidationError as error:
        raise DocumentError(
            f"the diagnosis holds a value that JSON cannot: {error}", "report this: it is a defect in advisor"
        ) from error
    return _NUMBERS.sub(_on_one_line, msgspec.json.format(raw, indent=2)) + b"\n"


def _on_one_line(numbers: re.Match[bytes]) -> bytes:
    return b" ".join(numbers[0].split()).replace(b"[ ", b"[").replace(b" ]", b"]")


def decode(data: bytes | str) -> Diagnosis:
    """The document in `data`. Older versions are brought up to date.

    Raises DocumentError for anything else: not JSON, truncated, over MAX_BYTES, a newer
    schema_version, a field that is missing, unknown or of the wrong type, or dollars that cannot be or do
    not add up (named by their path).
    """
    raw = data.encode("utf-8", "surrogatepass") if isinstance(data, str) else bytes(data)
    raw = raw.removeprefix(b"\xef\xbb\xbf")
    _refuse_by_look(raw)
    loaded = _parse(raw)
    version = _version(loaded)
    try:
        document = msgspec.convert(_migrated(loaded, version), type=Diagnosis)
    except msgspec.ValidationError as error:
        raise DocumentError(f"not a valid diagnosis: {terminal(str(error))}", _AGAIN) from error
    refuse_unsound_money(document)
    return document


def _refuse_by_look(raw: bytes) -> None:
    if len(raw) > MAX_BYTES:
        size = len(raw) / 1024**2
        raise DocumentError(
            f"the document has {size:.0f} MiB; a diagnosis has at most {MAX_BYTES // 1024**2}",
            "check that this is a diagnosis and not a recording",
        )
    if raw.startswith(_GZIP):
        raise DocumentError("the document is compressed", "unpack it first: `gunzip FILE`")
    if not raw.strip():
        raise DocumentError("the document is empty", _AGAIN)


def _parse(raw: bytes) -> dict[str, Any]:
    try:
        loaded = msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _not_json(raw, error) from error
    if not isinstance(loaded, dict):
        raise DocumentError("not a diagnosis: the document is not a JSON object", _AGAIN)
    return loaded


def _not_json(raw: bytes, error: Exception) -> DocumentError:
    if _is_recording(raw):
        return _recording()
    if "truncated" in str(error) or _is_cut(raw):
        return DocumentError("the document is cut off before its end", f"copy the whole file, or {_AGAIN}")
    if isinstance(error, RecursionError):
        return DocumentError("not a diagnosis: the document is nested too deeply", _AGAIN)
    return DocumentError(f"not JSON: {terminal(str(error))}", _AGAIN)


def _is_cut(raw: bytes) -> bool:
    """An object that begins and does not end: a cut inside a number or a word reads as malformed."""
    return raw.lstrip().startswith(b"{") and not raw.rstrip().endswith(b"}")


def _is_recording(raw: bytes) -> bool:
    try:
        first = msgspec.json.decode(raw.lstrip().partition(b"\n")[0])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return isinstance(first, dict) and first.get("type") == "hello"


def _recording() -> DocumentError:
    return DocumentError("this is a recording, not a diagnosis", "use `advisor replay FILE`")


def _version(loaded: dict[str, Any]) -> int:
    version = loaded.get("schema_version")
    if loaded.get("type") == "hello":
        raise _recording()
    if version is None:
        raise DocumentError("not a diagnosis: it has no `schema_version`", _AGAIN)
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise DocumentError("not a diagnosis: `schema_version` is not a whole number from 1", _AGAIN)
    if version > SCHEMA_VERSION:
        raise DocumentError(
            f"the document has schema version {version}; this advisor reads up to {SCHEMA_VERSION}",
            "update it: `pip install --upgrade gpu-advisor`",
        )
    return version


def _migrated(loaded: dict[str, Any], version: int) -> dict[str, Any]:
    for step in range(version, SCHEMA_VERSION):
        loaded = {**MIGRATIONS[step](loaded), "schema_version": step + 1}
    return loaded
