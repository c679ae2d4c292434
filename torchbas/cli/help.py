"""The help of a command: the flags that users need first, or with ``--help-all`` every value of the recipe, too."""

import inspect
from collections.abc import Sequence
from dataclasses import MISSING, field, fields, is_dataclass, make_dataclass
from typing import Annotated, Any, get_type_hints

import tyro

ALL = "--help-all"
FIRST = frozenset("steps batch_size crop seed threshold area backbone refine segmenter_network cam_eval_thres".split())  # noqa: SIM905
"""Values of a recipe that the short help shows."""


def spelled_out(words: Sequence[str]) -> list[str]:
    """The words, with the long help asked for as the parser knows it."""
    return ["--help" if word == ALL else word for word in words]


def helping(command: type, words: Sequence[str], *, prefixes: bool) -> tuple[type, list[str]]:
    """The command as its help is to show it, and its words; both as they are where no help is asked for."""
    if ALL in words or not {"-h", "--help"}.intersection(words):
        return command, spelled_out(words)
    settings = {one.name: one.default_factory() for one in fields(command) if one.default_factory is not MISSING}
    parts = []
    for name, value in settings.items():
        if is_dataclass(value):
            brief = _brief(value, prefixes=prefixes)
            parts.append((name, _unnamed(brief), field(default_factory=lambda brief=brief: brief)))
    if not parts:
        return command, [*words]
    name = command.__module__.rsplit(".", 1)[-1]
    about = (
        f"{inspect.getdoc(command)}\n\nThese are the flags that are needed first: bas {name} {ALL} shows all of them."
    )
    made = make_dataclass(command.__name__, parts, bases=(command,), namespace={"__doc__": about})
    made.__module__ = command.__module__
    return made, [*words]


def _unnamed(settings: Any) -> Any:
    """Type of settings that are listed with the flags around them."""
    return Annotated[type(settings), tyro.conf.arg(name="")]


def _brief(settings: Any, *, prefixes: bool) -> Any:
    """The settings, as an instance of a class whose help shows only the first ones."""
    kind, parts, values = type(settings), [], {}
    hints = get_type_hints(kind, include_extras=True)
    for one in fields(kind):
        value = getattr(settings, one.name)
        if is_dataclass(value):
            value = _brief(value, prefixes=prefixes)
            kind_of_it = type(value) if prefixes else _unnamed(value)
            parts.append((one.name, kind_of_it, field(default_factory=lambda value=value: value)))
        elif one.name not in FIRST:
            parts.append((one.name, tyro.conf.Suppress[hints[one.name]], field(default=value)))
        values[one.name] = value
    frozen = kind.__dataclass_params__.frozen
    made = make_dataclass(kind.__name__, parts, bases=(kind,), frozen=frozen, namespace={"__doc__": kind.__doc__})
    made.__module__ = kind.__module__
    return made(**values)
