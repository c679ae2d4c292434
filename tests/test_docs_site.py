"""The site of the pages: it builds without a warning, leads nowhere wrong, and needs nothing from elsewhere."""

import functools
import http.server
import re
import threading

import docs_site
import pytest
from chromium import BROWSER

from torchbas import cli

pytest.importorskip("zensical", reason="zensical is not installed: the site of the pages is not built")


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    made = tmp_path_factory.mktemp("docs") / "site"
    docs_site.make(made)
    return made


@pytest.fixture(scope="module")
def address(site):
    """A server of nothing but files."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, format, *args):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=site)) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_every_page_of_the_docs_is_in_the_navigation(site):
    listed = re.findall(r"(\w+)\.md$", docs_site.CONFIG.read_text("utf-8"), re.MULTILINE)
    assert len(listed) == len(set(listed))
    pages = {page.stem for page in (docs_site.ROOT / "docs").glob("*.md")}
    built = {page.stem for page in site.glob("*.html")} - {"404"}
    assert pages <= {*listed}
    assert built == {*listed} | {f"bas_{name}" for name in cli.COMMANDS}


@pytest.mark.parametrize("command", cli.COMMANDS)
def test_a_commands_page_has_all_of_its_flags(command, site, capsys):
    text = (site / f"bas_{command}.html").read_text("utf-8")
    with pytest.raises(SystemExit):
        cli.main([command, "--help-all"])
    flags = set(re.findall(r"^[^\w-]*(?:-h, )?(--[a-z][a-z0-9.-]+)", capsys.readouterr().out, re.MULTILINE))
    assert "--help" in flags
    assert flags <= set(re.findall(r"--[a-z][a-z0-9.-]+", text))


def test_what_leads_nowhere_or_elsewhere_is_named(tmp_path):
    (tmp_path / "index.html").write_text(
        '<a href="other.html#there">a</a> <a href="other.html#not">b</a> <a href="gone.html">c</a>'
        '<a href="https://example.org">d</a> <img src="gone.png"> <script src="https://example.org/a.js"></script>'
    )
    (tmp_path / "other.html").write_text('<h2 id="there"></h2><a href="#there">e</a>')
    (tmp_path / "alone.html").write_text("")
    assert docs_site.lost(tmp_path) == [
        "index.html refers to gone.html",
        "index.html refers to gone.png",
        "index.html refers to https://example.org/a.js",
        "index.html refers to other.html#not",
        "nothing leads to alone.html",
    ]


def test_a_warning_ends_the_build_and_leaves_the_site_of_before(tmp_path, monkeypatch):
    monkeypatch.setattr(docs_site.Pages, "add", lambda pages, _: pages.write("index.md", "[a](gone.md)"))
    (tmp_path / "site").mkdir()
    with pytest.raises(SystemExit, match="page does not exist"):
        docs_site.make(tmp_path / "site")
    assert (tmp_path / "site").exists()


def test_a_folder_of_something_else_is_refused(tmp_path):
    (tmp_path / "photo.jpg").touch()
    with pytest.raises(SystemExit, match="something else"):
        docs_site.make(tmp_path)
    assert (tmp_path / "photo.jpg").exists()


@pytest.mark.slow
@pytest.mark.skipif(BROWSER is None, reason="no Chromium on PATH")
def test_pages_and_search_ask_nobody_else(address, page):
    asked, wrong = [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on("response", lambda response: wrong.append(response.url) if response.status >= 400 else None)
    for name in ("index", "data", "api", "bas_label", "first_model"):
        page.goto(f"{address}/{name}.html")
        assert page.evaluate("[...document.images].every(one => one.complete && one.naturalWidth)")
    page.keyboard.press("/")
    page.keyboard.type("conf-bg-thres")
    page.locator("a[href*='bas_segment.html?h=conf-bg-thres']").first.wait_for(state="attached")
    assert [url for url in asked if not url.startswith((address, "data:", "blob:"))] == []
    assert wrong == []
