"""The network as ONNX is the network in torch."""

import onnxruntime
import pytest
import torch
from networks import at, untrained
from torch import nn

from dermascreen.core.errors import ArchitectureError, ExportError
from dermascreen.network.export import SAFE, FromPixels, export, noise, require_export
from dermascreen.network.model import Network, build


@pytest.fixture
def network() -> Network:
    torch.manual_seed(0)
    return build(untrained("resnet18", hidden=8, dropout=0.5), at(32))


def test_outputs_are_those_of_torch_and_bytes_those_of_the_weights(network, tmp_path) -> None:
    first, second = tmp_path / "a.onnx", tmp_path / "elsewhere" / "b.onnx"
    second.parent.mkdir()
    export(network, first)
    export(network.to(memory_format=torch.channels_last), second)
    assert first.read_bytes() == second.read_bytes()
    assert not [word for word in (b"stack_trace", b"site-packages", b"dermascreen") if word in first.read_bytes()]
    session = onnxruntime.InferenceSession(first.read_bytes(), providers=["CPUExecutionProvider"])
    for pixels in torch.split(noise(32, 3), 1):
        with torch.inference_mode():
            expected = FromPixels(network).eval()(pixels)
        for found, one in zip(session.run(None, {"pixels": pixels.numpy()}), expected, strict=True):
            torch.testing.assert_close(torch.from_numpy(found), one, rtol=1e-4, atol=1e-5)
    before = first.read_bytes()
    with torch.no_grad():
        network.head[-1].bias += 1
    export(network, first)
    assert first.read_bytes() != before


def test_a_file_that_differs_from_torch_is_not_written(network, tmp_path, monkeypatch) -> None:
    kept = FromPixels.forward

    def forward(self: FromPixels, pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        logit, embedding = kept(self, pixels)
        return logit if torch.compiler.is_exporting() else logit + 0.01, embedding

    monkeypatch.setattr(FromPixels, "forward", forward)
    with pytest.raises(ExportError, match=r"network\.onnx was not written: its logits differ from torch's by"):
        export(network, tmp_path / "network.onnx")
    assert not list(tmp_path.iterdir())


class Peeking(nn.Module):
    """What depends on the value of a pixel cannot be traced."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.inner(images if images[0, 0, 0, 0] > 0 else -images)


@pytest.mark.parametrize("architecture", SAFE)
def test_architectures_that_are_not_tried_can_be_exported(architecture, tmp_path) -> None:
    export(build(untrained(architecture), at(32)), tmp_path / "network.onnx")


def test_what_cannot_be_written_is_refused_before_training(network) -> None:
    network.train()
    require_export(network)
    assert network.training
    network.backbone = Peeking(network.backbone)
    with pytest.raises(
        ArchitectureError, match=r"^model\.architecture: resnet18 cannot be written as ONNX, which predic"
    ):
        require_export(network)
    assert network.training
