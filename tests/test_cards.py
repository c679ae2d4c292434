"""Whatever stands in a card or in its weights: a model, or one sentence that names the file."""

import copy
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from torchbas import api
from torchbas.cards import LARGEST
from torchbas.config import Architecture
from torchbas.errors import Diverged, InputError
from torchbas.inference.localizer import Localizer
from torchbas.methods.bas import BASMethod
from torchbas.methods.trained import TrainedModel
from torchbas.wsss.irn.network import IRNet
from torchbas.wsss.irn.train import load_irnet
from torchbas.wsss.segmenter.network import Segmenter
from torchbas.wsss.segmenter.train import load_segmenter

COLORS = ((0.5, 0.5, 0.5), (0.25, 0.25, 0.25))
SMALL = Architecture("test_resnet", head="linear")
MODELS: dict[str, tuple[Callable[[], TrainedModel], Callable[[Path], Any]]] = {
    "bas": (lambda: Localizer(BASMethod.build(SMALL, 2, False, COLORS), ("a", "b"), 64, 48, recipe="quick"), api.load),
    "segmenter": (lambda: TrainedModel(Segmenter("deeplabv2_tiny", 2), ("a", "b"), 64, 48), load_segmenter),
    "irn": (lambda: TrainedModel(IRNet("test_resnet", False, COLORS), ("boundary",), 64, 48), load_irnet),
}
VALUES = st.one_of(
    st.sampled_from([-1, 0, 10**40, 1e30, True, "x", "../x", "upernet:hf-hub:a/b", "hf-hub:a/b", "x.py", [[[]]]]),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
        max_leaves=6,
    ),
)
LEFT_OUT = object()
QUICK = settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module", params=MODELS)
def kept(request, tmp_path_factory) -> tuple[Path, bytes, bytes, Callable[[Path], Any]]:
    """A model's folder, its card and weights as they were, and what reads it."""
    make, load = MODELS[request.param]
    folder = tmp_path_factory.mktemp(request.param)
    make().save(folder)
    return folder, (folder / "model.json").read_bytes(), (folder / "model.safetensors").read_bytes(), load


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    monkeypatch.setattr("socket.socket.connect", lambda *_: pytest.fail("went to the network"))


def _read(kept, card: bytes | None = None, weights: bytes | None = None) -> str:
    """The sentence that refuses the model; empty where it is one."""
    folder, own_card, own_weights, load = kept
    (folder / "model.json").write_bytes(own_card if card is None else card)
    (folder / "model.safetensors").write_bytes(own_weights if weights is None else weights)
    said = ""
    try:
        load(folder)
    except InputError as error:
        said = str(error)
    assert said == "" or str(folder) in said
    assert "\n" not in said
    return said


def _places(card: Any, here: tuple = ()) -> Iterator[tuple]:
    """The path of every value in a card."""
    yield here
    for key, value in card.items() if isinstance(card, dict) else enumerate(card) if isinstance(card, list) else ():
        yield from _places(value, (*here, key))


def _put(card: Any, place: tuple, value: Any) -> Any:
    """The card with another value at a place, or none."""
    if not place:
        return None if value is LEFT_OUT else value
    card = copy.copy(card)
    if value is LEFT_OUT and len(place) == 1:
        del card[place[0]]
    else:
        card[place[0]] = _put(card[place[0]], place[1:], value)
    return card


def test_the_models_are_read_as_they_are(kept):
    assert _read(kept) == ""


@QUICK
@given(st.data())
def test_a_card_with_another_value_anywhere_or_one_less_is_a_model_or_a_sentence(kept, data):
    card = json.loads(kept[1])
    changed = _put(card, data.draw(st.sampled_from([*_places(card)])), data.draw(st.just(LEFT_OUT) | VALUES))
    _read(kept, json.dumps(changed).encode())


@QUICK
@given(st.data())
def test_bytes_of_a_card_may_flip(kept, data):
    content = bytearray(kept[1])
    for place in data.draw(st.lists(st.integers(0, len(content) - 1), min_size=1, max_size=3)):
        content[place] = data.draw(st.integers(0, 255))
    _read(kept, bytes(content[: data.draw(st.sampled_from([None, len(content) // 2]))]))


@QUICK
@given(st.data())
def test_bytes_of_weights_may_flip(kept, data):
    content = bytearray(kept[2])
    header = 8 + int.from_bytes(content[:8], "little")
    for place in data.draw(st.lists(st.integers(0, header) | st.integers(0, len(content) - 1), min_size=1, max_size=3)):
        content[place] = data.draw(st.integers(0, 255))
    _read(kept, weights=bytes(content[: data.draw(st.sampled_from([None, 0, 8, len(content) - 1]))]))


@pytest.mark.parametrize("nested", ["[" * 100_000, '{"classes":' * 50_000, '{"a":' + "[" * 900 + "]" * 900 + "}"])
def test_nesting_ends_in_a_sentence(kept, nested):
    assert _read(kept, nested.encode())


def test_what_is_no_text_of_a_card_is_refused(kept):
    text = kept[1].decode()
    assert "does not describe a model" in _read(kept, text.encode("utf-16"))
    assert "is larger than 16 MB" in _read(kept, b" " * (LARGEST + 1))
    assert "NaN is no number" in _read(kept, text.replace("64", "NaN", 1).encode())


def test_more_classes_than_the_weights_have_channels_build_no_network(kept):
    card = json.loads(kept[1]) | {"classes": [str(number) for number in range(30_000)]}
    assert "30000 classes, but no layer" in _read(kept, json.dumps(card).encode())


@pytest.mark.parametrize(("name", "value"), [("resize", -1), ("resize", 1), ("crop", 10**6), ("method", ["bas"])])
def test_sides_and_names_are_of_their_kind(kept, name, value):
    card = json.loads(kept[1]) | {name: value}
    assert f"({name} must be" in _read(kept, json.dumps(card).encode())


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers_are_neither_read_nor_saved(kept, tmp_path, value):
    folder, load = kept[0], kept[3]
    assert _read(kept) == ""
    trained = load(folder)
    state = load_file(folder / "model.safetensors")
    name = next(name for name, tensor in state.items() if tensor.is_floating_point())
    state[name].view(-1)[0] = value
    save_file(state, tmp_path / "model.safetensors")
    assert f"{name} holds what is no number" in _read(kept, weights=(tmp_path / "model.safetensors").read_bytes())
    next(trained.model.parameters()).data[:1] = value
    with pytest.raises(Diverged, match="no model is saved; lower --lr"):
        trained.save(tmp_path / "new")
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("network", ["upernet:hf-hub:a/b", "upernet:hf_hub:a/b", "upernet:local-dir:/x", "upernet:a/b"])
@pytest.mark.parametrize("weights", [True, False])
def test_no_name_of_a_segmenter_is_an_address(network, weights):
    with pytest.raises(InputError, match=r"There is no network|cannot be fetched"):
        Segmenter.initialized(network, 2, "imagenet" if weights else "none", weights)


def test_a_misspelled_folder_is_not_looked_up_on_the_hub(tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.snapshot_download", lambda *_, **__: pytest.fail("asked the Hub"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").mkdir()
    with pytest.raises(InputError, match="runs/brids is no folder of a model"):
        api.load("runs/brids")
