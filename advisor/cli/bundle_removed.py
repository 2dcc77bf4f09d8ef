"""What stands in a bundle's files in place of a secret or a name: counted where it stands, file by file."""

from __future__ import annotations

import gzip
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from advisor.bundle import Item, Removed
from advisor.reports.redact_text import REDACTED

UNNAMED = "a secret without a name"
_URL = "credentials in a URL"
MAX_NAME = 60
MAX_LISTED = 200

# `--api-key REDACTED`, `api_key=REDACTED`, `"password": "REDACTED"`; or no name that tells what it was.
_SECRET = re.compile(
    rf"(?:(?P<flag>(?<![\w-])-{{1,2}}[A-Za-z][\w.-]{{0,200}})\s+[\"']?"
    rf"|(?P<name>(?<![\w-])-{{0,2}}[A-Za-z_][\w.-]{{0,200}})[\"']?\s?[=:]\s?[\"']?)?{REDACTED}(?P<url>@)?"
)
_PSEUDONYM = re.compile(r"(?<![\w-])(?:node-|user:)[0-9a-f]{6}(?!\w)")
_HOME = re.compile(r"(?<![\w.~/])~(?=/\w)")
# What formats put before or around a character.
_ESCAPES = re.compile(r"\\(?=[^\w\s])|\u2060")
_QUOTE = re.compile(r"&(?:quot|apos|#x27|#39|#34);")


def removed_from(items: Sequence[Item]) -> tuple[Removed, ...]:
    """Every replacement by kind and file, in the order of their names. Raises OSError."""
    found: Counter[tuple[str, str]] = Counter()
    for item in items:
        for line in _lines(item):
            found.update((what, item.name) for what in _in(line))
    return tuple(
        Removed(what=what, member=member, count=count) for (what, member), count in sorted(found.items())
    )


def _lines(item: Item) -> Iterator[str]:
    with item.open() as raw:
        lines: Iterable[bytes] = gzip.GzipFile(fileobj=raw) if item.name.endswith(".gz") else raw
        for line in lines:
            yield line.decode("utf-8", "replace")


def _in(line: str) -> Iterator[str]:
    if REDACTED in line:
        plain = _QUOTE.sub('"', _ESCAPES.sub("", line))
        yield from map(_secret, _SECRET.finditer(plain))
    for match in _PSEUDONYM.finditer(line):
        yield f"{'host' if match[0].startswith('node') else 'user'} name, as {match[0]}"
    yield from ("home folder, as ~" for _ in _HOME.finditer(line))


def _secret(match: re.Match[str]) -> str:
    if match["url"]:
        return _URL
    name = match["flag"] or match["name"]
    return f"value of {name[:MAX_NAME]}" if name else UNNAMED


def told(removed: Sequence[Removed]) -> list[str]:
    """A line for each kind: what it was, and how often in which file."""
    kinds: dict[str, list[str]] = {}
    for one in removed:
        kinds.setdefault(one.what, []).append(f"{one.member} {one.count:,}x")
    secrets = [what for what in kinds if what.startswith("value of ") or what in (UNNAMED, _URL)]
    lines = [] if secrets else ["No secret was found."]
    order = sorted(kinds, key=lambda what: (what not in secrets, what))
    lines += [f"{what}: {', '.join(kinds[what])}" for what in order[:MAX_LISTED]]
    left = len(order) - MAX_LISTED
    return [*lines, *([f"and {left:,} more, in MANIFEST.json"] if left > 0 else [])]
