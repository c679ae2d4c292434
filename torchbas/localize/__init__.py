"""Localisation: train, find, score. Map to box is in :mod:`.boxes`."""

from ..engine.board import Scores as Scores
from .boxes import Component as Component
from .boxes import components as components
from .evaluate import Row as Row
from .evaluate import evaluate as evaluate
from .find import Found as Found
from .find import find as find
from .task import Localization as Localization
