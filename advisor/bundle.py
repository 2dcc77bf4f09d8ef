"""A bundle: everything a ticket needs in one .tar.gz, the same bytes for the same contents."""

from __future__ import annotations

import gzip
import hashlib
import io
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

import msgspec

from advisor.reports.files import write_stream
from advisor.reports.jsontext import as_json

SCHEMA_VERSION = 1
FOLDER = "advisor-bundle"
# 1980-01-01, the earliest time that every archiver can show.
_MTIME = 315532800
_CHUNK_BYTES = 1 << 20


class Item(msgspec.Struct, frozen=True, kw_only=True):
    """One file to put in: its text, or the file that holds it. what: one line for a reader."""

    name: str
    what: str
    data: bytes | None = None
    path: Path | None = None

    def size(self) -> int:
        """Bytes of it."""
        return len(self.data) if self.data is not None else self._path().stat().st_size

    def open(self) -> BinaryIO:
        """Its bytes, from the start."""
        return io.BytesIO(self.data) if self.data is not None else self._path().open("rb")

    def _path(self) -> Path:
        if self.path is None:
            raise ValueError(f"{self.name} has neither data nor a path")
        return self.path


class MemberRecord(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One file of the bundle. sha256: of its bytes, in hexadecimal."""

    name: str
    size_bytes: int
    sha256: str
    what: str


class Removed(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What stands in one file in place of a secret or a name. what: by the name of the flag, variable or key
    that held it, or by the pseudonym; count: how often.
    """

    what: str
    member: str
    count: int


class Manifest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a bundle holds. redacted: what was looked for and taken out, here or when it was recorded; empty
    with --no-redact. removed: what that came to in each file. left_out: file -> why not.

    created, host, source, synthetic: of the diagnosis. doctor_host: the machine that the doctor looked at,
    where it did; it may be another one. notes: what a reader must know, such as damaged lines of a recording.
    """

    schema_version: int = SCHEMA_VERSION
    advisor_version: str
    diagnosis_schema_version: int
    created: str
    host: str
    source: str
    synthetic: bool
    is_redacted: bool
    redacted: tuple[str, ...] = ()
    removed: tuple[Removed, ...] = ()
    doctor_host: str | None = None
    members: tuple[MemberRecord, ...] = ()
    left_out: dict[str, str] = {}
    notes: tuple[str, ...] = ()


def member_records(items: Sequence[Item]) -> tuple[MemberRecord, ...]:
    """Sizes and checksums, in the order of names."""
    return tuple(
        MemberRecord(name=item.name, size_bytes=item.size(), sha256=_sha256(item), what=item.what)
        for item in sorted(items, key=lambda item: item.name)
    )


def _sha256(item: Item) -> str:
    digest = hashlib.sha256()
    with item.open() as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def write_bundle(target: Path, items: Sequence[Item], manifest: Manifest) -> int:
    """Write the archive in one step, mode 0600, and return its size. Raises WriteError.

    Entries are sorted, belong to nobody and have one fixed time, so that equal contents are equal files.
    """
    listed = msgspec.structs.replace(manifest, members=member_records(items))
    whole = [*items, Item(name="MANIFEST.json", what="this list", data=as_json(listed).encode())]
    write_stream(target, lambda file: _fill(file, whole))
    return target.stat().st_size


def _fill(file: BinaryIO, items: Sequence[Item]) -> None:
    with (
        gzip.GzipFile(filename="", mode="wb", fileobj=file, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as archive,
    ):
        for item in sorted(items, key=lambda item: item.name):
            with item.open() as data:
                archive.addfile(_entry(item), data)


def _entry(item: Item) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(f"{FOLDER}/{item.name}")
    entry.size, entry.mtime, entry.mode = item.size(), _MTIME, 0o600
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = ""
    return entry
