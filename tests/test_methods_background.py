"""BAS on batches in which some photos have no class, term by term."""

import pytest
import torch

from torchbas.config import Objective
from torchbas.losses import objective
from torchbas.methods.base import FeatureBatch

OPTIONS = Objective(area=2.0, background_class=True)


@pytest.fixture
def method(tiny_bas):
    tiny_bas.options = OPTIONS
    return tiny_bas.eval()


def _batch(*targets):
    torch.manual_seed(1)
    target = torch.tensor(targets)
    labels = (target[:, None] == torch.arange(5)).float()
    return FeatureBatch(torch.rand(len(target), 8, 16, 16).half(), target, labels, torch.arange(len(target)))


def _terms(method, batch):
    torch.manual_seed(2)
    return method.losses(batch, 0)


def test_tagged_photos_count_as_without_the_others_which_add_their_area_by_their_share(method):
    batch = _batch(3, -1, 0, -1)
    terms = _terms(method, batch)
    features = batch.features.float()
    evidence = method.evidence_from(features[[0, 2]], torch.tensor([3, 0]))
    expected = objective(evidence, torch.tensor([3, 0]), batch.labels[[0, 2]], OPTIONS)
    torch.manual_seed(2)
    one, other = torch.randint(5, (2, 1))[:, 0].tolist()
    maps = method.generator(features)
    expected["background"] = 2.0 * (2 / 4) * (maps[1, one].mean() + maps[3, other].mean()) / 2
    assert terms.keys() == expected.keys()
    for name, term in terms.items():
        torch.testing.assert_close(term, expected[name], msg=name)


def test_a_batch_without_a_tag_has_all_terms_but_only_the_maps_area_moves_weights(method):
    terms = _terms(method, _batch(-1, -1))
    assert {name for name, term in terms.items() if term.item()} == {"background"}
    assert terms.keys() == _terms(method, _batch(-1, 4)).keys()
    torch.stack(list(terms.values())).sum().backward()
    moved = {
        name.split(".")[0]
        for name, weight in method.named_parameters()
        if weight.grad is not None and weight.grad.any()
    }
    assert moved == {"generator"}


def test_batches_where_all_are_tagged_have_the_same_terms_only_where_other_batches_need_them(method):
    assert "background" not in _terms(method, _batch(1, 2))
    method.untagged = True
    terms = _terms(method, _batch(1, 2))
    assert terms["background"].item() == 0


def test_a_batch_is_only_asked_for_tags_where_the_photos_are_not_known(method, monkeypatch):
    """On a GPU the question waits for all that was computed before."""
    asked = []
    every = torch.Tensor.all
    monkeypatch.setattr(torch.Tensor, "all", lambda self, *how: (asked.append(1), every(self, *how))[1])
    for untagged, questions in ((None, 1), (False, 0), (True, 0)):
        method.untagged = untagged
        asked.clear()
        _terms(method, _batch(1, 2))
        assert len(asked) == questions
