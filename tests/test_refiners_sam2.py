"""SAM 2's mask decoder on random weights of a small network, and on decoders whose answer is known."""

import pickle
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from tiny_sam import SIDE, save_tiny_sam

from torchbas import refiners
from torchbas.config import Inference
from torchbas.errors import InputError
from torchbas.refiners import guard
from torchbas.refiners.sam2 import SAM2, Prompt, network
from torchbas.training.recipe import train_recipe

pytest.importorskip("transformers", reason="transformers is not installed")
SAM = "torchbas.refiners.sam2.network"


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    return save_tiny_sam(tmp_path_factory.mktemp("weights") / "sam2")


@pytest.fixture(autouse=True)
def fresh():
    network.cache_clear()


@pytest.fixture(scope="module")
def trained(demo_set, recipe, tmp_path_factory):
    return train_recipe(demo_set, recipe, tmp_path_factory.mktemp("run"), weights=False, device="cpu")


def with_sam(localizer, *stages, weights=""):
    changed = replace(localizer.inference, refine=stages or ("sam2",), refiner_weights=str(weights))
    return replace(localizer, inference=changed)


class Decoder(torch.nn.Module):
    """Answers with three masks made of each prompt, the best first, in the order of ``scores``."""

    def __init__(self, draw, scores=(0.9, 0.5, 0.1)):
        super().__init__()
        self.nothing = torch.nn.Parameter(torch.zeros(1))
        self.config = SimpleNamespace(prompt_encoder_config=SimpleNamespace(image_size=SIDE))
        self.draw, self.scores, self.encoded, self.asked = draw, torch.tensor(scores), 0, []

    def get_image_embeddings(self, images):
        assert images.shape == (1, 3, SIDE, SIDE)
        self.encoded += 1
        return [images]

    def forward(self, image_embeddings, input_points, input_labels, input_boxes, multimask_output):
        assert multimask_output
        assert len(image_embeddings) == 1
        assert (input_labels == 1).all()
        boxes, points = input_boxes[0], input_points[0, :, 0]
        assert ((boxes[:, :2] <= points) & (points <= boxes[:, 2:])).all()
        self.asked.append((boxes, points))
        masks = torch.stack([torch.stack(self.draw(box)) for box in boxes])
        return SimpleNamespace(
            pred_masks=torch.where(masks, 9.0, -9.0)[None], iou_scores=self.scores.expand(1, len(boxes), 3)
        )


def inside(box):
    """The box on the decoder's grid, a quarter of its side."""
    mask = torch.zeros(SIDE // 4, SIDE // 4, dtype=torch.bool)
    x0, y0, x1, y1 = (box / 4).round().int().tolist()
    mask[y0 : max(y1, y0 + 1), x0 : max(x1, x0 + 1)] = True
    return mask


def nothing():
    return torch.zeros(SIDE // 4, SIDE // 4, dtype=torch.bool)


def test_prompts_and_masks_are_those_of_transformers_own_processor(weights):
    """The same photo, boxes and points by way of the library's processor; its masks in the order of predicted IoU."""
    photo = torch.randint(0, 256, (3, 48, 48), dtype=torch.uint8)
    asked = [Prompt((0.25, 0.125, 0.75, 0.5), (0.5, 0.25)), Prompt((0.0, 0.5, 1.0, 1.0), (0.1, 0.9))]
    ours = SAM2(str(weights), "cpu")._masks(photo, asked)
    from transformers.models.sam2.image_processing_sam2 import Sam2ImageProcessor
    from transformers.models.sam2.processing_sam2 import Sam2Processor

    processor = Sam2Processor(Sam2ImageProcessor(size={"height": SIDE, "width": SIDE}), target_size=SIDE)
    given = processor(
        images=photo.permute(1, 2, 0).numpy(),
        input_boxes=[[[48 * value for value in one.box] for one in asked]],
        input_points=[[[[48 * value for value in one.point]] for one in asked]],
        input_labels=[[[1] for _ in asked]],
        return_tensors="pt",
    )
    with torch.inference_mode():
        theirs = network(str(weights))(
            **{name: given[name] for name in ("pixel_values", "input_boxes", "input_points", "input_labels")}
        )
    for thing in range(2):
        order = sorted(range(3), key=lambda number: -theirs.iou_scores[0, thing, number].item())
        expected = theirs.pred_masks[0, thing, order].sigmoid()
        assert (ours[thing] - expected).abs().max() < 0.02  # the processor resizes in whole numbers
    assert ours.std() > 0.05


def test_masks_come_from_the_decoder_at_the_box_in_the_photo(trained, demo_set, monkeypatch):
    decoder = Decoder(lambda box: [nothing(), inside(box), nothing()], scores=(0.2, 0.9, 0.5))
    monkeypatch.setattr(SAM, lambda _: decoder)
    monkeypatch.setattr(guard, "LOST", 0.0)
    plain = replace(trained, inference=replace(trained.inference, refine=()))
    before = {one.name: one for one in plain.stream(demo_set)}
    after = {one.name: one for one in with_sam(trained).stream(demo_set)}
    assert before.keys() == after.keys()
    cells = SIDE // 4
    for name, one in after.items():
        assert one.method == "bas+sam2"
        assert np.array_equal(one.grid, before[name].grid)
        height, width = one.size
        assert one.xyxy == pytest.approx(before[name].xyxy, abs=1.5 * max(height, width) / cells)
        box = np.array(one.xyxy) / (width, height, width, height) * cells
        assert one.mask.mean() == pytest.approx((box[2] - box[0]) * (box[3] - box[1]) / cells**2, rel=0.05)  # filled


def test_a_photo_is_encoded_once_however_many_tags_are_asked(trained, demo_set, monkeypatch):
    decoder = Decoder(lambda box: [inside(box)] * 3)
    monkeypatch.setattr(SAM, lambda _: decoder)
    monkeypatch.setattr(guard, "LOST", 0.0)
    samples = tuple(replace(one, labels=(0, 2, 4)) for one in demo_set.samples[:3])
    found = list(with_sam(trained).stream(replace(demo_set, samples=samples)))
    asked = sum(len(boxes) for boxes, _ in decoder.asked)
    assert decoder.encoded == len({one.name for one in found}) == 3
    assert asked == len(found) > 3


def test_the_best_mask_that_takes_the_evidence_counts_and_without_any_the_map_stays(trained, demo_set, monkeypatch):
    half = nothing()
    half[:, : SIDE // 8] = True
    decoder = Decoder(lambda _: [nothing(), half, ~half])
    monkeypatch.setattr(SAM, lambda _: decoder)
    monkeypatch.setattr(guard, "LOST", 0.0)  # no evidence at all is enough, but there must be a mask
    for one in with_sam(trained).stream(demo_set):
        assert one.xyxy == pytest.approx((0, 0, one.size[1] / 2, one.size[0]), abs=1)
    monkeypatch.setattr(guard, "LOST", 1e6)  # none is
    monkeypatch.setattr(guard, "DENSE", 1e6)
    monkeypatch.setattr(guard, "SMEARED", 0.0)
    plain = replace(trained, inference=replace(trained.inference, refine=()))
    before = {one.name: one for one in plain.stream(demo_set)}
    kept = [one for one in with_sam(trained).stream(demo_set) if one.bas_ratio < 1]  # something to lose
    assert kept
    assert all((one.xyxy, one.method) == (before[one.name].xyxy, "bas") for one in kept)


def test_nothing_is_asked_where_nothing_is_found(trained, demo_set, monkeypatch):
    decoder = Decoder(lambda box: [inside(box)] * 3)
    monkeypatch.setattr(SAM, lambda _: decoder)
    assert not list(with_sam(trained).with_inference(threshold=1.0).stream(demo_set))
    assert not list(with_sam(trained).stream(replace(demo_set, samples=())))
    assert not decoder.encoded


def test_every_thing_is_asked_where_all_are_wanted(trained, demo_set, monkeypatch):
    decoder = Decoder(lambda box: [inside(box)] * 3)
    monkeypatch.setattr(SAM, lambda _: decoder)
    monkeypatch.setattr(guard, "LOST", 0.0)
    corner = torch.zeros(1, 8, 8)
    corner[:, :3, :3], corner[:, 5:, 5:] = 0.9, 0.8
    monkeypatch.setattr(
        type(trained.model), "heatmaps", lambda _, encoded, *__: corner.expand(len(encoded.logits), 8, 8)
    )
    monkeypatch.setattr(type(trained.model), "bounded", True)
    settings = {"enlarge": "never", "normalized": False, "separate": False, "threshold": 0.5}
    localizer = replace(trained, inference=replace(trained.inference, **settings))
    photo = replace(demo_set, samples=demo_set.samples[:1])
    list(with_sam(localizer).stream(photo, objects="all"))
    boxes, points = decoder.asked.pop()
    assert len(boxes) == 2
    assert boxes[0, :2].tolist() == [0, 0]
    assert boxes[1, 2:].tolist() == [SIDE, SIDE]
    assert (points[0] < SIDE / 2).all()
    assert (points[1] > SIDE / 2).all()
    list(with_sam(localizer).stream(photo))
    assert len(decoder.asked.pop()[0]) == 1


@pytest.mark.parametrize("stages", [("sam2",), ("shift", "sam2"), ("crf", "sam2"), ("sam2", "crf")])
def test_a_network_of_transformers_goes_with_the_other_stages(trained, demo_set, weights, stages):
    found = list(with_sam(trained, *stages, weights=weights).stream(demo_set))
    assert len(found) == len(demo_set.samples)
    assert {one.method for one in found} <= {"bas", "bas+sam2"}


def test_a_localizer_is_equal_pickled_and_saved_without_the_weights(trained, demo_set, weights, tmp_path):
    localizer = with_sam(trained, weights=weights)
    list(localizer.stream(demo_set))
    assert replace(localizer, inference=trained.inference) == trained
    copy = pickle.loads(pickle.dumps(localizer))
    assert copy.inference == localizer.inference
    localizer.save(tmp_path / "run")
    names = {path.name for path in (tmp_path / "run").iterdir()}
    assert names == {"model.json", "model.safetensors"}
    again = type(localizer).load(tmp_path / "run")
    assert again.inference == localizer.inference
    assert not any("decoder" in name for name in again.model.state_dict())


def test_weights_are_read_once_in_a_process(weights):
    assert network(str(weights)) is network(str(weights))


def test_weights_of_the_video_network_do(weights, tmp_path):
    """The Hub's repositories name it: they hold the image network's weights and more."""
    content = (weights / "config.json").read_text().replace('"model_type": "sam2"', '"model_type": "sam2_video"')
    (tmp_path / "config.json").write_text(content)
    (tmp_path / "model.safetensors").write_bytes((weights / "model.safetensors").read_bytes())
    assert type(network(str(tmp_path))).__name__ == "Sam2Model"


def test_wrong_weights_are_one_sentence(weights, tmp_path, monkeypatch):
    with pytest.raises(InputError, match="cannot be read as SAM 2"):
        network(str(tmp_path))
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(InputError, match="is a bert, no SAM 2"):
        network(str(tmp_path))
    (tmp_path / "config.json").write_bytes((weights / "config.json").read_bytes())
    with pytest.raises(InputError, match="cannot be read as SAM 2"):
        network(str(tmp_path))
    torch.save({}, tmp_path / "pytorch_model.bin")  # a pickle is not opened
    with pytest.raises(InputError, match="cannot be read as SAM 2"):
        network(str(tmp_path))
    from safetensors.torch import load_file, save_file

    tensors = load_file(weights / "model.safetensors")
    tensors.pop(next(iter(tensors)))
    save_file(tensors, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(InputError, match="lacks "):
        network(str(tmp_path))
    monkeypatch.setattr("torchbas.model.hub._reachable", lambda _: False)
    with pytest.raises(InputError, match="--refiner-weights FOLDER"):
        network("nobody/nothing")


def test_without_the_package_the_sentence_says_what_to_install(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "transformers", None)
    with pytest.raises(InputError, match=r'pip install "torch-bas\[sam\]"'):
        refiners.stages(Inference(refine=("sam2",)))


def test_only_weights_that_have_learned_from_masks_say_so():
    assert not refiners.seen(Inference(refine=("shift", "crf")))
    assert "facebook/sam2.1-hiera-tiny" in refiners.seen(Inference(refine=("crf", "sam2")))
    assert "people drew" in refiners.seen(Inference(refine=("sam2",), refiner_weights="mine"))
