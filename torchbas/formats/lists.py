"""The two lists without which findings are no data set: the tags, and the photos that were looked at."""

from collections.abc import Mapping, Sequence

from ..errors import InputError
from ..types import Localization

Sizes = Mapping[str, tuple[int, int]]
"""Height and width in pixels of every photo that was looked at, with findings or without, by name."""


def check(found: Sequence[Localization], classes: Sequence[str], images: Sizes) -> None:
    """Raises :class:`InputError` when something found has a tag or a photo that the lists lack."""
    tags = set(classes)
    for one in found:
        if one.label not in tags:
            raise InputError(f'{one.name}: its tag "{one.label}" is not in the class list. Add it there.')
        if one.name not in images:
            raise InputError(f"{one.name} has findings but is not in the list of photos. Add it there.")
