"""Build the page of ``zai ui`` into wheels and archives, where npm is."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

SECONDS = 300


class PageBuildHook(BuildHookInterface):
    """Runs npm in ``ui/``; whatever goes wrong there, the build goes on without the page."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:  # noqa: ARG002 - as every hook
        """Bundle the page, unless it is there or the installation is an editable one."""
        root = Path(self.root)
        page = root / "zai_async/web/ui/dist/index.html"
        npm = shutil.which("npm")
        wanted = os.environ.get("ZAI_BUILD_UI", "1") != "0"
        if page.exists() or version == "editable" or npm is None or not wanted:
            return
        options = ["--ignore-scripts", "--no-audit", "--no-fund", "--fetch-retries=1"]
        try:
            for command in ([npm, "ci", *options], [npm, "run", "build"]):
                subprocess.run(
                    command, cwd=root / "ui", check=True, timeout=SECONDS, stdout=sys.stderr
                )
        except (OSError, subprocess.SubprocessError) as error:
            self.app.display_warning(f"built without the page of `zai ui`: {error}")
