"""Direction and host memory of a copy, as its name tells: "Memcpy HtoD (Pageable -> Device)"."""

from __future__ import annotations

import re
from functools import lru_cache

from advisor.traces.timeline import CopyKind

_TO = re.compile(r"HtoD|HostToDevice|AtoD|HtoA", re.IGNORECASE)
_FROM = re.compile(r"DtoH|DeviceToHost|AtoH", re.IGNORECASE)
_WITHIN = re.compile(r"DtoD|DeviceToDevice|DtoA|AtoA", re.IGNORECASE)
_PEER = re.compile(r"PtoP|PeerToPeer", re.IGNORECASE)
_PINNED = {CopyKind.H2D: CopyKind.H2D_PINNED, CopyKind.D2H: CopyKind.D2H_PINNED}
_PAGEABLE = {CopyKind.H2D: CopyKind.H2D_PAGEABLE, CopyKind.D2H: CopyKind.D2H_PAGEABLE}


@lru_cache(maxsize=4096)
def copy_kind(name: str, kind: str = "") -> CopyKind:
    """The kind of a copy from its name, and from `kind`, which AMD's files add ("DtoD")."""
    way = _direction(name) or _direction(kind) or CopyKind.OTHER
    if "Pageable" in name:
        return _PAGEABLE.get(way, way)
    return _PINNED.get(way, way) if "Pinned" in name else way


def _direction(text: str) -> CopyKind | None:
    table = ((_PEER, CopyKind.P2P), (_TO, CopyKind.H2D), (_FROM, CopyKind.D2H), (_WITHIN, CopyKind.D2D))
    return next((kind for pattern, kind in table if pattern.search(text)), None)
