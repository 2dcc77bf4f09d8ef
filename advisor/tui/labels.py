"""Words for classes, causes, shares and ladder terms, as rows and legends show them."""

from __future__ import annotations

CLASS_WORDS: dict[str, str] = {
    "compute": "COMPUTE",
    "memory": "MEMORY",
    "host": "HOST",
    "communication": "LINK",
    "device": "DEVICE",
    "idle": "IDLE",
    "unknown": "UNKNOWN",
}

# Where the column is six cells wide.
SHORT_WORDS: dict[str, str] = {"COMPUTE": "COMP", "UNKNOWN": "UNKN"}

CLASS_GROUP: dict[str, str] = {"communication": "link"}

GROUP_WORDS: dict[str, str] = {
    "idle": "idle",
    "host": "host",
    "link": "link+throttle",
    "device": "device",
    "memory": "memory",
    "compute": "compute",
    "unknown": "unknown",
}

TERM_GROUP: dict[str, str] = {
    "idle": "idle",
    "free": "idle",
    "idle_held": "idle",
    "host_gap": "host",
    "communication": "link",
    "throttle": "link",
    "inefficiency": "device",
    "useful": "compute",
    "unknown": "unknown",
}

# Where the line of totals is short.
TERM_SHORT: dict[str, str] = {
    "free": "free",
    "idle_held": "held",
    "host_gap": "host",
    "communication": "link",
    "throttle": "throttle",
    "inefficiency": "ineff.",
}

STATE_WORDS: dict[str, str] = {"waiting": "WAIT", "lost": "LOST", "silent": "SILENT"}

SEVERITY_ROLE: dict[str, str] = {
    "critical": "bad",
    "high": "bad",
    "medium": "warn",
    "low": "",
    "info": "dim",
}


def group_of_class(class_: str) -> str:
    """The share group whose colour a class is shown in."""
    return CLASS_GROUP.get(class_, class_)
