"""Weights from the Hugging Face Hub: without a network the answer is one sentence, at once."""

import socket
import threading
from contextlib import nullcontext

import pytest
from huggingface_hub import constants

from torchbas.api import load
from torchbas.errors import InputError
from torchbas.model import hub
from torchbas.model.extractor import build_extractor
from torchbas.wsss.irn.network import IRNet
from torchbas.wsss.segmenter.pretrained import fetch_trunk


@pytest.fixture
def nowhere(monkeypatch, tmp_path):
    """A machine without a network, which has fetched nothing before."""

    def no_name(*_, **__):
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(hub, "getproxies", dict)
    monkeypatch.setattr(socket, "create_connection", no_name)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))


CALLS = {
    "--weights": lambda: build_extractor("mobilenetv1", weights=True),
    "--irn-weights": lambda: IRNet.initialized("resnet50_wsss", True),
    "--segmenter-weights": lambda: fetch_trunk("deeplabv2_resnet50"),
}


@pytest.mark.parametrize("flag", CALLS)
@pytest.mark.usefixtures("nowhere")
def test_the_sentence_names_the_flag_and_where_the_weights_are(flag, caplog):
    with pytest.raises(
        InputError, match=rf"https://huggingface\.co/timm/\S+ cannot be fetched: .* {flag} FILE"
    ) as said:
        CALLS[flag]()
    assert f"{flag} none" in str(said.value)
    assert "Retry" not in caplog.text
    assert not constants.HF_HUB_OFFLINE, "it is asked again next time"


@pytest.mark.parametrize("name", ["deeplabv3plus:resnet50.nope", "deeplabv2_resnet200"])
def test_weights_that_timm_does_not_have_are_said(name):
    with pytest.raises(InputError, match=r"timm has no pretrained weights resnet.* --segmenter-weights FILE"):
        fetch_trunk(name)


@pytest.mark.usefixtures("nowhere")
def test_a_model_of_the_hub_is_answered_too(monkeypatch):
    def asked(*_, **__):
        assert constants.HF_HUB_OFFLINE
        raise OSError

    monkeypatch.setattr("huggingface_hub.snapshot_download", asked)
    with pytest.raises(InputError, match="no model of that name can be had from the Hub"):
        load("user/birds")


def test_a_server_is_reachable_where_it_takes_connections(monkeypatch):
    monkeypatch.setattr(hub, "getproxies", dict)
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert hub._reachable(f"http://127.0.0.1:{port}")
    assert not hub._reachable(f"http://127.0.0.1:{port}")
    for kind in ("http", "all"):
        monkeypatch.setattr(hub, "getproxies", lambda kind=kind: {kind: "http://proxy"})
        assert hub._reachable(f"http://127.0.0.1:{port}")


@pytest.mark.parametrize(("address", "port"), [("http://a", 80), ("https://a", 443), ("http://a:8", 8)])
def test_the_port_is_that_of_the_address(address, port, monkeypatch):
    asked = []
    monkeypatch.setattr(hub, "getproxies", dict)
    monkeypatch.setattr(socket, "create_connection", lambda place, _: asked.append(place) or nullcontext())
    assert hub._reachable(address)
    assert asked == [("a", port)]


def test_a_look_up_that_takes_long_counts_as_no_network(monkeypatch):
    over = threading.Event()

    def look_up(*_):
        over.wait(5)
        raise OSError

    monkeypatch.setattr(hub, "getproxies", dict)
    monkeypatch.setattr(hub, "LONGEST", 0.1)
    monkeypatch.setattr(socket, "create_connection", look_up)
    assert not hub._reachable("https://huggingface.co")
    over.set()
