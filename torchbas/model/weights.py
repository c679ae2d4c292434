"""Weights of trained networks as two files, safetensors and a JSON card; and what a training starts from."""

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, TypeGuard, TypeVar

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from timm.data.constants import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
from torch import Tensor, nn

from ..bounds import Bound
from ..cards import CARD, read_card, run_folder, value_of
from ..errors import CALMER, Diverged, InputError
from ..io import atomic_write
from ..weight_names import PRETRAINED
from .authors import NETWORKS
from .hub import answering, pretrained_config
from .pretrained import not_finite

WEIGHTS = "model.safetensors"

Color = tuple[float, ...]
_Share = Annotated[float, Bound(0, 1)]
_Spread = Annotated[float, Bound(1e-3, 1)]
Network = TypeVar("Network", bound=nn.Module)


def normalization(backbone: str, weights: bool | str | Path = True) -> tuple[Color, Color]:
    """Mean and standard deviation, in [0, 1] per RGB channel, with which a network's weights were trained.

    ImageNet's for the authors' networks and for local files; timm knows better for the weights it fetches
    (of the authors' networks where they are marked ``timm_normalization``: InceptionV3 saw ImageNet's in the authors'
    training). The folder of a trained model says itself.
    """
    if is_run(weights):
        card = read_card(run_folder(weights))
        if card.keys() >= {"mean", "std"}:
            return normalization_of(card)
    network = NETWORKS.get(backbone)
    fetched = weights is True and (network is None or network.timm_normalization)
    config = pretrained_config(PRETRAINED.get(backbone, backbone)) if fetched else None
    return (config.mean, config.std) if config else (IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD)


Pretrained = tuple[str, str]
"""Name and license of the weights that a network began from; what is not known is empty."""
RANDOM: Pretrained = ("none", "")


def pretrained_of(backbone: str, weights: bool | str | Path) -> Pretrained:
    """What a network began from: timm's name and the license that it knows, or a file's name; of a trained model what
    its card says."""
    if weights is False:
        return RANDOM
    if is_run(weights):
        card = read_card(run_folder(weights))
        return value_of(card, "pretrained", Pretrained) if "pretrained" in card else ("", "")
    if weights is not True:
        return Path(weights).name, ""
    config = pretrained_config(PRETRAINED.get(backbone, backbone))
    return (f"{config.architecture}.{config.tag}", config.license or "") if config else ("", "")


def normalization_of(card: dict[str, Any]) -> tuple[Color, Color]:
    """Mean and standard deviation that a card names.

    Raises:
        SettingError: they are missing, or are not three numbers in [0, 1] each.
    """
    colors = tuple[_Share, _Share, _Share], tuple[_Spread, _Spread, _Spread]
    mean, std = (value_of(card, name, kind) for name, kind in zip(("mean", "std"), colors, strict=True))
    return mean, std


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
    card = read_card(run_folder(weights))
    return str(card.get("fingerprint", weights))


def start_from(network: nn.Module, folder: str | Path, classes: tuple[str, ...], *, whole: bool = False) -> bool:
    """Fill a network from any other trained one: ``f1``, ``f2`` and, where the class lists agree, ``head``.

    Args:
        whole: fill every layer, of a network that is not trained any further.

    Returns:
        Whether the head was there.

    Raises:
        InputError: no trained model in the folder, or one of another backbone or, for ``whole``, with other layers.
    """
    folder = run_folder(folder)
    card, state, own = read_card(folder), _read_weights(folder / WEIGHTS), network.state_dict()
    same = tuple(card["classes"]) == classes
    parts = ("",) if whole else ("f1.", "f2.", "head.") if same else ("f1.", "f2.")
    wanted = [name for name in own if name.startswith(parts) and not name.endswith("num_batches_tracked")]
    wrong = [name for name in wanted if name not in state or not _alike(state[name], own[name])]
    if wrong:
        raise InputError(
            f"{folder} cannot be started from: its {wrong[0]} does not fit. Train both with the same backbone and head."
        )
    network.load_state_dict({name: state[name] for name in wanted}, strict=False)
    return same


def save_network(network: nn.Module, folder: str | Path, card: dict[str, Any]) -> None:
    """Write ``model.safetensors`` and ``model.json`` into ``folder``; a file appears whole or not at all.

    ``card`` is JSON with at least ``classes`` (names).

    Raises:
        Diverged: a weight is NaN or infinite; nothing is written.
        InputError: the disk refuses.
    """
    folder = Path(folder)
    state = {name: tensor.contiguous() for name, tensor in network.state_dict().items()}
    if name := not_finite(state):
        raise Diverged(f"the training ended with {name} no number any more, so no model is saved; {CALMER}")
    text = json.dumps(card, indent=2, ensure_ascii=False)
    with atomic_write(folder / WEIGHTS) as partial:
        save_file(state, partial)
    with atomic_write(folder / CARD) as partial:
        partial.write_text(text, encoding="utf-8")


def load_network(folder: str | Path, build: Callable[[dict[str, Any]], Network]) -> tuple[Network, dict[str, Any]]:
    """The network that ``build`` makes of the card, filled, and the card.

    Args:
        folder: what :func:`save_network` wrote, or a Hugging Face repository ``user/name`` where neither that path
            nor a folder ``user`` exists.

    Raises:
        InputError: files that are missing, broken or of different models; a Hub that cannot be reached.
    """
    folder = _locate(folder)
    card, state = read_card(folder), _read_weights(folder / WEIGHTS)
    largest = max((side for tensor in state.values() for side in tensor.shape), default=0)
    try:
        if len(card["classes"]) > largest:  # before a network of a million classes fills the memory
            raise ValueError(f"{len(card['classes'])} classes, but no layer of {WEIGHTS} has as many channels")
        network = build(card)
    except (TypeError, ValueError) as error:
        raise InputError(
            f"{folder / CARD} describes a network that this version does not know ({error}): copy it again."
        ) from error
    except InputError as error:
        raise InputError(f"{folder / CARD}: {error}") from error
    fill(network, state, folder / WEIGHTS)
    return network, card


def _read_weights(path: Path) -> dict[str, Tensor]:
    if not path.is_file():
        raise InputError(f"{path.parent} has no {WEIGHTS}: give the folder of a finished training run.")
    try:
        state = load_file(path)
    except (SafetensorError, OSError) as error:
        raise InputError(f"{path} is broken: copy it again, or train again.") from error
    if name := not_finite(state):
        raise InputError(f"{path} is broken, {name} holds what is no number: copy it again, or train again.")
    return state


def weights_hash(network: nn.Module) -> str:
    """SHA-256 of all weights and their names, in hexadecimal."""
    found = hashlib.sha256()
    for name, value in sorted(network.state_dict().items()):
        found.update(name.encode())
        found.update(value.detach().cpu().contiguous().view(-1).numpy().tobytes())
    return found.hexdigest()


def fill(network: nn.Module, state: Mapping[str, Tensor], path: str | Path) -> None:
    """Load ``state`` into the network. Raises :class:`InputError`, naming ``path``, where the two differ."""
    own = network.state_dict()
    names = {name for name in own if not name.endswith("num_batches_tracked")} | (own.keys() & state.keys())
    wrong = sorted(names ^ state.keys()) or sorted(name for name in names if not _alike(state[name], own[name]))
    if wrong:
        raise InputError(f"{path} does not hold the network that was asked for: {wrong[0]} does not fit.")
    network.load_state_dict(state, strict=False)


def _alike(a: Tensor, b: Tensor) -> bool:
    """Whether one tensor can stand for another."""
    return a.shape == b.shape and not a.is_complex()


def _locate(folder: str | Path) -> Path:
    path = Path(folder).expanduser()
    if path.is_dir():
        return path
    misspelled = path.parent.is_dir()  # runs/brids, where there is a folder runs
    if misspelled or isinstance(folder, Path) or not re.fullmatch(r"[\w-][\w.-]*/[\w.-]+", folder):
        raise InputError(f"{folder} is no folder of a model: check the path.")
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError

    try:
        with answering():
            found = Path(snapshot_download(folder, allow_patterns=[WEIGHTS, CARD]))
    except (OSError, HFValidationError) as error:
        raise InputError(
            f'There is no folder "{folder}", and no model of that name can be had from the Hub.'
        ) from error
    if not ((found / CARD).is_file() and (found / WEIGHTS).is_file()):
        raise InputError(f'"{folder}" on the Hub is no model of torchbas, for it lacks {CARD} or {WEIGHTS}.')
    return found
