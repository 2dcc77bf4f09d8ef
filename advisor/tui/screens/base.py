"""DataScreen: a screen that draws snapshots while it is the one in sight; and one about a single device."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, cast

from textual.binding import Binding, BindingType
from textual.screen import Screen

from advisor.snapshot import Snapshot
from advisor.tui.devices import shown_devices
from advisor.tui.glyphs import Glyphs
from advisor.tui.widgets.scroller import Scroller

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

    @property
    def device_key(self) -> str | None:
        """The device that this screen is about, or that is selected on it."""
        return None

    def on_screen_resume(self) -> None:
        """Draw the newest data at once."""
        if self.advisor.snapshot is not None:
            self.show(self.advisor.snapshot)

    def show(self, snapshot: Snapshot) -> None:
        """Draw this snapshot in one go. While the app ends, screens lose their widgets one by one."""
        if not self.app.is_running:
            return
        with self.app.batch_update():
            self.set_class(bool(snapshot.stale), "-stale")
            self.draw(snapshot)

    def draw(self, snapshot: Snapshot) -> None:
        """Hand the snapshot to the widgets."""
        raise NotImplementedError


class OneDeviceScreen(DataScreen):
    """About one device. Left and right go to its neighbours."""

    AUTO_FOCUS = "Scroller"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "app.pop_screen", "Back", key_display="esc"),
        Binding("left,h", "neighbour(-1)", "Previous", show=False),
        Binding("right,l", "neighbour(1)", "Next", show=False),
    ]

    def __init__(self, key: str) -> None:
        super().__init__()
        self.key = key

    @property
    def device_key(self) -> str | None:
        """The device."""
        return self.key

    def action_neighbour(self, by: int) -> None:
        """The next device by index, round and round."""
        snapshot = self.advisor.snapshot
        keys = [view.info.key for view in shown_devices(snapshot)] if snapshot else []
        if snapshot is None or not keys:
            return
        at = keys.index(self.key) if self.key in keys else 0
        self.key = keys[(at + by) % len(keys)]
        self.query_one(Scroller).scroll_home(animate=False)
        self.show(snapshot)
