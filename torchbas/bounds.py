"""Values that annotations allow: types, ranges of numbers and words, checked when a dataclass is built."""

import math
from dataclasses import is_dataclass
from functools import cache
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, NamedTuple, TypeVar, Union, get_args, get_origin, get_type_hints

from .errors import SettingError

LARGEST = 2**63 - 1
"""Largest whole number: that of 64 bits, as in arrays."""
T = TypeVar("T", int, float)
C = TypeVar("C")


class Bound(NamedTuple):
    """Range of a finite number, written in an annotation."""

    low: float | int
    high: float | int = math.inf
    above: bool = False
    """Whether ``low`` itself is excluded."""

    def allows(self, value: float | int) -> bool:
        """Whether the value is inside; NaN never is."""
        return (self.low < value if self.above else self.low <= value) and value <= self.high

    def __str__(self) -> str:
        if self.high < math.inf:
            start = f"above {self.low:g} and at most" if self.above else f"between {self.low:g} and"
            return f"{start} {self.high if isinstance(self.high, int) else format(self.high, 'g')}"
        return f"above {self.low:g}" if self.above else f"{self.low:g} or more"


Positive = Annotated[T, Bound(0, above=True)]
NonNegative = Annotated[T, Bound(0)]
Share = Annotated[float, Bound(0, 1)]

_NAMES = {bool: "true or false", int: "a whole number", float: "a finite number", str: "text", tuple: "a list"}


def allows(kind: Any, value: Any) -> bool:
    """Whether ``value`` is of the annotation ``kind``; one that says nothing about values allows all of them.

    No bool is a number, every float is finite, and the elements of tuples count as well.
    """
    origin, members = get_origin(kind), get_args(kind)
    if origin is Annotated:
        bounds = [bound for bound in members[1:] if isinstance(bound, Bound)]
        return allows(members[0], value) and all(bound.allows(value) for bound in bounds)
    if origin in (Union, UnionType):
        return any(allows(member, value) for member in members)
    if origin is Literal:
        return any(type(value) is type(word) and value == word for word in members)
    if origin is tuple:
        each = members[:1] * len(value) if members[-1] is ... and isinstance(value, tuple) else members
        return isinstance(value, tuple) and len(value) == len(each) and all(map(allows, each, value))
    if kind is None:
        return value is None
    if kind is float:
        return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < math.inf
    if kind is int:
        return isinstance(value, int) and not isinstance(value, bool) and abs(value) <= LARGEST
    place = origin or kind
    return isinstance(value, place) if isinstance(place, type) else True


def described(kind: Any, value: Any = None) -> str:
    """What the annotation allows, in the words of a sentence that refuses ``value``."""
    origin, members = get_origin(kind), get_args(kind)
    if origin is Annotated:
        bounds = " and ".join(str(bound) for bound in members[1:] if isinstance(bound, Bound))
        typed = isinstance(value, (members[0], int)) and not isinstance(value, bool) if bounds else True
        return bounds if bounds and typed else " ".join(filter(None, (described(members[0]), bounds)))
    if origin is Literal:
        return f"one of {', '.join(map(str, members))}"
    if origin in (Union, UnionType):
        words = ", ".join(str(word) for member in members if get_origin(member) is Literal for word in get_args(member))
        others = [described(one, value) for one in members if get_origin(one) is not Literal and one is not NoneType]
        return " or ".join(filter(None, (words, *others)))
    if origin is tuple:
        wrong = (one for one in value if not allows(members[0], one)) if isinstance(value, tuple) else iter(())
        each = described(members[0], next(wrong, None))
        return f"a list, each {each}" if members[-1] is ... else f"a list of {len(members)}, each {each}"
    if origin is dict:
        return "named"
    name = getattr(kind, "__name__", str(kind))
    return _NAMES.get(kind, f"settings of {name}" if is_dataclass(kind) else name)


def checked(kind: Any, value: Any, name: str) -> Any:
    """The value, lists in it as tuples.

    Raises:
        SettingError: one sentence that calls it ``name`` and says what it may be.
    """
    value = _as_tuples(value)
    if not allows(kind, value):
        shown = str(value)
        raise SettingError(f"{name} must be {described(kind, value)}, not {shown[:60]}{'...' * (len(shown) > 60)}.")
    return value


def built(kind: type[C], values: Any, name: str) -> C:
    """The dataclass whose fields are ``values``, as JSON has them.

    Raises:
        SettingError: they are no mapping, name a field that it has not, or a field has a wrong value.
    """
    known = get_type_hints(kind, include_extras=True)
    unknown = [field for field in checked(dict[str, Any], values, name) if field not in known]
    if unknown:
        raise SettingError(f"{name} has no {unknown[0]}.")
    return kind(**{field: checked(known[field], value, field) for field, value in values.items()})


def _as_tuples(value: Any) -> Any:
    return tuple(map(_as_tuples, value)) if isinstance(value, list) else value


@cache
def _kinds(config: type) -> dict[str, Any]:
    return get_type_hints(config, include_extras=True)


class Checked:
    """Checks every field against its annotation, the :class:`Bound` and the :class:`~typing.Literal` in it included.

    Raises:
        SettingError: one sentence that names the field and what it may be.
    """

    def __post_init__(self) -> None:
        for name, kind in _kinds(type(self)).items():
            checked(kind, getattr(self, name), name)
