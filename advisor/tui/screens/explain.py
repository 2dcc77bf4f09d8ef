"""A rule's page, from the rule's own docstring."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, cast

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.screen import Screen
from textual.widgets import Footer, Static

from advisor.tui.glyphs import to_ascii
from advisor.tui.widgets.scroller import Scroller

if TYPE_CHECKING:
    from advisor.tui.app import AdvisorApp


def page_text(code: str) -> str:
    """The page as Markdown; an unknown code says so and names codes close to it."""
    from rules.registry import UnknownRuleError, page

    try:
        return page(code)
    except UnknownRuleError as error:
        return f"# {code}\n\n{error}"


class ExplainScreen(Screen[None]):
    """Scrolls; Esc goes back. In ASCII the page is shown as its source."""

    AUTO_FOCUS = "Scroller"
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "app.pop_screen", "Back", key_display="esc")]

    def __init__(self, code: str) -> None:
        super().__init__()
        self.code = code

    def compose(self) -> ComposeResult:
        """The page, then keys."""
        text = page_text(self.code)
        with Scroller():
            if cast("AdvisorApp", self.app).glyphs.ascii:
                yield Static(to_ascii(text), markup=False)
            else:
                from textual.widgets import Markdown

                yield Markdown(text, open_links=False)
        yield Footer(compact=True, show_command_palette=False)
