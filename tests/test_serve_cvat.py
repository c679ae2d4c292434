"""CVAT's auto-annotation function, run by CVAT's own SDK against a stand-in of its server: what is uploaded is what was
found."""

import io
import json
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
from findings import detection
from PIL import Image

import torchbas as tb
from torchbas.errors import InputError
from torchbas.serve.cvat import create

cvat = pytest.importorskip("cvat_sdk.auto_annotation", reason='cvat-sdk is not installed: the extra "cvat" has it')

from cvat_sdk import Config, make_client  # noqa: E402
from cvat_sdk.masks import decode_mask  # noqa: E402

ID = 7


class Server(BaseHTTPRequestHandler):
    """As much of CVAT as its SDK asks for to annotate a task."""

    def log_message(self, *_):
        """Nothing on the terminal."""

    def do_GET(self):
        path = self.path.partition("?")[0].strip("/")
        self.answer(self.server.answers[path])

    def do_PATCH(self):
        self.server.sent.append((self.path, json.loads(self.rfile.read(int(self.headers["Content-Length"])))))
        self.answer({"version": 1, "tags": [], "shapes": [], "tracks": []})

    def answer(self, content):
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/zip" if isinstance(content, bytes) else "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def answers_of(samples, classes):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as chunk:
        for number, sample in enumerate(samples):
            chunk.write(sample.path, f"{number:06}.jpeg")
    count = len(samples)
    task = {"id": ID, "size": count, "data_chunk_size": count, "data_original_chunk_type": "imageset"}
    then = "2026-01-01T00:00:00Z"
    jobs = {"count": 1, "completed": 0, "validation": 0}
    task |= {"updated_date": then, "jobs": jobs, "labels": {"url": ""}, "organization": None}
    frames = [{"name": one.name, "width": 1, "height": 1, "related_files": 0} for one in samples]
    labels = [{"id": 100 + n, "name": tag, "type": "any", "attributes": [], "sublabels": []} for n, tag in classes]
    about = {"name": "", "description": "", "version": "2.80.0", "logo_url": "", "subtitle": ""}
    return {
        "api/server/about": about,
        f"api/tasks/{ID}": task,
        f"api/tasks/{ID}/data/meta": {"chunks_updated_date": then, "frames": frames, "deleted_frames": []},
        f"api/tasks/{ID}/data": packed.getvalue(),
        "api/labels": {"count": len(labels), "next": None, "previous": None, "results": labels},
    }


@pytest.fixture(scope="module")
def model(demo_set, recipe, tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    tb.train(demo_set, folder, recipe=recipe, weights=False)
    return folder


@pytest.fixture
def uploaded(demo_set, tmp_path):
    """What ``annotate_task`` uploads of two photos."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Server) as server:
        server.answers, server.sent = answers_of(demo_set.samples[:2], enumerate(demo_set.classes)), []
        threading.Thread(target=server.serve_forever, daemon=True).start()

        def annotate(function, **how):
            client = make_client(f"http://127.0.0.1:{server.server_port}")
            client.config = Config(cache_dir=tmp_path)
            with client:
                cvat.annotate_task(client, ID, function, **how)
            path, content = server.sent.pop()
            assert path.startswith(f"/api/tasks/{ID}/annotations")
            assert content["tags"] == []
            return content["shapes"]

        yield annotate
        server.shutdown()


def test_boxes_are_uploaded_as_they_are_found_with_their_score(model, demo_set, uploaded):
    function = create(str(model), min_score=0.0)
    assert isinstance(function.spec, cvat.DetectionFunctionSpec)
    photos = [Image.open(sample.path) for sample in demo_set.samples[:2]]
    found = [one for photo in photos for one in tb.predict(photo, model)]  # one by one, at the same precision
    shapes = uploaded(function)
    assert [(one["frame"], one["type"], one["source"]) for one in shapes] == [
        (0, "rectangle", "auto"),
        (1, "rectangle", "auto"),
    ]
    assert [one["label_id"] for one in shapes] == [100 + demo_set.classes.index(one.label) for one in found]
    assert [one["points"] for one in shapes] == [[*one.xyxy] for one in found]
    assert [one["score"] for one in shapes] == pytest.approx([one.score for one in found], abs=1e-4)


def test_masks_are_those_that_were_found_and_outlines_where_cvat_wants_them(model, demo_set, uploaded):
    function = create(str(model), shape="mask", min_score=0.0)
    found = tb.load(model)([sample.path for sample in demo_set.samples[:2]])
    for one, shape in zip(found, uploaded(function), strict=True):
        height, width = one.size
        assert shape["type"] == "mask"
        assert np.array_equal(decode_mask(shape["points"], image_width=width, image_height=height), one.mask)
    assert {one["type"] for one in uploaded(function, conv_mask_to_poly=True)} == {"polygon"}


@pytest.mark.parametrize(("least", "kept"), [(None, [0.0, 0.5, 1.0]), (0.5, [0.5, 1.0]), (0.51, [1.0]), (1.0, [1.0])])
def test_only_objects_of_at_least_the_threshold_are_uploaded(model, uploaded, monkeypatch, least, kept):
    """Scores are the shares of the map above .3 that are above .7."""
    grids = (np.array([values], np.float32) for values in ([0.4, 0.4], [0.4, 0.8], [0.8, 0.8]))
    found = [detection(label="fish", grid=grid) for grid in grids]
    monkeypatch.setattr("torchbas.serve.cvat.predict", lambda *_, **__: found)
    shapes = uploaded(create(str(model)), conf_threshold=least)
    assert [one["score"] for one in shapes if one["frame"] == 0] == kept


def test_a_task_without_one_of_the_labels_is_annotated_where_that_is_allowed(model, demo_set, uploaded, monkeypatch):
    function = create(str(model), min_score=0.0, tags=demo_set.classes[0])
    monkeypatch.setattr(function, "spec", cvat.DetectionFunctionSpec(labels=function.spec.labels[:1]))
    assert uploaded(function, allow_unmatched_labels=True)


@pytest.mark.parametrize("words", [{"shape": "circle"}, {"objects": "some"}, {"tags": "unicorn"}])
def test_what_there_is_not_is_said(model, words):
    with pytest.raises(InputError, match=next(iter(words.values()))):
        create(str(model), **words)
