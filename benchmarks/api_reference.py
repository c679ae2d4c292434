"""``docs/api.md``: the API reference, from the signatures and docstrings of the public names.

python benchmarks/api_reference.py

Sources are parsed, not imported, so that annotations stand as they are written; only the registries and the bounds of
the settings are read from the running package.
"""

import ast
import inspect
import re
import textwrap
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, get_args, get_origin, get_type_hints

from api_sections import SECTIONS, Section

from torchbas import config
from torchbas.data import datasets
from torchbas.deploy import MODEL_FORMATS
from torchbas.export import FORMATS
from torchbas.methods import METHODS
from torchbas.refiners import REFINERS

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs/api.md"
COMMAND = "python benchmarks/api_reference.py"


class Definition(NamedTuple):
    """Where a name is defined, and its docstring (empty where it has none)."""

    module: str
    node: ast.stmt
    docstring: str


def names_of(section: Section) -> list[str]:
    """The names of a section; the one of methods also has the options that these define in their own files."""
    names = section.names.split()
    if section.registry == "torchbas.methods.METHODS":
        own = (f"methods.{place.partition('.')[0]}.Options" for place in METHODS.values())
        names += [name for name in dict.fromkeys(own) if _is_defined(f"torchbas.{name}")]
    return names


REGISTRIES: dict[str, tuple[tuple[str, ...], Any]] = {
    "torchbas.data.datasets.FORMATS": (
        ("format", "what"),
        lambda: [(f"`{one.name}`", one.about) for one in datasets.FORMATS.values()],
    ),
    "torchbas.methods.METHODS": (
        ("method", "class", "what"),
        lambda: _modules("methods", METHODS),
    ),
    "torchbas.refiners.REFINERS": (
        ("refiner", "class", "what"),
        lambda: _modules("refiners", REFINERS),
    ),
    "torchbas.deploy.MODEL_FORMATS": (
        ("format", "what", "files"),
        lambda: _formats(MODEL_FORMATS),
    ),
    "torchbas.export.FORMATS": (
        ("format", "what", "files"),
        lambda: _formats(FORMATS),
    ),
}
"""Tables of what is registered: their columns and a function that gives the rows."""


def _formats(registry: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    return [(f"`{name}`", one.about, ", ".join(f"`{file}`" for file in one.outputs)) for name, one in registry.items()]


def _modules(room: str, registry: Mapping[str, str]) -> list[tuple[str, str, str]]:
    modules = {name: f"torchbas.{room}.{place.partition('.')[0]}" for name, place in registry.items()}
    return [(f"`{name}`", f"`{registry[name]}`", _first_line(module)) for name, module in modules.items()]


def _first_line(module: str) -> str:
    return (ast.get_docstring(_parse(module)[0]) or "").partition("\n")[0]


@cache
def _parse(module: str) -> tuple[ast.Module, str]:
    path = ROOT.joinpath(*module.split("."))
    source = (path / "__init__.py" if path.is_dir() else path.with_suffix(".py")).read_text("utf-8")
    return ast.parse(source), source


def reexports(module: str) -> dict[str, str]:
    """Names that a module imports from the package: the dotted name that each stands for."""
    is_package = ROOT.joinpath(*module.split(".")).is_dir()
    found = {}
    for node in ast.walk(_parse(module)[0]):
        if isinstance(node, ast.ImportFrom) and node.level:
            parts = module.split(".")
            parts = parts[: len(parts) - node.level + is_package]
            for name in node.names:
                found[name.asname or name.name] = ".".join([*parts, *filter(None, [node.module]), name.name])
    return found


def find(name: str) -> Definition:
    """The definition of a dotted name, through the modules that only re-export it.

    Raises:
        LookupError, FileNotFoundError: there is no such name or module.
    """
    module, _, last = name.rpartition(".")
    for node, docstring in _defined(_parse(module)[0].body):
        if _name_of(node) == last:
            return Definition(module, node, docstring)
    other = reexports(module).get(last)
    if module == "torchbas" and not other:
        other = f"torchbas.api.{last}"
    if not other or other == name:
        raise LookupError(f"{name} is not defined.")
    return find(other)


def _is_defined(name: str) -> bool:
    """Whether the module that is named defines it itself."""
    module, _, last = name.rpartition(".")
    return any(_name_of(node) == last for node, _ in _defined(_parse(module)[0].body))


def _defined(body: list[ast.stmt]) -> Iterator[tuple[ast.stmt, str]]:
    """Functions, classes and variables of a module or class, each with its docstring; a variable's is below it."""
    for node, after in zip(body, [*body[1:], None], strict=True):
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            yield node, ast.get_docstring(node) or ""
        elif isinstance(node, (ast.Assign, ast.AnnAssign)):
            said = after.value if isinstance(after, ast.Expr) else None
            text = said.value if isinstance(said, ast.Constant) and isinstance(said.value, str) else ""
            yield node, inspect.cleandoc(text)


def _name_of(node: ast.stmt) -> str:
    if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
        return node.name
    target = node.targets[0] if isinstance(node, ast.Assign) else node.target  # pyright: ignore[reportAttributeAccessIssue]
    return ast.unparse(target)


class Writer:
    """Markdown of definitions, with links between them."""

    def __init__(self, names: list[str]) -> None:
        self.names = [f"torchbas.{name}" for name in names]

    def entry(self, name: str) -> Iterator[str]:
        """Heading, signature and docstring of a name, and of a class its fields and methods."""
        found = find(f"torchbas.{name}")
        yield f"### `torchbas.{name}`"
        if isinstance(found.node, ast.ClassDef):
            yield from self._class(found, found.node)
        elif isinstance(found.node, ast.FunctionDef):
            yield from self._function(found.module, found.node)
        else:
            yield f"```python\n{_source(found.module, found.node)}\n```"
            yield self.text(found.docstring)

    def _class(self, found: Definition, node: ast.ClassDef) -> Iterator[str]:
        bases = [base for base in map(ast.unparse, node.bases) if base != "Checked"]
        if bases:
            yield f"Bases: {', '.join(self._link(base) for base in bases)}."
        yield self.text(found.docstring)
        public = [(one, text) for one, text in _defined(node.body) if not _name_of(one).startswith("_")]
        fields = [(one, text) for one, text in public if isinstance(one, ast.AnnAssign)]
        if fields:
            yield self._fields(found.module, node, fields)
        for one in node.body:
            if isinstance(one, ast.FunctionDef) and (
                one.name in ("__init__", "__call__") or not one.name.startswith("_")
            ):
                yield f"#### `{node.name}.{one.name}`"
                yield from self._function(found.module, one)

    def _fields(self, module: str, node: ast.ClassDef, fields: list[tuple[ast.AnnAssign, str]]) -> str:
        hints = get_type_hints(getattr(config, node.name), include_extras=True) if module == config.__name__ else {}
        rows = []
        for field, text in fields:
            name = ast.unparse(field.target)
            kind = _words(hints[name]) if name in hints else f"`{_source(module, field.annotation)}`"
            rows.append((f"`{name}`", kind, _default(module, field.value), " ".join(self.text(text).split())))
        return table(("field", "type", "default", "meaning"), rows)

    def _function(self, module: str, node: ast.FunctionDef) -> Iterator[str]:
        yield f"```python\n{signature(module, node)}\n```"
        yield self.text(ast.get_docstring(node) or "")

    def text(self, docstring: str) -> str:
        """A docstring as Markdown: roles become links, sections lists."""
        lines, section, indent = [], "", 0
        for line in docstring.splitlines():
            if header := re.fullmatch(r"(Args|Attributes|Returns|Yields|Raises):", line):
                section, indent = header[1], 0
                lines += [f"**{section}**", ""]
            elif section and line.startswith(" "):
                depth = len(line) - len(line.lstrip())
                indent = indent or depth
                item = re.sub(r"^([\w, *]+):", r"`\1`:", line.strip())
                lines.append(f"- {item}" if depth == indent and section != "Returns" else f"  {line.strip()}")
            else:
                lines.append(line)
        linked = re.sub(r":(?:class|func|data|mod):`~?([^`]+)`", lambda role: self._link(role[1]), "\n".join(lines))
        return re.sub(r":(?:meth|attr):`~?([^`<]+?)(?: <[^`]*>)?`", r"`\1`", linked).replace("``", "`")

    def _link(self, name: str) -> str:
        """A name, linked where it can only be one of the page's."""
        last = name.rpartition(".")[2].split("[")[0]
        same = [one for one in self.names if one == name] or [one for one in self.names if one.endswith(f".{last}")]
        return f"[`{last}`](#{anchor(same[0])})" if len(same) == 1 else f"`{name}`"


def signature(module: str, node: ast.FunctionDef) -> str:
    """The lines that declare a function, without the decorators that do not change how it is called."""
    lines = _parse(module)[1].splitlines()[node.lineno - 1 : node.body[0].lineno - 1]
    declared = re.sub(r"\s*(#.*)?$", "", textwrap.dedent("\n".join(lines)), flags=re.MULTILINE)
    kinds = {"property", "cached_property", "classmethod", "staticmethod", "abstractmethod"}
    return "".join(f"@{name}\n" for name in map(ast.unparse, node.decorator_list) if name in kinds) + f"{declared} ..."


def _source(module: str, node: ast.AST) -> str:
    text = ast.get_source_segment(_parse(module)[1], node) or ""
    return text if isinstance(node, ast.stmt) else " ".join(text.split())


def _default(module: str, value: ast.expr | None) -> str:
    """A field's default as written; of a factory what it makes, if it is a class."""
    text = _source(module, value) if value else ""
    if text.startswith("field("):
        made = re.search(r"default_factory=(\w+)[,)]", text)
        return f"`{made[1]}()`" if made and made[1] != "lambda" else ""
    return text and f"`{text}`"


def _words(hint: Any) -> str:
    """What a setting may be: type, choices and bounds."""
    if get_origin(hint) is Annotated:
        kind, *extras = get_args(hint)
        return ", ".join([_words(kind), *(str(one) for one in extras if isinstance(one, config.Bound))])
    if get_origin(hint) is Literal:
        return ", ".join(f'`"{word}"`' for word in get_args(hint))
    if get_args(hint) and get_origin(hint) not in (dict, tuple):
        return ", or ".join(_words(one) for one in get_args(hint))
    if hint is type(None):
        return "`None`"
    return f"`{hint.__name__ if isinstance(hint, type) and not get_args(hint) else str(hint).replace('typing.', '')}`"


def table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    """A table; columns that are empty in every row are left out."""
    filled = [i for i in range(len(head)) if any(row[i] for row in rows)]
    lines = [
        [head[i] for i in filled],
        ["---"] * len(filled),
        *([row[i].replace("|", "\\|") for i in filled] for row in rows),
    ]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def anchor(heading: str) -> str:
    """Where a heading is linked to, as GitHub makes it."""
    return re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")


def make() -> str:
    """The page."""
    names = {section: names_of(section) for section in SECTIONS}
    writer = Writer([name for one in names.values() for name in one])
    parts = ["# API reference", f"Made from the docstrings by `{COMMAND}`: edit those, not this page.", _letters()]
    for section in SECTIONS:
        listed = ", ".join(f"[`{name}`](#{anchor(f'torchbas.{name}')})" for name in names[section])
        parts.append(f"- [{section.title}](#{anchor(section.title)}): {listed}")
    for section in SECTIONS:
        parts += [f"## {section.title}", section.about]
        if section.registry:
            head, rows = REGISTRIES[section.registry]
            parts += [f"`{section.registry}`:", table(head, rows())]
        for name in names[section]:
            parts += writer.entry(name)
    return "\n\n".join(part for part in parts if part) + "\n"


def _letters() -> str:
    """The alphabet of shapes, from the first lines of ``torchbas/structures.py``."""
    said = ast.get_docstring(_parse("torchbas.structures")[0]) or ""
    letters = re.findall(r"(\w(?: \w)?)  ([a-z ]+?)(?=\s{2,}|\n|$)", said)
    return f"Letters of shapes: {', '.join(f'`{letter}` {what}' for letter, what in letters)}."


def main() -> None:
    PAGE.write_text(make(), "utf-8")


if __name__ == "__main__":
    main()
