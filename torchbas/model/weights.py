"""Weights: trained models as two files, safetensors and a JSON card; the authors' checkpoints are read too."""

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeGuard, TypeVar

import timm
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from timm.data.constants import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
from torch import Tensor, nn

from ..config import Architecture
from ..errors import InputError
from .authors import NETWORKS, timm_name
from .bas import BAS
from .pretrained import read_state

WEIGHTS = "model.safetensors"
CARD = "model.json"

Colour = tuple[float, ...]
Network = TypeVar("Network", bound=nn.Module)


def normalisation(backbone: str, weights: bool | str | Path = True) -> tuple[Colour, Colour]:
    """Mean and standard deviation, in [0, 1] per RGB channel, with which a network's weights were trained.

    ImageNet's for the authors' networks and for local files; timm knows better for the weights it fetches
    (of the authors' networks only MobileNetV1 differs: InceptionV3 saw ImageNet's in the authors' training). The
    folder of a trained model says itself.
    """
    if is_run(weights):
        card = _read_card(Path(weights).expanduser() / CARD)
        if card.keys() >= {"mean", "std"}:
            return tuple(card["mean"]), tuple(card["std"])
    fetched = weights is True and (backbone == "mobilenetv1" or backbone not in NETWORKS)
    name = NETWORKS[backbone].timm if backbone in NETWORKS else backbone
    config = timm.get_pretrained_cfg(name) if fetched else None
    return (config.mean, config.std) if config else (IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD)


def is_run(weights: bool | str | Path) -> TypeGuard[str | Path]:
    """Whether to start from a trained model, that is, from its folder."""
    return not isinstance(weights, bool) and Path(weights).expanduser().is_dir()


def origin(weights: bool | str | Path) -> str:
    """What a training starts from, wherever it lies: the fingerprint of a trained model, else the word itself.

    Raises:
        InputError: a folder without a trained model.
    """
    if not is_run(weights):
        return str(weights)
    card = _read_card(Path(weights).expanduser() / CARD)
    return str(card.get("fingerprint", weights))


def start_from(model: nn.Module, folder: str | Path, classes: tuple[str, ...]) -> bool:
    """Fill ``stem``, ``tail`` and, where the class lists agree, ``head`` of any model from any other trained one.

    Returns:
        Whether the head was there.

    Raises:
        InputError: no trained model in the folder, or one of another backbone.
    """
    folder = Path(folder).expanduser()
    card, path = _read_card(folder / CARD), folder / WEIGHTS
    state, own = _read_weights(path), model.state_dict()
    parts = ("stem.", "tail.", "head.") if tuple(card["classes"]) == classes else ("stem.", "tail.")
    wanted = [name for name in own if name.startswith(parts) and not name.endswith("num_batches_tracked")]
    wrong = [name for name in wanted if name not in state or state[name].shape != own[name].shape]
    if wrong:
        raise InputError(
            f"{folder} cannot be started from: its {wrong[0]} does not fit. Train both with the same backbone and head."
        )
    model.load_state_dict({name: state[name] for name in wanted}, strict=False)
    return len(parts) == 3


class AuthorsFile(NamedTuple):
    """What a released checkpoint holds."""

    family: str
    """Backbone name: vgg16, mobilenetv1, resnet50, inceptionv3 or resnet50_wsss."""
    num_classes: int
    """K."""
    state: dict[str, Tensor]
    """Weights by the authors' names."""


def read_authors(path: str | Path) -> AuthorsFile:
    """Reads a ``.pth.tar`` of the authors' training, of one GPU or several, and recognises its network.

    Raises:
        InputError: a missing or unreadable file, or one that is no BAS checkpoint of theirs.
    """
    state = read_state(path)
    linear = "classifier_cls.weight" in state
    marks = {
        "conv1_1.weight": "vgg16",
        "model.0.0.weight": "mobilenetv1",
        "Mixed_7c.branch1x1.conv.weight": "inceptionv3",
        "layer4.0.conv1.weight": "resnet50_wsss" if linear else "resnet50",
    }
    family = next((family for mark, family in marks.items() if mark in state), None)
    if family is None or "classifier_loc.0.weight" not in state:
        raise InputError(
            f"{path} is no BAS checkpoint: give a file that the authors' training saved, or a folder of ours."
        )
    return AuthorsFile(family, len(state["classifier_loc.0.weight"]), state)


def load_authors(model: BAS, path: str | Path) -> None:
    """Fills ``model`` from a checkpoint of the authors.

    Raises:
        InputError: a file that cannot be read, or does not hold this network.
    """
    _fill(model, _ours(model, read_authors(path)), path)


def open_authors(path: str | Path) -> BAS:
    """The network of a checkpoint of the authors, built and filled.

    Raises:
        InputError: a file that cannot be read, or is no BAS checkpoint of theirs.
    """
    found = read_authors(path)
    linear = found.family == "resnet50_wsss"
    architecture = Architecture(found.family, head="linear" if linear else "conv", guidance_detached=linear)
    model = BAS.from_architecture(architecture, found.num_classes)
    _fill(model, _ours(model, found), path)
    return model


def _ours(model: BAS, found: AuthorsFile) -> dict[str, Tensor]:
    """The checkpoint's weights by our names."""
    halves = {name.split(".", 1)[1]: name for name in model.state_dict() if name.startswith(("stem.", "tail."))}
    state = {}
    for name, tensor in found.state.items():
        place, _, rest = name.partition(".")
        if place == "classifier_cls":
            ours = f"head.{rest}" if rest[0].isdigit() else f"head.0.{rest}"
        elif place == "classifier_loc":
            ours = f"generator.conv.{rest.removeprefix('0.')}"
        else:
            ours = halves.get(timm_name(name), name)
        state[ours] = tensor
    return state


def save_model(model: nn.Module, folder: str | Path, card: dict[str, Any]) -> None:
    """Writes ``model.safetensors`` and ``model.json`` into ``folder``; a file appears whole or not at all.

    ``card`` is JSON with at least ``architecture`` (the fields of :class:`Architecture`) and ``classes`` (names).
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    state = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
    text = json.dumps(card, indent=2, ensure_ascii=False)
    _write_whole(folder / WEIGHTS, lambda path: save_file(state, path))
    _write_whole(folder / CARD, lambda path: path.write_text(text, encoding="utf-8"))


def load_model(folder: str | Path) -> tuple[BAS, dict[str, Any]]:
    """The model and card of a folder, or of a Hugging Face repository ``user/name`` where no such path exists.

    Raises:
        InputError: files that are missing, broken or of different models; a Hub that cannot be reached.
    """
    return load_network(folder, lambda said, card: BAS.from_architecture(said, num_classes=len(card["classes"])))


def load_network(
    folder: str | Path, build: Callable[[Architecture, dict[str, Any]], Network]
) -> tuple[Network, dict[str, Any]]:
    """The same for any network that ``build`` makes of the architecture and card."""
    folder = _locate(folder)
    card = _read_card(folder / CARD)
    path = folder / WEIGHTS
    try:
        architecture = Architecture(**card["architecture"])
    except (TypeError, ValueError) as error:
        raise InputError(f"{folder / CARD} describes a network that this version does not know: {error}.") from error
    state = _read_weights(path)
    model = build(architecture, card)
    _fill(model, state, path)
    return model, card


def _read_weights(path: Path) -> dict[str, Tensor]:
    if not path.is_file():
        raise InputError(f"{path.parent} has no {WEIGHTS}: give the folder of a finished training run.")
    try:
        return load_file(path)
    except SafetensorError as error:
        raise InputError(f"{path} is broken: copy it again, or train again.") from error


def _fill(model: nn.Module, state: Mapping[str, Tensor], path: str | Path) -> None:
    own = model.state_dict()
    names = {name for name in own if not name.endswith("num_batches_tracked")} | (own.keys() & state.keys())
    wrong = sorted(names ^ state.keys()) or [name for name in names if state[name].shape != own[name].shape]
    if wrong:
        raise InputError(f"{path} does not hold the network that was asked for: {wrong[0]} does not fit.")
    model.load_state_dict(state, strict=False)


def _read_card(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise InputError(f"{path.parent} has no {path.name}: give the folder of a finished training run.")
    try:
        card = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"{path} is not valid JSON ({error}): copy it again, or train again.") from error
    described = isinstance(card, dict) and isinstance(card.get("architecture"), dict)
    if not described or not _are_names(card.get("classes")):
        raise InputError(f"{path} does not describe a model: it needs an architecture and the names of its classes.")
    return card


def _are_names(classes: object) -> bool:
    return isinstance(classes, list) and bool(classes) and all(isinstance(name, str) for name in classes)


def _locate(folder: str | Path) -> Path:
    path = Path(folder).expanduser()
    if path.is_dir():
        return path
    if path.exists() or isinstance(folder, Path) or not re.fullmatch(r"[\w-][\w.-]*/[\w.-]+", folder):
        raise InputError(f"{folder} is no folder of a model: check the path.")
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError

    try:
        return Path(snapshot_download(folder, allow_patterns=[WEIGHTS, CARD]))
    except (OSError, HFValidationError) as error:
        raise InputError(
            f'There is no folder "{folder}", and no model of that name can be had from the Hub.'
        ) from error


def _write_whole(path: Path, write: Callable[[Path], object]) -> None:
    partial = path.with_name(f"{path.name}.partial")
    try:
        write(partial)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
