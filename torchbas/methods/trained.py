"""TrainedModel: network, class names and image sizes, stored as weights and a JSON model card."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

import torch
from torch import nn

from ..bounds import NonNegative, Share, built
from ..cards import value_of
from ..config import Inference, Side
from ..model.weights import Pretrained, load_network, save_network
from . import load as load_method


class Network(Protocol):
    """Module that can be saved and rebuilt from its card: a method, IRN's boundary network, or a segmenter."""

    name: Any
    """Key in a registry of networks."""

    def card(self) -> dict[str, Any]:
        """JSON fields from which ``from_card`` builds the network."""
        ...


STORED = {
    "classes": tuple[str, ...],
    "resize": Side,
    "crop": Side,
    "recipe": str,
    "changes": dict[str, Any],
    "fingerprint": str,
    "shapes": tuple[tuple[str, Share, Share], ...],
    "corrections": tuple[str, NonNegative[int], Share, Share, Share],
    "began_from": tuple[str, NonNegative[int]],
    "pretrained": Pretrained,
}
"""Fields of :class:`TrainedModel` that its card holds, and their types."""
N = TypeVar("N", bound=nn.Module)
T = TypeVar("T", bound="TrainedModel")


@dataclass(frozen=True)
class TrainedModel(Generic[N]):
    """Network with its class names, image sizes, inference settings and origin."""

    model: N
    classes: tuple[str, ...]
    resize: int
    """Height and width in pixels to which training resized a photo before the crop."""
    crop: int
    """Height and width of the crop in pixels; the authors' protocol evaluates on it."""
    inference: Inference = field(default_factory=Inference)
    recipe: str = ""
    """Name of the recipe that trained it."""
    changes: dict[str, Any] = field(default_factory=dict)
    """Settings that differ from the recipe's."""
    fingerprint: str = ""
    """Hash of the settings and data of its training."""
    shapes: tuple[tuple[str, float, float], ...] = ()
    """Tag, and the medians of :class:`~torchbas.localization.Shape` over its objects in the training photos; of each
    tag of which ``bas label`` found any."""
    corrections: tuple[str, int, float, float, float] = ("", 0, 0.0, 0.0, 0.0)
    """Hash and number of the corrected boxes it was given, and shares that were correct before it learned from others
    of them, after that, and after it learned from half of those; without any, nothing."""
    began_from: tuple[str, int] = ("", 0)
    """Fingerprint of the model that it goes on from, and how many of its classes, the first ones, it has from there;
    of a model of its own, nothing."""

    pretrained: Pretrained = ("", "")
    """Name and license of the weights that the network began from; ``none`` of one that began at random."""

    @property
    def known(self) -> tuple[str, ...]:
        """Classes of the model that it goes on from."""
        return self.classes[: self.began_from[1]]

    @property
    def sides(self) -> tuple[int, int]:
        """Sides in pixels of a squeezed photo and of its center crop: training's, or as ``input_size`` asks."""
        side = self.inference.input_size or self.resize
        return side, round(self.crop * side / self.resize)

    def __post_init__(self) -> None:
        # a network computes the same to the last bit whether it was just trained or is read from a file
        self.model.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]

    def save(self, folder: str | Path) -> None:
        """Write ``model.safetensors`` and ``model.json``, which :meth:`load` reads on any machine."""
        network: Any = self.model
        card = {"method": network.name, "classes": list(self.classes), **network.card()}
        card |= {name: getattr(self, name) for name in STORED if name != "classes"}
        save_network(self.model, folder, card | {"inference": asdict(self.inference)})

    @classmethod
    def load(cls: type[T], folder: str | Path, networks: Mapping[str, type] | None = None) -> T:
        """Read a folder that :meth:`save` wrote, or a Hub repository ``user/name``.

        Args:
            networks: classes of networks by name; those of :data:`torchbas.methods.METHODS` when not given.

        Raises:
            InputError: a missing or damaged model.
        """

        def build(card: dict[str, Any]) -> Any:
            name = value_of(card, "method", str)
            if networks is not None and name not in networks:
                raise ValueError(f"a {name}, where a {' or '.join(networks)} belongs")
            kind: Any = load_method(name) if networks is None else networks[name]
            read.update({field: value_of(card, field, kind) for field, kind in STORED.items()})
            read["inference"] = built(Inference, value_of(card, "inference", dict[str, Any]), "inference")
            return kind.from_card(card)

        read: dict[str, Any] = {}
        network, _ = load_network(folder, build)
        return cls(network, **read)
