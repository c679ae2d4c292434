"""Files of torch.save: honest ones of every age are read, and none takes time that grows with the square of a name."""

import pickle
import zipfile
from io import BytesIO

import pytest
import torch

from torchbas.data.tensors import load_tensors


@pytest.mark.parametrize("zipped", [True, False])
def test_tensors_and_plain_values_come_back(tmp_path, zipped):
    content = {"weights": torch.arange(6.0).reshape(2, 3), "step": 3, "names": ["a" * 5000]}
    torch.save(content, tmp_path / "a.pth", _use_new_zipfile_serialization=zipped)
    loaded = load_tensors(tmp_path / "a.pth")
    assert torch.equal(loaded.pop("weights"), content.pop("weights"))
    assert loaded == content


def test_the_name_of_a_function_is_short(tmp_path):
    """torch's own refusal of this one takes minutes."""
    named = b"cos\n" + b"x" * 299_997 + b"\n(tR."
    with zipfile.ZipFile(tmp_path / "zipped.pth", "w") as archive:
        archive.writestr("archive/data.pkl", named)
        archive.writestr("archive/version", "3\n")
    header = b"".join(pickle.dumps(one, 2) for one in (0x1950A86A20F9469CFC6C, 1001, {}))
    for source in (tmp_path / "zipped.pth", BytesIO(header + named + b"]."), BytesIO(named)):
        with pytest.raises(ValueError, match="a function's name of 300000 letters"):
            load_tensors(source)
