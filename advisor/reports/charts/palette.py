"""Colours by role, light and dark. Hues mean what they mean on the live screens: host is orange.

The fills are those of Okabe and Ito (2008), which people with any common colour blindness can tell apart,
with greys for time in which nothing was asked of the GPU. Second members of a group are hatched as well.
"""

from __future__ import annotations

# Every light colour stands for one role alone, so that a drawn colour can be turned back into its role.
LIGHT: dict[str, str] = {
    "free": "#c2c8ce",
    "idle": "#868e96",
    "host": "#e69f00",
    "link": "#cc79a7",
    "throttle": "#9c4f7d",
    "device": "#56b4e9",
    "memory": "#0072b2",
    "compute": "#009e73",
    "unknown": "#e3e6e9",
    "price": "#3d4650",
    "bad": "#b3261e",
    "text": "#1c2128",
    "muted": "#57606a",
    "grid": "#d9dde1",
    "surface": "#ffffff",
}
DARK: dict[str, str] = {
    "free": "#4a525b",
    "idle": "#7d8590",
    "host": "#f0a23b",
    "link": "#d18ae0",
    "throttle": "#9a62ad",
    "device": "#9bdcf7",
    "memory": "#3f97e0",
    "compute": "#2fbf8f",
    "unknown": "#343c45",
    "price": "#aab4be",
    "bad": "#ff7b72",
    "text": "#e3e7eb",
    "muted": "#9aa4ae",
    "grid": "#343c45",
    "surface": "#12161b",
}

SHARE_ROLE: dict[str, str] = {
    "free": "free",
    "idle_held": "idle",
    "host": "host",
    "communication": "link",
    "throttle": "throttle",
    "device": "device",
    "memory": "memory",
    "compute": "compute",
    "unknown": "unknown",
}
TERM_ROLE: dict[str, str] = {
    "free": "free",
    "idle_held": "idle",
    "host_gap": "host",
    "communication": "link",
    "throttle": "throttle",
    "inefficiency": "device",
    "useful": "compute",
    "unknown": "unknown",
}
CLASS_ROLE: dict[str, str] = {
    "compute": "compute",
    "memory": "memory",
    "host": "host",
    "communication": "link",
    "device": "device",
    "idle": "idle",
    "unknown": "unknown",
}
SHARE_WORDS: dict[str, str] = {
    "free": "free",
    "idle_held": "idle-held",
    "host": "host",
    "communication": "communication",
    "throttle": "throttle",
    "device": "device (latency)",
    "memory": "memory",
    "compute": "compute",
    "unknown": "unknown",
}
HATCH: dict[str, str] = {"throttle": "////", "unknown": "xxx", "free": "\\\\\\\\"}

ROLE_OF: dict[str, str] = {colour: role for role, colour in LIGHT.items()}
