"""DataScreen: a screen that draws snapshots while it is the one in sight."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, cast

from textual.screen import Screen

from advisor.snapshot import Snapshot
from advisor.tui.glyphs import Glyphs

if TYPE_CHECKING:
    from advisor.tui.app import AdvisorApp


class DataScreen(Screen[None]):
    """Subclasses draw in `draw`. A screen that comes back into sight draws what arrived meanwhile.

    ACTION: the app's action that opens this screen.
    """

    AUTO_FOCUS = "KeyedTable"
    ACTION: ClassVar[str] = ""

    @property
    def advisor(self) -> AdvisorApp:
        """The app, with its type."""
        return cast("AdvisorApp", self.app)

    @property
    def glyphs(self) -> Glyphs:
        """What to draw with."""
        return self.advisor.glyphs

    def on_screen_resume(self) -> None:
        """Draw the newest data at once."""
        if self.advisor.snapshot is not None:
            self.show(self.advisor.snapshot)

    def show(self, snapshot: Snapshot) -> None:
        """Draw this snapshot in one go."""
        with self.app.batch_update():
            self.set_class(bool(snapshot.stale), "-stale")
            self.draw(snapshot)

    def draw(self, snapshot: Snapshot) -> None:
        """Hand the snapshot to the widgets."""
        raise NotImplementedError
