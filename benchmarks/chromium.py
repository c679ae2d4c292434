"""Chromium without a window, where there is one on PATH."""

import shutil
import subprocess
from pathlib import Path

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


def opened(page: Path, *flags: str) -> str:
    """What the browser prints of a page; its own files lie beside the page.

    Args:
        flags: what it is to do, as ``--dump-dom`` or ``--screenshot=FILE``.
    """
    words = [str(BROWSER), "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={page.parent}/home"]
    done = subprocess.run([*words, *flags, page.as_uri()], capture_output=True, text=True, timeout=300, check=True)
    return done.stdout
