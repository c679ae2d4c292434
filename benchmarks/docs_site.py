"""The pages of docs/ as a site that works without a network, from a folder or a server: site/.

python benchmarks/docs_site.py [FOLDER]

Beside the pages: README as the start, files outside docs/ that they link to, the notebook, and a page for each command,
made of its own help. A link that leads nowhere, or any other warning, is an error.
"""

import base64
import contextlib
import importlib.util
import io
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from html.parser import HTMLParser
from pathlib import Path
from unittest import mock
from urllib.parse import unquote

from torchbas import cli
from torchbas.cli.analyze import FIGURES

ROOT = Path(__file__).parents[1]
CONFIG = ROOT / "docs/mkdocs.yml"
NAMES = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "SECURITY.md": "security.md",
    "benchmarks/README.md": "benchmarks.md",
    "docs/first_model.ipynb": "first_model.md",
}
"""Pages that are called otherwise in the site; those of docs/ keep their names, and other files their places."""
LINK = re.compile(r"(\]\()([^)\s:#]+)(?=[)#])")
BLOCK = re.compile(r"(^```.*?^```$)", re.DOTALL | re.MULTILINE)
COLUMNS = 88
"""Of a help, so that a page shows its lines whole."""
BUILD = (sys.executable, "-m", "zensical", "build", "--strict", "--config-file", "mkdocs.yml")


def place(source: Path) -> str:
    """Where a file of the repository lies in the site."""
    name = source.relative_to(ROOT).as_posix()
    return NAMES.get(name) or name.removeprefix("docs/")


class Pages:
    """The Markdown of the site, in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md", "benchmarks/README.md"):
            self.add(ROOT / name)
        for page in sorted((ROOT / "docs").glob("*.md")):
            self.add(page)
        self.add_notebook(ROOT / "docs/first_model.ipynb")
        self.commands = [self.add_command(name) for name in cli.COMMANDS]

    def add(self, page: Path) -> None:
        """A page of the repository; its links lead to where things lie in the site."""
        parts = BLOCK.split(page.read_text("utf-8"))
        parts[::2] = [LINK.sub(lambda link: link[1] + self.linked(page, link[2]), part) for part in parts[::2]]
        self.write(place(page), "".join(parts))

    def linked(self, page: Path, target: str) -> str:
        """The link in the site, whose file is there afterwards."""
        source = (page.parent / target).resolve()
        name = place(source)
        if source.suffix not in (".md", ".ipynb") and source.is_file():
            (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, self.folder / name)
        return os.path.relpath(name, Path(place(page)).parent)

    def add_notebook(self, notebook: Path) -> None:
        """A notebook as it was run, its pictures as files."""
        parts, pictures = [], 0
        for cell in json.loads(notebook.read_text("utf-8"))["cells"]:
            text = "".join(cell["source"])
            parts.append(text if cell["cell_type"] == "markdown" else f"```python\n{text}\n```")
            for output in cell.get("outputs", []):
                data = output.get("data", {"text/plain": output.get("text", [])})
                if "image/jpeg" in data:
                    pictures += 1
                    name = f"{notebook.stem}_{pictures}.jpg"
                    (self.folder / name).write_bytes(base64.b64decode(data["image/jpeg"]))
                    parts.append(f"![]({name})")
                else:
                    parts.append(f"```text\n{''.join(data['text/plain']).rstrip()}\n```")
        self.write(place(notebook), "\n\n".join(parts) + "\n")

    def add_command(self, name: str) -> str:
        """A page of a command: what its help says, a section for each box of it."""
        parts = [f"# bas {name}", *sections(helped(name, "--help-all"), "## {}")]
        for figure in FIGURES if name == "analyze" else ():
            parts += [f"## bas analyze {figure}", *sections(helped("analyze", figure, "--help-all"), "**{}**")]
        self.write(f"bas_{name}.md", "\n\n".join(parts) + "\n")
        return f"bas_{name}.md"

    def write(self, name: str, text: str) -> None:
        """A page of the site."""
        file = self.folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, "utf-8")


def helped(*words: str) -> str:
    """What a command prints as its help."""
    said = io.StringIO()
    plain = {"COLUMNS": str(COLUMNS), "NO_COLOR": "1", "TERM": "dumb"}
    with mock.patch.dict(os.environ, plain), contextlib.redirect_stdout(said), contextlib.suppress(SystemExit):
        cli.main(words)
    return said.getvalue()


def sections(text: str, titled: str) -> list[str]:
    """Usage and description of a help, and its boxes of flags, each with its title."""
    usage, boxes = re.split(r"^(?=╭)", text, maxsplit=1, flags=re.MULTILINE)
    command, _, about = usage.partition("\n\n")
    parts = [f"```text\n{command.strip()}\n```", about.strip()]
    for title, box in re.findall(r"^╭─ (.*?) ─*╮\n(.*?)^╰", boxes, re.DOTALL | re.MULTILINE):
        lines = [line.removeprefix("│ ").removesuffix("│").rstrip() for line in box.splitlines()]
        parts += [titled.format(heading(title)), "```text\n" + "\n".join(lines) + "\n```"]
    return [part for part in parts if part]


def heading(title: str) -> str:
    """The title of a box in words: ``settings.training options`` is Training."""
    words = {"positional arguments": "Arguments", "settings.options options": "Options of the method"}
    words |= {"irn options": "IRN"}
    return words.get(title) or title.removeprefix("settings.").removesuffix(" options").capitalize()


class References(HTMLParser):
    """What a page of the site refers to, and the places in it that can be referred to."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.links: set[str] = set()
        self.loaded: set[str] = set()
        """What a browser fetches without being asked."""
        self.places: set[str] = {""}
        self.feed(page.read_text("utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.places.add(given.get("id", ""))
        loads = tag != "a" and given.get("rel") != "canonical"
        for name in ("href", "src"):
            if name in given:
                (self.loaded if loads else self.links).add(given[name])


def lost(site: Path) -> list[str]:
    """References that lead nowhere or are fetched from elsewhere; pages that no page leads to."""
    pages = {page: References(page) for page in sorted(site.rglob("*.html"))}
    found, reached = [], {site / "index.html", site / "404.html"}
    for page, references in pages.items():
        if page.name == "404.html":  # its links are absolute: it is shown for any address
            continue
        for link in sorted(references.links | references.loaded):
            path, _, where = unquote(link).partition("#")
            target = (page.parent / path).resolve() if path else page
            if "://" in link or link.startswith(("mailto:", "data:")):
                wrong = link in references.loaded
            else:
                wrong = not target.is_file() or (target in pages and where not in pages[target].places)
                reached.add(target)
            if wrong:
                found.append(f"{page.relative_to(site)} refers to {link}")
    return found + [f"nothing leads to {page.relative_to(site)}" for page in pages if page not in reached]


def make(folder: Path) -> None:
    """Build the site into a folder, which is there only when it is whole.

    Raises:
        SystemExit: warnings, what leads nowhere, or a folder that holds something else.
    """
    if importlib.util.find_spec("zensical") is None:
        sys.exit("zensical is not installed: pip install -e '.[docs]' -c constraints.txt, then again.")
    if folder.exists() and any(folder.iterdir()) and not (folder / "search.json").is_file():
        sys.exit(f"{folder} holds something else than a site: give another folder.")
    with tempfile.TemporaryDirectory() as place:
        made = Path(place)
        pages = Pages(made / "pages")
        config = CONFIG.read_text("utf-8")
        listed = "".join(f"\n      - {name[:-3].replace('_', ' ')}: {name}" for name in pages.commands)
        (made / "mkdocs.yml").write_text(config.replace("Commands: []", f"Commands:{listed}"), "utf-8")
        done = subprocess.run(BUILD, cwd=made, capture_output=True, text=True)
        if done.returncode:
            sys.exit(done.stdout + done.stderr)
        if wrong := lost(made.resolve() / "site"):
            sys.exit("\n".join(wrong))
        shutil.rmtree(folder, ignore_errors=True)
        shutil.move(made / "site", folder)


def main() -> None:
    make(Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / "site"))


if __name__ == "__main__":
    main()
