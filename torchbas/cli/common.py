"""What the commands share: words that mean the same everywhere, recipes as defaults, folders kept from harm."""

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import tyro

from .. import recipes
from ..config import Architecture, Inference, Objective, Recipe, Training
from ..errors import InputError

MANIFEST, MARK = "run.json", ".torchbas"
Parsed = TypeVar("Parsed")


@dataclass
class Common:
    """Where to compute and what to say."""

    device: str = "auto"
    """auto, cpu, cuda or cuda:N."""
    workers: int = 0
    """Processes that decode photos beside the one that computes."""
    offline: bool = False
    """Never touch the network."""
    quiet: bool = False
    """No progress."""
    json: bool = False
    """Print one JSON object on stdout."""

    def __post_init__(self) -> None:
        if self.workers < 0:
            raise InputError(f"--workers {self.workers} makes no sense: give 0 or more.")


@dataclass
class Settings:
    """A recipe's values as flags of their own."""

    architecture: Architecture = field(default_factory=Architecture)
    objective: Objective = field(default_factory=Objective)
    training: Training = field(default_factory=Training)
    inference: Inference = field(default_factory=Inference)

    def of(self, recipe: str) -> Recipe:
        """The recipe with the values the flags left it with."""
        return replace(recipes.load(recipe), **{part.name: getattr(self, part.name) for part in fields(Settings)})


def parse(command: type[Parsed], words: Sequence[str], **defaults: Any) -> Parsed:
    """Read the words of one command, with ``defaults`` of its flags; wrong ones end the program with exit code 2."""
    name = command.__module__.rsplit(".", 1)[-1]
    config = (tyro.conf.OmitArgPrefixes, tyro.conf.FlagCreatePairsOff)
    return tyro.cli(partial(command, **defaults), prog=f"bas {name}", args=words, config=config)


def settings_for(words: Sequence[str], default: str) -> tuple[str, Settings]:
    """The recipe that the words name, as defaults for its flags."""
    given = flags(words)
    name = given.get("--recipe", default)
    recipe = recipes.load(name)
    training = recipe.training
    if "--epochs" in given and "--steps" not in given:
        training = replace(training, steps=None)
    return name, Settings(recipe.architecture, recipe.objective, training, recipe.inference)


def flags(words: Sequence[str]) -> dict[str, str]:
    """Every word that may be a flag and what would be its value: ``--flag value`` or ``--flag=value``."""
    found = {}
    for word, following in pairwise([*words, ""]):
        flag, equals, value = word.partition("=")
        found[flag] = value if equals else following
    return found


def weights_of(word: str, flag: str = "--weights") -> bool | Path:
    """``auto``, ``none``, a file or a run's folder. Raises :class:`InputError` for one that is not there."""
    if word in ("auto", "none"):
        return word == "auto"
    if not Path(word).exists():
        raise InputError(f"{flag} {word} is no file: check the path, or give auto or none.")
    return Path(word)


def prepare(out: Path, source: Path | None, ours: Sequence[str], *, overwrite: bool, resume: bool = False) -> None:
    """Make ``out``; refuse one with something in it, unless told to go on or to overwrite what is ``ours``.

    Only a folder that an earlier command has made and marked is ever written over, and only our files in it (names or
    patterns) are removed. Of several processes the first does it.
    """
    if source is not None and source.is_dir() and out.resolve().is_relative_to(source.resolve()):
        raise InputError(f"{out} lies inside {source}, so its pictures would be read as photos: choose another --out.")
    if not first_process():
        return
    if out.exists() and not out.is_dir():
        raise InputError(f"{out} is a file: choose another --out.")
    try:
        if out.is_dir() and any(out.iterdir()):
            if not (out / MARK).exists():
                raise InputError(f"{out} holds files that are not of torchbas: choose another --out.")
            if not (overwrite or resume):
                state = "holds a finished run" if (out / MANIFEST).exists() else "holds a run that was stopped"
                raise InputError(f"{out} {state}: choose another --out, or add --overwrite or --resume.")
        out.mkdir(parents=True, exist_ok=True)
        (out / MARK).touch()
        for pattern in (MANIFEST,) if resume else (MANIFEST, *ours):
            for place in out.glob(pattern):
                shutil.rmtree(place) if place.is_dir() else place.unlink()
    except OSError as error:
        raise InputError(f"{out} cannot be written ({error.strerror}): choose another --out.") from error


def first_process() -> bool:
    """Whether this is the process that writes; torchrun numbers them."""
    return os.environ.get("RANK", "0") == "0"


def alone(command: str) -> None:
    """Refuse to run in several processes at once."""
    if os.environ.get("WORLD_SIZE", "1") != "1":
        raise InputError(f"bas {command} runs in one process: train with torchrun ... bas train, then go on without.")


Data = Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="DATA")]
Objects = Literal["largest", "all"]
Format = Literal["coco", "coco-outlines", "voc", "gallery"]


def chosen(command: Any) -> dict[str, Any]:
    """The words of a command as they were understood, for ``run.json``."""
    return {part.name: getattr(command, part.name) for part in fields(command) if part.name not in ("quiet", "json")}
