"""Rows of several methods on one network are evaluated in one pass as each alone, and as they are predicted."""

from functools import partial

import pytest
import torch
from PIL import Image

from torchbas.config import Architecture, Inference
from torchbas.data import evaluation_loader, standardize, whole_view
from torchbas.evaluation.evaluator import Row, evaluate
from torchbas.evaluation.protocol import EvalProtocol, score_heatmap
from torchbas.inference.localize import detect
from torchbas.methods import load

NORMALIZATION = ((0.5, 0.5, 0.5), (0.25, 0.25, 0.25))


def _build(name, classes, **options):
    """The same random weights under every name."""
    torch.manual_seed(0)
    kind = load(name)
    architecture = Architecture(backbone="test_resnet", hidden=16)
    return kind.build(architecture, classes, False, NORMALIZATION, kind.Options(**options)).eval()


@pytest.mark.parametrize("protocol", ["authors", "wsoleval"])
def test_rows_of_several_methods_are_scored_in_one_pass_as_alone(demo_set, protocol):
    classes, test = len(demo_set.classes), demo_set.only("test")
    methods = {name: _build(name, classes) for name in ("cam", "gradcam", "layercam")}
    methods["shallow"] = _build("gradcam", classes, layer="f1")
    settings = EvalProtocol(protocol, (0.1, 0.3), 64, 48, 0.01)

    def metrics_by_row(first, *rows):
        heard = {}
        evaluate(
            first,
            test,
            rows,
            settings,
            listener=lambda target, given: heard.setdefault(target.name, (target.rank, given)),
        )
        return heard

    rows = [Row(name, Inference(), (0.1, 0.3), method) for name, method in methods.items()]
    together = metrics_by_row(methods["cam"], *rows)
    assert len(together) == 12
    for row in rows:
        for name, (rank, given) in metrics_by_row(row.method, row).items():
            assert rank == together[name][0]
            assert (given[row.name].box_ious["largest"] == together[name][1][row.name].box_ious["largest"]).all()


@pytest.mark.parametrize("name", ["bas", "cam"])
def test_zoomed_heatmaps_are_scored_as_they_are_predicted(demo_set, name):
    model, test, protocol = (
        _build(name, len(demo_set.classes)),
        demo_set.only("test"),
        EvalProtocol("wsoleval", side=48),
    )
    inference, scored = Inference(zoom=1.0), {}
    evaluate(
        model, test, [Row("row", inference)], protocol, listener=lambda one, by_row: scored.update({one.name: by_row})
    )
    for batch in evaluation_loader(test, partial(whole_view, size=2 * protocol.side), batch_size=32):
        found = detect(model, standardize(batch.images, *NORMALIZATION), batch.labels, inference)
        prepared = protocol.prepare(found.heatmaps)
    for sample, heatmap in zip(test.samples, prepared, strict=True):
        with Image.open(sample.path) as image:
            boxes = protocol.boxes(sample, (image.height, image.width))
        alone = score_heatmap(protocol, heatmap, boxes, {}).box_ious["largest"]
        assert (alone == scored[sample.name]["row"].box_ious["largest"]).all()
