"""Which objects to correct next."""

from collections import Counter, defaultdict
from collections.abc import Sequence

from ..localization import CORRECTED, Localization, NotFound


def reviewed(one: Localization | NotFound) -> bool:
    """Whether it is as somebody has corrected it."""
    return one.method == CORRECTED if isinstance(one, Localization) else one.reviewed


def most_useful_first(objects: Sequence[Localization | NotFound]) -> list[int]:
    """Places in ``objects`` in the order to correct them: the tags in turn, each with its least certain photo, those
    with fewer corrected photos first. What was not found is the least certain. Objects of a tag in a photo follow each
    other, for they are corrected together; what was corrected comes last.
    """
    together: dict[tuple[str, str], list[int]] = defaultdict(list)
    for place, one in enumerate(objects):
        together[one.name, one.label].append(place)
    score = {key: min(_score(objects[place]) for place in places) for key, places in together.items()}
    done = {key for key, places in together.items() if all(reviewed(objects[place]) for place in places)}
    taken, turn = Counter(tag for _, tag in done), {}
    for key in sorted(together.keys() - done, key=lambda key: (score[key], together[key])):
        turn[key] = taken[key[1]]
        taken[key[1]] += 1
    order = [*sorted(turn, key=lambda key: (turn[key], score[key], together[key])), *(k for k in together if k in done)]
    return [place for key in order for place in together[key]]


def _score(one: Localization | NotFound) -> float:
    return one.score if isinstance(one, Localization) else -1.0
