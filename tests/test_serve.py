"""bas serve over HTTP: what Label Studio and a program with a photo get, and what nobody gets."""

import asyncio
import io
import json
import socket
import struct
import threading
import zlib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from PIL import Image

pytest.importorskip("uvicorn", reason='uvicorn is not installed: the extra "serve" has it')

from serving import ask, serving
from starlette.requests import Request

import torchbas as tb
from torchbas.api.compute import Compute
from torchbas.api.corrections import Learning
from torchbas.data import image_size
from torchbas.data.corrections import read_corrections
from torchbas.errors import InputError
from torchbas.export.label_studio import configuration
from torchbas.serve.annotations import Annotations
from torchbas.serve.app import _body
from torchbas.serve.backend import Backend, TooMuch, Wanted
from torchbas.serve.learning import Learner, version_of
from torchbas.serve.photos import LabelStudio, Photos

CONFIG = (
    '<View><Image name="picture" value="$photo"/><RectangleLabels name="thing" toName="picture">'
    '<Label value="fish"/><Label value="Snail" alias="snail"/></RectangleLabels></View>'
)
ANY = Wanted(min_score=0.0)


@pytest.fixture(scope="module")
def model(demo_set, recipe, tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    tb.train(demo_set, folder, recipe=recipe, weights=False)
    return tb.load(folder)


@pytest.fixture
def server(model, photos):
    """Of the folder of photos alone."""
    with serving(Backend(model, ANY, Photos(photos, model.classes, None, None))) as address:
        yield address


@pytest.fixture
def learning(model, photos, tmp_path):
    """A learner with its annotations and its server; it learns when it is told."""
    given, annotations = Photos(photos, model.classes, None, None), Annotations(tmp_path / "out/annotations")
    learner = Learner(model, given, annotations, tmp_path / "out", Compute(), lambda _: None)
    with serving(Backend(model, ANY, given, annotations, learner, every=0)) as address:
        yield learner, annotations, address


def png(width=8, height=8):
    file = io.BytesIO()
    Image.new("RGB", (width, height), (200, 30, 30)).save(file, "PNG")
    return file.getvalue()


def named(photos, tag):
    return f"{tag}/{sorted(file.name for file in (photos / tag).iterdir())[0]}"


def event(number, image, *boxes, tag="fish", action="ANNOTATION_CREATED", annotation=None):
    """What Label Studio sends of an annotation; boxes in percent."""
    result = [
        {"type": "rectanglelabels", "value": {"x": x, "y": y, "width": w, "height": h, "rectanglelabels": [tag]}}
        for x, y, w, h in boxes
    ]
    task = {"id": number, "data": {"image": image}}
    return {"action": action, "task": task, "annotation": {"id": annotation or 500 + number, "result": result}}


def test_a_task_gets_the_boxes_that_bas_predict_finds_of_the_photo_s_own_tag(server, model, photos):
    name = named(photos, "fish")
    asked = {"tasks": [{"id": 3, "data": {"photo": f"/data/local-files/?d=photos%2F{name}"}}], "label_config": CONFIG}
    status, answer = ask(f"{server}/predict", asked)
    assert status == 200
    (one,) = model(photos / name, "fish")
    (result,) = answer["results"]
    (region,) = result["result"]
    height, width = one.size
    place = region["value"]
    assert (region["from_name"], region["to_name"], region["type"]) == ("thing", "picture", "rectanglelabels")
    assert place["rectanglelabels"] == ["fish"]
    assert [place["x"] * width / 100, place["y"] * height / 100] == pytest.approx(one.xyxy[:2])
    assert result["score"] == pytest.approx(one.score, abs=1e-4)
    assert result["model_version"] == answer["model_version"] == version_of(model)


def test_tags_without_a_label_are_left_out_and_a_label_is_called_as_label_studio_calls_it(server, photos):
    tasks = [{"data": {"photo": named(photos, tag)}} for tag in ("snail", "leaf")]
    _, answer = ask(f"{server}/predict", {"tasks": tasks, "label_config": CONFIG})
    snail, leaf = answer["results"]
    assert snail["result"][0]["value"]["rectanglelabels"] == ["snail"]
    assert leaf["result"] == []


def test_outlines_fill_a_control_for_polygons(server, photos):
    config = configuration(["leaf"]).replace("RectangleLabels", "EllipseLabels")
    asked = {"tasks": [{"data": {"image": named(photos, "leaf")}}], "label_config": config}
    _, answer = ask(f"{server}/predict", asked)
    assert {one["type"] for one in answer["results"][0]["result"]} == {"polygonlabels"}


def test_the_configuration_of_setup_holds_for_predictions_without_one(server, model, photos):
    assert ask(f"{server}/setup", {"schema": CONFIG})[1] == {"model_version": version_of(model)}
    _, answer = ask(f"{server}/predict", {"tasks": [{"data": {"photo": named(photos, "fish")}}]})
    assert answer["results"][0]["result"][0]["from_name"] == "thing"


def test_a_photo_that_is_not_there_is_no_reason_to_lose_the_others(server, photos):
    tasks = [{"data": {"image": name}} for name in ("nowhere.jpg", named(photos, "fish"))]
    status, answer = ask(f"{server}/predict", {"tasks": tasks})
    assert status == 200
    assert answer["results"][0] == []
    assert answer["results"][1]["result"]


ELSEWHERE = (
    *("../../../etc/passwd", "/etc/passwd", "file:///etc/passwd", "http://127.0.0.1:1/x.jpg", "\0", "?d=", ""),
    *("/data/local-files/?d", "/data/local-files/?d=../../etc/passwd", "http://[", "data:image/png;base64,AAAA"),
    *(None, 7, ["x"]),
)


@pytest.mark.parametrize("image", ELSEWHERE)
def test_no_address_leads_to_a_file_outside_of_the_folder(server, image):
    status, answer = ask(f"{server}/predict", {"tasks": [{"data": {"image": image}}]})
    assert status == 400
    assert "root:" not in json.dumps(answer)


@pytest.mark.parametrize(
    ("path", "content", "status", "word"),
    [
        ("predict", b"{", 400, "JSON"),
        ("predict", b"\xff\xfe", 400, "UTF-8"),
        ("predict", b"[" * 100_000, 400, "JSON"),
        ("predict", [], 400, "object"),
        ("predict", {"tasks": "x"}, 400, "tasks"),
        ("predict", {"tasks": [3]}, 400, "photo"),
        ("predict", {"tasks": [{}] * 1001}, 413, "1000"),
        ("predict", {"tasks": [], "label_config": "<View>"}, 400, "XML"),
        ("predict", {"tasks": [], "label_config": 7}, 400, "XML"),
        ("predict", {"tasks": [], "label_config": CONFIG.replace("fish", "cow").replace("snail", "hen")}, 400, "tag"),
        ("setup", {"schema": '<!DOCTYPE x [<!ENTITY a "aa">]><View>&a;</View>'}, 400, "XML"),
        ("setup", {"schema": "<View/>"}, 400, "RectangleLabels"),
        ("localize", b"no photo", 400, "not an image"),
        ("localize", b"", 400, "not an image"),
        ("localize?tags=unicorn", png(), 400, "unicorn"),
        ("webhook", {"action": "ANNOTATION_CREATED"}, 400, "--out"),
        ("train", {}, 400, "--out"),
        ("nothing", {}, 404, "Not Found"),
        ("health", {}, 405, "Method Not Allowed"),
    ],
)
def test_what_cannot_be_answered_is_said_in_a_sentence(server, path, content, status, word):
    got, answer = ask(f"{server}/{path}", content)
    assert (got, list(answer)) == (status, ["error"])
    assert word in answer["error"]
    assert "Traceback" not in answer["error"]
    assert ask(f"{server}/health")[0] == 200


@pytest.mark.parametrize(("path", "largest"), [("predict", 16), ("localize", 64)])
def test_a_body_that_is_too_large_is_refused_before_it_comes(server, path, largest):
    host, port = server.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=30) as line:
        line.sendall(f"POST /{path} HTTP/1.1\r\nHost: x\r\nContent-Length: {(largest << 20) + 1}\r\n\r\n".encode())
        assert line.recv(100).startswith(b"HTTP/1.1 413")


def test_a_body_that_grows_too_large_is_refused_as_it_comes():
    async def receive():
        return {"type": "http.request", "body": b"12345", "more_body": True}

    with pytest.raises(TooMuch):
        asyncio.run(_body(Request({"type": "http", "headers": []}, receive), 23))


def test_a_photo_of_too_many_pixels_is_refused_by_its_header(server):
    header = struct.pack(">IIBBBBB", 50_000, 50_000, 8, 2, 0, 0, 0)
    chunk = b"IHDR" + header
    bomb = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk))
    idat = b"IDAT" + zlib.compress(b"\0" * 10_000)
    bomb += struct.pack(">I", len(idat) - 4) + idat + struct.pack(">I", zlib.crc32(idat))
    status, answer = ask(f"{server}/localize", bomb)
    assert status == 400
    assert "megapixels" in answer["error"]


def test_pages_of_a_browser_are_refused(server):
    assert ask(f"{server}/localize", png(), Origin="http://evil.example")[0] == 403


def test_a_photo_in_gives_json_out_as_body_and_as_file_of_a_form(server, model, photos):
    file = photos / named(photos, "fish")
    status, answer = ask(f"{server}/localize?tags=fish&masks=1", file.read_bytes())
    (one,) = model(file, "fish")
    assert status == 200
    assert [answer["height"], answer["width"]] == [*one.size]
    (found,) = answer["objects"]
    assert found["label"] == "fish"
    assert found["xyxy"] == [*one.xyxy]
    assert found["rle"]["counts"].encode() == one.rle["counts"]
    form = b'--b\r\nContent-Disposition: form-data; name="photo"; filename="x.jpg"\r\n\r\n%b\r\n--b--\r\n'
    kind = "multipart/form-data; boundary=b"
    headers = {"Content-Type": kind}
    assert ask(f"{server}/localize?tags=fish&masks=1", form % file.read_bytes(), **headers) == (status, answer)
    assert ask(f"{server}/localize", b"--b--\r\n", **headers)[0] == 400
    assert ask(f"{server}/localize", b"no form", **headers)[0] == 400


def test_annotations_are_kept_as_label_studio_exports_them(learning, photos):
    _, annotations, address = learning
    fish, leaf = named(photos, "fish"), named(photos, "leaf")
    for content in (event(1, f"/data/local-files/?d={fish}", (10, 20, 30, 40)), event(2, leaf, (1, 2, 50, 60))):
        assert ask(f"{address}/webhook", content)[0] == 200
    later = event(1, fish, (0, 0, 50, 50), action="ANNOTATION_UPDATED")
    assert ask(f"{address}/webhook", later)[1]["learning"]["corrected_tasks"] == 2
    files = sorted(annotations.folder.iterdir())
    assert [file.name for file in files] == ["task-1.json", "task-2.json"]
    dataset = tb.check(photos)
    height, width = image_size(photos / fish)
    boxes = read_corrections(files, dataset).boxes
    assert boxes[fish, "fish"] == ((0, 0, width / 2, height / 2),)
    assert len(Annotations(annotations.folder)) == 2  # after a restart
    assert ask(f"{address}/webhook", {"action": "ANNOTATIONS_DELETED", "annotations": [{"id": 502}]})[0] == 200
    assert [file.name for file in sorted(annotations.folder.iterdir())] == ["task-1.json"]


@pytest.mark.parametrize(
    "content",
    [
        {"action": "ANNOTATION_CREATED", "task": {"id": "../x", "data": {"image": "a"}}, "annotation": {"id": 1}},
        {"action": "ANNOTATION_CREATED", "task": {"id": 1}, "annotation": {"id": 1, "result": []}},
        {"action": "ANNOTATION_CREATED", "task": {"id": 1, "data": {}}, "annotation": {"id": 1, "result": []}},
        {"action": "ANNOTATION_CREATED", "task": {"id": 1, "data": {"image": "a"}}, "annotation": {"id": 1}},
        {"action": "ANNOTATION_CREATED", "task": {"id": 1, "data": {"image": "a"}}, "annotation": []},
        {"action": "ANNOTATION_CREATED", "task": {"id": True, "data": {"image": "a"}}, "annotation": {"id": 1}},
        {"action": "ANNOTATIONS_DELETED", "annotations": "x"},
        event(1, "a", ("x", 0, 1, 1)),
        event(-1, "a", (0, 0, 1, 1)),
    ],
)
def test_annotations_of_another_form_are_refused_and_nothing_is_stored(learning, content):
    _, annotations, address = learning
    assert ask(f"{address}/webhook", content)[0] == 400
    assert not annotations.folder.exists()


def test_it_learns_in_the_background_saves_and_is_another_version_then(learning, model, photos, tmp_path, monkeypatch):
    monkeypatch.setattr(Learning, "kept", property(lambda _: True))
    learner, _, address = learning
    before = ask(f"{address}/health")[1]["model_version"]
    tags = [file.name for file in sorted(photos.iterdir())]
    tasks = [event(number, named(photos, tag), (10, 10, 50, 50), tag=tag) for number, tag in enumerate(tags)]
    exported = [{**one["task"], "annotations": [one["annotation"]]} for one in tasks]
    assert ask(f"{address}/train", {"annotations": exported})[0] == 200
    assert ask(f"{address}/predict", {"tasks": [exported[0]]})[0] == 200  # while it learns
    learner.join(120.0)
    health = ask(f"{address}/health")[1]
    assert health["model_version"] != before
    assert health["learning"]["measured"]["boxes"] == len(tags)
    assert "left out five ways" in health["learning"]["said"]
    assert ask(f"{address}/versions")[1] == {"versions": [health["model_version"], before]}
    saved = tb.load(tmp_path / "out")
    assert version_of(saved) == health["model_version"]
    assert version_of(model) == before
    rest = Photos(photos, model.classes, None, None), Annotations(tmp_path / "x"), tmp_path / "out"
    again = Learner(model, *rest, Compute(), lambda _: None)
    assert version_of(again.current) == health["model_version"]
    other = Learner(model.with_inference(threshold=0.77), *rest, Compute(), lambda _: None)
    assert other.current is other.base, "what was learned from another model is not taken"


def test_few_corrections_and_photos_that_are_gone_are_said(learning):
    learner, annotations, address = learning
    annotations.put({"id": 1, "data": {"image": "gone.jpg"}}, [{"id": 1, "result": []}])
    assert ask(f"{address}/webhook", {"action": "START_TRAINING"})[0] == 200
    learner.join(60.0)
    assert learner.said.startswith("not learned")


class Studio(BaseHTTPRequestHandler):
    """A Label Studio that serves one photo to whoever has the token, and leads elsewhere."""

    def log_message(self, *_):
        """Nothing on the terminal."""

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.give(b'{"access": "short-lived"}')

    def do_GET(self):
        self.server.asked.append(self.headers["Authorization"])
        if self.path.startswith("/away"):
            self.send_response(302)
            self.send_header("Location", "http://127.0.0.1:1/")
            self.end_headers()
        else:
            self.give(b"x" if self.path.startswith("/text") else png(40, 30))

    def give(self, content):
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


@pytest.fixture
def studio():
    with ThreadingHTTPServer(("127.0.0.1", 0), Studio) as server:
        server.asked = []
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@pytest.mark.parametrize(("token", "sent"), [("abc", "Token abc"), ("a.b.c", "Bearer short-lived"), ("", None)])
def test_photos_are_fetched_from_label_studio_once_with_its_token(studio, tmp_path, token, sent):
    address = f"http://127.0.0.1:{studio.server_port}"
    photos = Photos(None, ("fish",), LabelStudio(address, token), tmp_path)
    first = photos.sample("/data/upload/1/0123abcd-a.png")
    assert photos.sample("/data/upload/1/0123abcd-a.png") == first
    assert studio.asked == [sent]
    assert image_size(first.path) == (30, 40)
    assert first.path.parent == tmp_path / "fetched"


@pytest.mark.parametrize("image", ["http://127.0.0.1:1/x", "//evil.example/x", "file:///etc/passwd", "/away", "/text"])
def test_from_nowhere_else_and_nothing_else_is_fetched(studio, tmp_path, image):
    photos = Photos(None, ("fish",), LabelStudio(f"http://127.0.0.1:{studio.server_port}", "abc"), tmp_path)
    with pytest.raises(InputError):
        photos.sample(image)
    assert not (tmp_path / "fetched").exists()
