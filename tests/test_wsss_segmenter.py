"""The segmenter learns from label maps, remembers its initial weights, and labels photos of any size."""

import json
import signal
import sys
from dataclasses import replace

import numpy as np
import pytest
import timm
import torch
from PIL import Image

from torchbas.config import SEGMENTER_TRAINING
from torchbas.data.pairs import PairBatch, pair_loader
from torchbas.errors import InputError, Interrupted
from torchbas.methods.trained import TrainedModel
from torchbas.training.checkpoint import CHECKPOINT
from torchbas.training.loop import Hooks
from torchbas.training.optim import sgd
from torchbas.wsss.segmenter.network import COLORS, DEEPLABS, Segmenter
from torchbas.wsss.segmenter.predict import predict
from torchbas.wsss.segmenter.smp import SMPNetwork
from torchbas.wsss.segmenter.train import check_labels, load_segmenter, train_segmenter

CLASSES = ("red", "blue")
SHORT = replace(
    SEGMENTER_TRAINING, steps=4, batch_size=2, lr=0.01, resize=41, crop=41, save_every=100, precision="32-true"
)


def draw(folder, count=6, size=(40, 48)):
    """Photos of noise with a red and a blue field, and the label maps that say so."""
    rng, pairs = np.random.default_rng(0), []
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        pixels, labels = rng.integers(90, 160, (*size, 3), np.uint8), np.zeros(size, np.uint8)
        for label, color, left in ((1, (230, 30, 30), 0), (2, (30, 30, 230), 24)):
            top = int(rng.integers(0, size[0] - 20))
            pixels[top : top + 20, left : left + 20] = color
            labels[top : top + 20, left : left + 20] = label
        paths = folder / f"{number}.png", folder / f"{number}_labels.png"
        for path, array in zip(paths, (pixels, labels), strict=True):
            Image.fromarray(array).save(path)
        pairs.append(paths)
    return pairs


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    return draw(tmp_path_factory.mktemp("pairs"))


def train(pairs, out, training=SHORT, **more):
    settings = {"network": "deeplabv2_tiny", "initialization": "none", "device": "cpu", **more}
    return train_segmenter(pairs, CLASSES, training, out, **settings)


def same(one, other):
    return all(torch.equal(value, other.state_dict()[name]) for name, value in one.state_dict().items())


def weights_of(path, **more):
    """A file with the trunk of the tiny DeepLab, by torchvision's names."""
    torch.manual_seed(3)
    trunk = Segmenter("deeplabv2_tiny", 2).network.network.trunk.state_dict()
    torch.save({**trunk, "fc.weight": torch.zeros(9, 64), **more}, path)
    return path


def test_it_learns_two_colors(pairs, tmp_path):
    segmenter = train(pairs, tmp_path, replace(SHORT, steps=40, batch_size=6, lr=0.02)).model
    ground_truth = {sample: np.array(Image.open(labels)) for sample, labels in pairs}
    found = list(predict(segmenter, list(ground_truth)))
    agree = np.mean([(one.labels == ground_truth[one.path]).mean() for one in found])
    assert {number for one in found for number in np.unique(one.labels)} == {0, 1, 2}
    assert agree > 0.75  # calling everything background would agree on 58 %


def test_colors_by_hand():
    images = torch.tensor([10, 20, 30], dtype=torch.uint8)[None, :, None, None]  # red, green, blue
    caffe, imagenet = (COLORS[style](images)[0, :, 0, 0] for style in ("caffe", "torchvision"))
    torch.testing.assert_close(caffe, torch.tensor([30 - 104.008, 20 - 116.669, 10 - 122.675]))
    by_hand = [(10 / 255 - 0.485) / 0.229, (20 / 255 - 0.456) / 0.224, (30 / 255 - 0.406) / 0.225]
    torch.testing.assert_close(imagenet, torch.tensor(by_hand))
    assert COLORS["caffe"].padding == (123, 117, 104)
    assert COLORS["torchvision"].padding == (124, 116, 104)


def test_the_file_s_names_bind_the_colors_and_freeze_its_batchnorm(tmp_path):
    segmenter = Segmenter.initialized("deeplabv2_tiny", 2, "imagenet", weights_of(tmp_path / "weights.pth"))
    assert (segmenter.style, segmenter.colors, segmenter.frozen) == ("torchvision", COLORS["torchvision"], True)
    trunk, file = segmenter.network.network.trunk.state_dict(), torch.load(tmp_path / "weights.pth", weights_only=True)
    assert all(torch.equal(tensor, file[name]) for name, tensor in trunk.items())
    nothing = Segmenter.initialized("deeplabv2_tiny", 2, "none", False)
    assert (nothing.style, nothing.frozen) == ("caffe", False)


@pytest.mark.parametrize(
    ("initialization", "given", "sentence"),
    [
        ("imagenet", False, 'Initialization "imagenet" needs its weights'),
        ("coco_segmentation", False, "needs its weights"),
        ("none", True, r'weights\.pth has learned from something: say initialization "imagenet" or'),
    ],
)
def test_an_initialization_goes_with_its_weights(tmp_path, initialization, given, sentence):
    path = given and weights_of(tmp_path / "weights.pth")
    with pytest.raises(InputError, match=sentence):
        Segmenter.initialized("deeplabv2_tiny", 2, initialization, path)


def test_weights_that_know_pixels_are_not_called_imagenet(tmp_path):
    path = weights_of(tmp_path / "coco.pth", **{"fc.weight": torch.zeros(91, 64, 1, 1)})
    with pytest.raises(InputError, match=r"coco\.pth has learned from pixel labels"):
        Segmenter.initialized("deeplabv2_tiny", 2, "imagenet", path)
    assert Segmenter.initialized("deeplabv2_tiny", 2, "coco_segmentation", path).initialization == "coco_segmentation"


def test_what_is_saved_is_what_is_loaded_and_the_card_names_the_initial_weights(pairs, tmp_path):
    path = weights_of(tmp_path / "weights.pth")
    trained = train(pairs, tmp_path / "out", initialization="imagenet", weights=path)
    loaded, card = load_segmenter(tmp_path / "out"), json.loads((tmp_path / "out/model.json").read_text())
    assert same(trained.model, loaded.model)
    assert not loaded.model.training
    assert replace(loaded, model=trained.model) == trained
    assert (loaded.classes, loaded.fingerprint) == (CLASSES, trained.fingerprint)
    for name in ("network_name", "initialization", "style", "frozen", "colors"):
        assert getattr(loaded.model, name) == getattr(trained.model, name)
    assert (card["initialization"], card["preprocessing"]["order"]) == ("imagenet", "rgb")
    assert not (tmp_path / "out" / CHECKPOINT).exists()


def test_a_damaged_card_is_one_sentence(tmp_path):
    TrainedModel(Segmenter("deeplabv2_tiny", 2), CLASSES, 41, 41).save(tmp_path)
    card = json.loads((tmp_path / "model.json").read_text())
    for change in ({"style": "photoshop"}, {"initialization": None, "style": None}):
        (tmp_path / "model.json").write_text(json.dumps({k: v for k, v in {**card, **change}.items() if v}))
        with pytest.raises(InputError, match=r"model\.json describes a network that this version does not know"):
            load_segmenter(tmp_path)


def test_a_stopped_run_goes_on_bit_for_bit(pairs, tmp_path):
    training = replace(SHORT, steps=7, accumulate=2)  # two steps an epoch, the second of one batch
    straight = train(pairs, tmp_path / "straight", training)
    stop = Hooks(every={3: lambda _: signal.raise_signal(signal.SIGTERM)})
    with pytest.raises(Interrupted, match="after step 3 of 7"):
        train(pairs, tmp_path / "stopped", training, hooks=lambda _: stop)
    resumed = train(pairs, tmp_path / "stopped", training, resume=True)
    assert same(straight.model, resumed.model)
    assert (tmp_path / "stopped/log.csv").read_text() == (tmp_path / "straight/log.csv").read_text()
    assert (
        (tmp_path / "straight/log.csv")
        .read_text()
        .startswith("step,epoch,batch,total,scale_1,scale_0.75,scale_0.5,max\n")
    )


def test_a_finished_segmenter_is_not_trained_again_and_other_masks_make_another(pairs, tmp_path, monkeypatch):
    first = train(pairs, tmp_path / "out")
    with monkeypatch.context() as patched:
        patched.setattr("torchbas.training.train.fit", lambda *_, **__: pytest.fail("trained"))
        assert same(train(pairs, tmp_path / "out", resume=True).model, first.model)
    others = draw(tmp_path / "photos")
    Image.fromarray(np.full((40, 48), 255, np.uint8)).save(others[0][1])
    with pytest.raises(InputError, match="holds a model of other settings or data"):
        train(others, tmp_path / "out", resume=True)


def test_a_label_without_a_class_is_refused_before_anything_is_trained(tmp_path):
    pairs = draw(tmp_path / "photos")
    labels = np.array(Image.open(pairs[2][1]))
    labels[3, 4] = 3
    Image.fromarray(labels).save(pairs[2][1])
    with pytest.raises(InputError, match=r"2_labels\.png has the label 3, but there are 2 classes"):
        train(pairs, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_255_is_no_label_too_many_and_no_pairs_are_refused(tmp_path):
    Image.fromarray(np.array([[0, 2, 255]], np.uint8)).save(tmp_path / "labels.png")
    assert len(check_labels([tmp_path / "labels.png"], 2)) == 1
    with pytest.raises(InputError, match="no photos with label maps"):
        check_labels([], 2)


def test_the_reference_s_rates_and_decays(pairs, tmp_path, monkeypatch):
    seen = {}
    monkeypatch.setattr(
        "torchbas.training.train.fit",
        lambda _, module, __, training, *___, new, **____: seen.update(
            segmenter=module.network, training=training, new=new
        ),
    )
    train(pairs, tmp_path, SEGMENTER_TRAINING, initialization="imagenet", weights=weights_of(tmp_path / "weights.pth"))
    segmenter = seen["segmenter"]
    optimizer = sgd(segmenter, seen["training"], seen["new"])
    names = {parameter: name for name, parameter in segmenter.named_parameters()}
    for group in optimizer.param_groups:
        kinds = {names[p].split(".")[2] + (" bias" if names[p].endswith("bias") else "") for p in group["params"]}
        expected = {"trunk": (2.5e-4, 5e-4), "aspp": (2.5e-3, 5e-4), "aspp bias": (5e-3, 0.0)}
        assert {(round(group["lr"], 9), group["weight_decay"])} == {expected[kind] for kind in kinds}
        assert (group["momentum"], group["nesterov"]) == (0.9, False)


def test_photos_of_any_size_come_back_in_their_own(tmp_path):
    sizes = [(40, 30), (7, 90), (1, 1), (40, 30), (200, 120), (40, 30)]
    paths = []
    for number, (height, width) in enumerate(sizes):
        path = tmp_path / f"{number}.png"
        Image.fromarray(np.random.default_rng(number).integers(0, 256, (height, width, 3), np.uint8)).save(path)
        paths.append(path)
    segmenter = Segmenter("deeplabv2_tiny", 2)
    one_by_one = {one.path: one.labels for one in predict(segmenter, paths, longest=100)}
    together = {one.path: one.labels for one in predict(segmenter, paths, longest=100, batch_size=2, workers=2)}
    assert [one_by_one[path].shape for path in paths] == sizes
    assert all(np.array_equal(one_by_one[path], together[path]) for path in paths)
    assert {labels.dtype for labels in together.values()} == {np.dtype(np.uint8)}


def test_a_large_photo_is_reduced_as_in_training(tmp_path, monkeypatch):
    path, pair, seen = tmp_path / "a.png", (tmp_path / "a.png", tmp_path / "labels.png"), []
    Image.new("RGB", (1280, 40)).save(path)
    Image.new("L", (1280, 40)).save(pair[1])
    segmenter = Segmenter("deeplabv2_tiny", 2)
    logits = segmenter.logits
    monkeypatch.setattr(segmenter, "logits", lambda images, flip: (seen.append(images), logits(images, flip))[1])
    (found,) = predict(segmenter, [path])
    assert found.labels.shape == (40, 1280)
    (batch,) = pair_loader([pair], 1, 0, crop=700, scales=(1.0,))
    known = (batch.labels[0] != 255).nonzero()
    assert seen[0].shape == (1, 3, *(known.amax(dim=0) - known.amin(dim=0) + 1).tolist()) == (1, 3, 20, 640)


def test_the_mirror_image_gives_the_mirrored_labels():
    torch.manual_seed(0)
    segmenter = Segmenter("deeplabv2_tiny", 2).eval()
    images = torch.randint(0, 256, (1, 3, 33, 41), dtype=torch.uint8)
    with torch.no_grad():
        torch.testing.assert_close(segmenter.logits(images, True), segmenter.logits(images.flip(3), True).flip(3))
        assert not torch.allclose(segmenter.logits(images), segmenter.logits(images.flip(3)).flip(3))


def test_the_crf_is_asked_with_the_network_s_probabilities(pairs, monkeypatch):
    asked = []

    class Field:
        def __init__(self, image, kernels):
            asked.append((image, kernels))

        def __call__(self, unary):
            asked.append(np.exp(-unary))
            return unary  # the least probable label wins

    monkeypatch.setattr("torchbas.wsss.segmenter.predict.DenseCRF", Field)
    torch.manual_seed(0)
    segmenter, sample = Segmenter("deeplabv2_tiny", 2), pairs[0][0]
    [found] = predict(segmenter, [sample], crf=True)
    (image, _), probabilities = asked  # at least 1e-5
    assert np.array_equal(image, np.array(Image.open(sample)))
    pixels = torch.from_numpy(image).permute(2, 0, 1)[None]
    with torch.no_grad():
        np.testing.assert_allclose(probabilities, segmenter.logits(pixels).softmax(1)[0].numpy(), rtol=1e-4, atol=2e-5)
    assert np.array_equal(found.labels, probabilities.argmin(0))


def test_unknown_networks_and_too_many_classes_are_refused():
    with pytest.raises(InputError, match="There is no segmentation network segnet: choose deeplabv2_resnet101"):
        Segmenter("segnet", 2)
    with pytest.raises(InputError, match="numbers 254 classes, but there are 255"):
        Segmenter("deeplabv2_tiny", 255)
    with pytest.raises(InputError, match="There is no network upernet:nonsense"):
        Segmenter("upernet:nonsense", 2)
    assert next(iter(DEEPLABS)) == "deeplabv2_resnet101"


def test_a_modern_network_learns_at_every_pixel_of_any_size_and_comes_back(pairs, tmp_path):
    torch.manual_seed(0)
    network = "fpn:test_resnet"
    segmenter = train(pairs, tmp_path, replace(SHORT, steps=2), network=network).model
    assert segmenter.new_layers == ("decoder", "segmentation_head")
    assert segmenter.colors == COLORS["torchvision"]
    assert same(segmenter, load_segmenter(tmp_path).model)
    images = torch.randint(0, 256, (1, 3, 41, 50), dtype=torch.uint8)
    assert segmenter.eval().logits(images).shape == (1, 3, 41, 50)
    labels = torch.ones(1, 41, 50, dtype=torch.uint8)
    terms = segmenter.losses(PairBatch(images, labels, torch.tensor([0])), 0)
    expected = torch.nn.functional.cross_entropy(segmenter.logits(images), labels.long())
    torch.testing.assert_close(terms, {"pixels": expected})


def test_an_encoder_takes_timm_s_weights(tmp_path):
    torch.manual_seed(1)
    source = timm.create_model("test_convnext")
    torch.save(source.state_dict(), tmp_path / "convnext.pth")
    segmenter = Segmenter.initialized("fpn:test_convnext", 2, "imagenet", tmp_path / "convnext.pth")
    source.eval(), segmenter.eval()
    image = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        found = segmenter.network.model.encoder(image)[-1]
        torch.testing.assert_close(found, source.stages(source.stem(image)))


def test_without_the_library_the_sentence_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "segmentation_models_pytorch", None)
    with pytest.raises(InputError, match="pip install 'segmentation-models-pytorch"):
        SMPNetwork("upernet:convnext_tiny", 3)
