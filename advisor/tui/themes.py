"""Themes: dark, light and the terminal's own colours. Share groups have their own variables in each."""

from __future__ import annotations

from textual.theme import Theme

THEME_NAMES: dict[str, str] = {"dark": "advisor-dark", "light": "advisor-light", "ansi": "ansi-dark"}

GROUP_COLORS_DARK: dict[str, str] = {
    "group-idle": "#7d8590",
    "group-host": "#f0a23b",
    "group-link": "#d18ae0",
    "group-device": "#4ec5c1",
    "group-memory": "#5aa9f0",
    "group-compute": "#4fc17a",
    "group-unknown": "#9aa0a6",
    "money": "#ff7b72",
}

GROUP_COLORS_LIGHT: dict[str, str] = {
    "group-idle": "#6b7280",
    "group-host": "#a85b00",
    "group-link": "#8a2fa0",
    "group-device": "#00747a",
    "group-memory": "#0b5cad",
    "group-compute": "#116b3a",
    "group-unknown": "#5f6368",
    "money": "#b3261e",
}

GROUP_COLORS_ANSI: dict[str, str] = {
    "group-idle": "ansi_bright_black",
    "group-host": "ansi_yellow",
    "group-link": "ansi_magenta",
    "group-device": "ansi_cyan",
    "group-memory": "ansi_blue",
    "group-compute": "ansi_green",
    "group-unknown": "ansi_default",
    "money": "ansi_red",
}

DARK = Theme(
    name="advisor-dark",
    primary="#5aa9f0",
    secondary="#2f4a66",
    accent="#4fc17a",
    warning="#f0a23b",
    error="#ff7b72",
    success="#4fc17a",
    foreground="#d7dce2",
    background="#0f1318",
    surface="#171c23",
    panel="#1f2630",
    dark=True,
    variables={"footer-background": "#171c23", "footer-key-foreground": "#5aa9f0"},
)

LIGHT = Theme(
    name="advisor-light",
    primary="#0b5cad",
    secondary="#c9d7e6",
    accent="#116b3a",
    warning="#a85b00",
    error="#b3261e",
    success="#116b3a",
    foreground="#1c2128",
    background="#fbfbfa",
    surface="#f0f1f2",
    panel="#e4e7ea",
    dark=False,
    variables={"footer-background": "#f0f1f2", "footer-key-foreground": "#0b5cad"},
)


def theme_name(choice: str) -> str:
    """The theme for `dark`, `light` or `ansi`; any other name is taken as a theme's own."""
    return THEME_NAMES.get(choice, choice)


def group_colors(theme: Theme) -> dict[str, str]:
    """Colours of the share groups that suit a theme, for themes that bring none."""
    if theme.ansi:
        return GROUP_COLORS_ANSI
    return GROUP_COLORS_DARK if theme.dark else GROUP_COLORS_LIGHT
