"""A model on its way out: formats of :data:`MODEL_FORMATS`, and the Hub. Imports nothing heavy."""

from dataclasses import dataclass

POSTPROCESS = "postprocess.py"


@dataclass(frozen=True)
class ModelFormat:
    """One way to write a trained model."""

    about: str
    """What it writes, one line for the command line's help."""
    outputs: tuple[str, ...]
    """Names of all that it writes into the folder; ``--overwrite`` removes them."""
    needs: tuple[str, ...] = ()
    """Modules of the extra of the same name."""


MODEL_FORMATS: dict[str, ModelFormat] = {
    "onnx": ModelFormat(
        "the network as an ONNX graph, and NumPy code that makes its boxes",
        ("model.onnx", "model.onnx.json", POSTPROCESS),
        ("onnx", "onnxscript"),
    ),
    "openvino": ModelFormat(
        "the same as OpenVINO's intermediate representation",
        ("model.xml", "model.bin", "model.xml.json", POSTPROCESS),
        ("onnx", "onnxscript", "openvino"),
    ),
    "hub": ModelFormat("weights and model card as a repository of the Hugging Face Hub", ("hub",)),
}
