"""A browser for tests of the report page; they are skipped where there is none."""

import json
import re
import shutil
import subprocess
from html import escape, unescape
from pathlib import Path
from typing import Any

import pytest

PAGE = re.compile(rb"/Type\s*/Page\b")


class Browser:
    """Headless Chromium."""

    def __init__(self, folder: Path) -> None:
        chromium = shutil.which("chromium")
        if chromium is None:
            pytest.skip("chromium is not installed")
        self.folder = folder
        profile = f"--user-data-dir={folder / 'profile'}"
        self.command = [chromium, "--headless", "--no-sandbox", "--disable-gpu", profile]

    def run(self, html: str, *options: str) -> str:
        """What Chromium prints of a page."""
        file = self.folder / "page.html"
        file.write_text(html)
        command = [*self.command, *options, file.as_uri()]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
        return done.stdout

    def look(self, html: str, width: int, script: str) -> dict[str, Any]:
        """What a script's expression is on a page that is so many pixels wide and 800 high."""
        told = f"parent.document.body.dataset.found = JSON.stringify({script})"
        html += f'<script>addEventListener("load", () => {{ {told}; }});</script>'
        frame = f'<iframe style="border: 0" width="{width}" height="800" srcdoc="{escape(html)}">'
        dump = self.run(f"<!DOCTYPE html><body>{frame}</iframe></body>", "--dump-dom")
        found = re.search(r'data-found="([^"]*)"', dump)
        assert found
        result: dict[str, Any] = json.loads(unescape(found[1]))
        return result

    def printed_pages(self, html: str) -> int:
        """The number of pages that it is when it is printed."""
        pdf = self.folder / "page.pdf"
        self.run(html, "--no-pdf-header-footer", f"--print-to-pdf={pdf}")
        return len(PAGE.findall(pdf.read_bytes()))


@pytest.fixture
def browser(tmp_path: Path) -> Browser:
    """Chromium with a folder of its own."""
    return Browser(tmp_path)
