"""The notebook of the docs runs from top to bottom, in an empty folder and without a network."""

import json
from pathlib import Path

import pytest

NOTEBOOK = Path(__file__).parents[1] / "docs/first_model.ipynb"


@pytest.mark.slow
def test_the_notebook_runs_from_top_to_bottom(tmp_path, monkeypatch):
    cells = [cell for cell in json.loads(NOTEBOOK.read_text("utf-8"))["cells"] if cell["cell_type"] == "code"]
    code = "\n".join("".join(cell["source"]) for cell in cells)
    for whole, short in (("train_per_class=100", "train_per_class=2"), ("steps=400", "steps=4")):
        assert whole in code
        code = code.replace(whole, short)
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    exec(compile(code, str(NOTEBOOK), "exec"), names)
    assert len(names["found"]) <= 12
    assert (tmp_path / "labels/index.html").is_file()
    assert (tmp_path / "run/model.safetensors").is_file()
    assert "BAS k=1" in names["scores"].rows
