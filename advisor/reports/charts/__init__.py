"""Charts of a document, as inline SVG for HTML reports and as PNG for tickets."""

from __future__ import annotations

import logging

# Where its cache lies, and that it is being made, is no news for stderr.
logging.getLogger("matplotlib").setLevel(logging.ERROR)
