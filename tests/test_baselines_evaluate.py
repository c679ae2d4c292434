"""Baselines are judged by the evaluator that judges BAS."""

import pytest
import torch

from torchbas.baselines import build
from torchbas.baselines.evaluate import evaluate
from torchbas.config import Architecture
from torchbas.engine.evaluate import Pass
from torchbas.engine.scoring import Rules

COLOURS = ((0.5, 0.5, 0.5), (0.25, 0.25, 0.25))


def _build(name, classes, **options):
    """The same random weights under every name."""
    torch.manual_seed(0)
    return build(name, Architecture(backbone="test_resnet", hidden=16), classes, False, COLOURS, **options).eval()


@pytest.mark.parametrize("protocol", ["authors", "wsoleval"])
def test_several_looks_at_one_network_are_scored_in_one_pass_as_alone(sample, protocol):
    methods = {name: _build(name, len(sample.classes)) for name in ("cam", "gradcam", "layercam")}
    methods["shallow"] = _build("gradcam", len(sample.classes), layer="features")
    test, rules, how = sample.only("test"), Rules(protocol, (0.1, 0.3), 64, 48, 0.01), Pass(COLOURS, ten_crop=True)

    def verdicts(**chosen):
        heard = {}
        evaluate(chosen, test, rules, how, 0.1, lambda case, given: heard.setdefault(case.name, (case.rank, given)))
        return heard

    together = verdicts(**methods)
    assert len(together) == 12
    for row, method in methods.items():
        for name, (rank, given) in verdicts(**{row: method}).items():
            assert rank == together[name][0]
            assert (given[row].overlaps["largest"] == together[name][1][row].overlaps["largest"]).all()
