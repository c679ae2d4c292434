"""Weights from the Hugging Face Hub: without a network the answer is one sentence, at once."""

import socket
import threading

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


@pytest.mark.usefixtures("nowhere")
def test_a_model_of_the_hub_is_answered_too():
    with pytest.raises(InputError, match="no model of that name can be had from the Hub"):
        load("user/birds")


def test_a_server_is_reachable_where_it_takes_connections(monkeypatch):
    monkeypatch.setattr(hub, "getproxies", dict)
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert hub._reachable(f"http://127.0.0.1:{port}")
    assert not hub._reachable(f"http://127.0.0.1:{port}")
    monkeypatch.setattr(hub, "getproxies", lambda: {"http": "http://proxy"})
    assert hub._reachable(f"http://127.0.0.1:{port}")


def test_a_look_up_that_takes_long_counts_as_no_network(monkeypatch):
    over = threading.Event()

    def look_up(*_):
        over.wait(5)
        raise OSError

    monkeypatch.setattr(hub, "getproxies", dict)
    monkeypatch.setattr(hub, "PATIENCE", 0.1)
    monkeypatch.setattr(socket, "create_connection", look_up)
    assert not hub._reachable("https://huggingface.co")
    over.set()
