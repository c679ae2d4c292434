"""Tags, names and sentences that would be markup or code, in the gallery as a browser shows it."""

import html
import re
from pathlib import Path

import pytest
from chromium import BROWSER, opened
from findings import detection, open_gray
from markup import PAYLOADS

from torchbas.localization import TagReport
from torchbas.structures import Problem
from torchbas.viz import gallery


def dom(page: Path) -> str:
    """The page after its scripts have run, in a window that all cards fit into."""
    return opened(page, "--window-size=1280,9000", "--virtual-time-budget=3000", "--dump-dom")


def title(shown: str) -> str:
    return re.findall("<title>(.*?)</title>", shown)[0]


@pytest.mark.slow
@pytest.mark.skipif(BROWSER is None, reason="no Chromium on PATH")
def test_a_script_that_runs_is_noticed(tmp_path):
    (tmp_path / "a.html").write_text(f"<title>a</title>{PAYLOADS[0]}")
    assert title(dom(tmp_path / "a.html")) == "ran"


@pytest.mark.slow
@pytest.mark.skipif(BROWSER is None, reason="no Chromium on PATH")
@pytest.mark.parametrize("beside", [False, True])
def test_no_text_of_the_user_runs_in_a_browser(tmp_path, monkeypatch, beside):
    if beside:
        monkeypatch.setattr(gallery, "EMBEDDED", 0)
    found = [detection(name, name) for name in PAYLOADS]
    page = tmp_path / "index.html"
    gallery.write_gallery(
        found,
        PAYLOADS,
        dict.fromkeys(PAYLOADS, (12, 16)),
        page,
        open_image=open_gray,
        problems=[Problem(name, name) for name in PAYLOADS],
        facts={name: name for name in PAYLOADS},
        reports=[TagReport(name, 3, 0, 0.0, 1.0, 0.0, (name,)) for name in PAYLOADS],
        pictures=tmp_path / "gallery",
    )
    shown = dom(page)
    assert title(shown) == "What torchbas found"
    assert shown.count('class="mask"') == len(PAYLOADS)  # the page's own script has run
    for name in PAYLOADS:
        assert html.escape(name, quote=False) in shown, name
