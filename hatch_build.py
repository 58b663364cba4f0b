"""Build hook: no wheel and no sdist without the assets that the pages need."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hatchling.builders.config import BuilderConfig
from hatchling.builders.hooks.plugin.interface import BuildHookInterface

VENDOR = "src/umbel/web/static/vendor"
REQUIRED = ("htmx.min.js", "uPlot.iife.min.js", "uPlot.min.css")


class AssetsHook(BuildHookInterface[BuilderConfig]):
    """Refuses to build a distribution that lacks a vendored file; an editable install needs none."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:  # noqa: ARG002 - the interface's signature
        """Check that every required file is there; raises RuntimeError naming the missing ones and the remedy."""
        if version == "editable":
            return
        vendor = Path(self.root, VENDOR)
        missing = [name for name in REQUIRED if not (vendor / name).is_file()]
        if missing:
            raise RuntimeError(f"{VENDOR} lacks {', '.join(missing)}. Run `make assets` first, then build again.")
