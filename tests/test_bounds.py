"""What stands in a file becomes settings by type, range and word, or a sentence that names the field."""

import pytest

from torchbas.bounds import built
from torchbas.config import Architecture, Inference, Segmentation, Training


@pytest.mark.parametrize(
    ("kind", "values", "sentence"),
    [
        (Training, {"batch_size": 2.5}, "batch_size must be a whole number above 0, not 2.5."),
        (Training, {"epochs": True}, "epochs must be a whole number above 0, not True."),
        (Training, {"nesterov": 1}, "nesterov must be true or false, not 1."),
        (Training, {"lr": "fast"}, "lr must be a finite number above 0, not fast."),
        (Training, {"precision": []}, "precision must be one of auto, 32-true, bf16-mixed, 16-mixed, not ()."),
        (Architecture, {"backbone": None}, "backbone must be text, not None."),
        (Architecture, {"generator_stage": "last"}, "generator_stage must be a whole number 1 or more, not last."),
        (Architecture, {"wings": 2}, "values has no wings."),
        (Inference, {"layercam": ["cat", 1]}, "layercam must be a list, each text, not ('cat', 1)."),
        (Inference, {"layercam": "cat"}, "layercam must be a list, each text, not cat."),
        (Segmentation, {"irn": None}, "irn must be settings of Training, not None."),
        (Inference, ["threshold"], "values must be named, not ('threshold',)."),
        (Inference, None, "values must be named, not None."),
        (Architecture, {"backbone": 0, "head": "x" * 99}, "backbone must be text, not 0."),
        (Architecture, {"head": "x" * 99}, f"head must be one of conv, linear, not {'x' * 60}...."),
    ],
    ids=str,
)
def test_what_has_another_type_is_refused_in_one_sentence(kind, values, sentence):
    with pytest.raises(ValueError) as caught:
        built(kind, values, "values")
    assert str(caught.value) == sentence


def test_lists_become_tuples():
    assert built(Segmentation, {"scales": [1.0, 0.5]}, "values") == Segmentation(scales=(1.0, 0.5))
    assert built(Inference, {"layercam": ["cat"]}, "values") == Inference(layercam=("cat",))
