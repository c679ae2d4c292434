"""What commands share: common flags, recipes as defaults of flags."""

import os
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, make_dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from .. import methods, recipes
from ..bounds import Bound, Checked
from ..config import Architecture, Inference, Objective, Recipe, Training
from ..errors import InputError
from ..export import FORMATS
from .help import helping


@dataclass
class Common(Checked):
    """Flags of every command."""

    device: str = "auto"
    """auto, cpu, cuda or cuda:N."""
    workers: Annotated[int, Bound(0, 1024)] = 0
    """Processes that decode photos beside the one that computes."""
    offline: bool = False
    """Never touch the network."""
    quiet: bool = False
    """No progress."""
    json: bool = False
    """Print one JSON object on stdout."""
    debug: bool = False
    """Show the traceback of an error that is ours."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.folder: Any = None  # OutputFolder or ShardFolder, of commands that write


@dataclass
class Settings:
    """Values of a recipe, each a flag."""

    options: Any = field(default_factory=Objective)
    architecture: Architecture = field(default_factory=Architecture)
    training: Training = field(default_factory=Training)
    inference: Inference = field(default_factory=Inference)

    def of(self, name: str, method: str = "") -> Recipe:
        """The recipe with the values of the flags; those that differ from its own are its ``changes``."""
        recipe = recipes.load(name)
        method = method or recipe.method
        own = {part.name: getattr(self, part.name) for part in fields(self)}
        before = {part: getattr(recipe, part) for part in own}
        if recipe.method != "bas" or method != recipe.method:
            before["options"] = default_options(recipe, method)
        changes = {} if method == recipe.method else {"method": method}
        for part, settings in own.items():
            old, new = asdict(before[part]), asdict(settings)
            changes |= {setting: value for setting, value in new.items() if value != old[setting]}
        return replace(recipe, method=method, changes=changes, **own)


def default_options(recipe: Recipe, method: str) -> Any:
    """Options of a method: the recipe's where that is its method, else the method's defaults."""
    if method == recipe.method == "bas":
        return recipe.options
    kind = methods.load(method)
    return kind.read_options(recipe.options if method == recipe.method else {})


def parse(command: type, words: Sequence[str], *, prefixes: bool = False) -> Any:
    """A command from its words; words that are not understood, and help, end the program.

    Args:
        prefixes: flags of parts are called after the part, too.
    """
    name = command.__module__.rsplit(".", 1)[-1]
    config = (tyro.conf.FlagCreatePairsOff, *(() if prefixes else (tyro.conf.OmitArgPrefixes,)))
    shown, words = helping(command, words, prefixes=prefixes)
    return tyro.cli(shown, prog=f"bas {name}", args=words, config=config)


@dataclass
class Choice:
    """Flags on which the defaults of all others depend."""

    recipe: str = ""
    method: str = ""
    model: tuple[str, ...] = ()
    epochs: int | None = None
    steps: int | None = None


def choice_in(words: Sequence[str]) -> Choice:
    """The recipe and the flags beside it, before the others are read."""
    given, _ = tyro.cli(Choice, args=words, return_unknown_args=True, add_help=False)
    return given


def read_with_recipe(command: Any, words: Sequence[str], default: str) -> Any:
    """A command from its words, among which a recipe gives the defaults of the other flags.

    Raises:
        InputError: no such recipe or method.
    """
    given = choice_in(words)
    name = given.recipe or default
    recipe = recipes.load(name)
    method = given.method or recipe.method
    options = default_options(recipe, method)
    training = recipe.training
    if given.epochs is not None and given.steps is None:
        training = replace(training, steps=None)
    kind = with_defaults(Settings, {"options": (type(options), options)})
    settings = kind(architecture=recipe.architecture, training=training, inference=recipe.inference)
    defaults = {"recipe": (str, name), "settings": (kind, settings)}
    if "method" in {part.name for part in fields(command)}:
        defaults["method"] = (command.__annotations__["method"], method)
    return parse(with_defaults(command, defaults), words)


def with_defaults(command: type, defaults: Mapping[str, tuple[Any, Any]]) -> type:
    """The command with other types and defaults of some flags."""
    parts = [(name, kind, field(default_factory=lambda value=value: value)) for name, (kind, value) in defaults.items()]
    made = make_dataclass(command.__name__, parts, bases=(command,), namespace={"__doc__": command.__doc__})
    made.__module__ = command.__module__
    return made


def weights_of(word: str, flag: str = "--weights") -> bool | Path:
    """True for ``auto``, False for ``none``, else the path of a file or of a run's folder.

    Raises:
        InputError: it does not exist.
    """
    if word in ("auto", "none"):
        return word == "auto"
    if not Path(word).exists():
        raise InputError(f"{flag} {word} is no file: check the path, or give auto or none.")
    return Path(word)


def alone(command: str) -> None:
    """Raise :class:`InputError` in one of several processes."""
    if os.environ.get("WORLD_SIZE", "1") != "1":
        raise InputError(f"bas {command} runs in one process: train with torchrun ... bas train, then go on without.")


Data = Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="DATA")]
Objects = Literal["largest", "all"]
Background = Annotated[tuple[str, ...], tyro.conf.arg(metavar="TAG...")]
"""Tags whose photos show none of the others."""
Format = Annotated[str, tyro.conf.arg(constructor_factory=lambda: tyro.extras.literal_type_from_choices(FORMATS))]
Formats = Annotated[
    tuple[Format, ...],
    tyro.conf.arg(help="What to write:\n" + "\n".join(f"{name}: {one.about}" for name, one in FORMATS.items())),
]


def words_of(source: Path, background: Sequence[str]) -> str:
    """DATA and its background tags as words of a command."""
    return shlex.join([os.fspath(source), *(["--background", *background] if background else [])])


def chosen(command: Any) -> dict[str, Any]:
    """Values of a command's flags, for ``run.json``."""
    return {
        part.name: getattr(command, part.name)
        for part in fields(command)
        if part.name not in ("quiet", "json", "debug")
    }
