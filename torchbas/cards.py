"""Model cards: ``model.json``, read as data and within bounds. Nothing in a card names code, a file or an address."""

import json
from pathlib import Path
from typing import Any

from .bounds import checked
from .errors import InputError, SettingError
from .inputs import regular

CARD = "model.json"
LARGEST = 16 * 2**20
"""Bytes of a card; one of 20,000 classes has a megabyte."""


def run_folder(path: str | Path) -> Path:
    """The folder of a trained model that a path names: itself, or ``model`` in what ``bas label`` has written."""
    folder = Path(path).expanduser()
    return folder / "model" if (folder / "model" / CARD).is_file() else folder


def read_card(folder: Path) -> dict[str, Any]:
    """``model.json`` of a run's folder.

    Raises:
        InputError: it is missing, too large or no JSON, or describes no model.
    """
    path = folder / CARD
    try:
        with regular(path).open("rb") as file:
            content = file.read(LARGEST + 1)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise InputError(f"{folder} has no {CARD}: give the folder of a finished training run.") from error
    except (OSError, ValueError) as error:  # a path with a NUL in it is a ValueError
        raise InputError(f"{path} cannot be read ({error}): check the path.") from error
    if len(content) > LARGEST:
        raise InputError(f"{path} is larger than {LARGEST // 2**20} MB, so it is no card: copy it again.")
    try:
        card = json.loads(content.decode("utf-8"), parse_constant=_refused)
        names = checked(tuple[str, ...], checked(dict[str, Any], card, "the card").get("classes"), "classes")
    except json.JSONDecodeError as error:
        raise InputError(f"{path} is not valid JSON ({error}): copy it again, or train again.") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} does not describe a model ({error}): copy it again, or train again.") from error
    if not names or len(set(names)) < len(names):
        raise InputError(f"{path} does not describe a model: it needs the names of its classes, each another.")
    return card


def recipe_of(run: str | Path) -> str | None:
    """Name of the recipe that trained a run, empty where its card has none; None where there is no card on this disk.

    Raises:
        InputError: as :func:`read_card`.
    """
    folder = run_folder(run)
    return str(read_card(folder).get("recipe") or "") if (folder / CARD).is_file() else None


def value_of(card: dict[str, Any], name: str, kind: Any) -> Any:
    """What a card says, lists as tuples.

    Raises:
        SettingError: nothing, or something of another kind; one sentence.
    """
    if name not in card:
        raise SettingError(f"it lacks {name}")
    return checked(kind, card[name], name)


def _refused(word: str) -> None:
    raise ValueError(f"{word} is no number")
