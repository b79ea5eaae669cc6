"""WebP pictures are turned as Pillow turns them, however their EXIF is written."""

from __future__ import annotations

import io
import struct

import numpy as np
import pytest

from plait.readers import open_streams
from plait.readers._exif import turned, webp_orientation

PICTURE = np.zeros((20, 30, 3), np.uint8)
PICTURE[:10, :10], PICTURE[10:, 20:], PICTURE[:5, 25:] = (200, 10, 10), (10, 200, 10), (10, 10, 200)


def _webp(orientation, *, prefix=b"", order="<", flag=True):
    """A lossless WebP by OpenCV, put into an extended file with an EXIF chunk."""
    import cv2

    plain = cv2.imencode(".webp", PICTURE[..., ::-1], [cv2.IMWRITE_WEBP_QUALITY, 101])[1].tobytes()
    mark = b"II*\0" if order == "<" else b"MM\0*"
    entry = struct.pack(order + "HHIHH", 0x0112, 3, 1, orientation, 0)
    exif = prefix + mark + struct.pack(order + "IH", 8, 1) + entry + bytes(4)
    head = struct.pack("<B3xI", 8 if flag else 0, 29)[:7] + struct.pack("<I", 19)[:3]
    chunks = _chunk(b"VP8X", head) + plain[12:] + _chunk(b"EXIF", exif)
    return b"RIFF" + struct.pack("<I", 4 + len(chunks)) + b"WEBP" + chunks


def _chunk(kind, data):
    return kind + struct.pack("<I", len(data)) + data + b"\0" * (len(data) % 2)


@pytest.mark.parametrize("how", [{}, {"prefix": b"Exif\0\0"}, {"order": ">"}, {"flag": False}])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_webp_picture_is_turned(orientation, how, tmp_path):
    image = pytest.importorskip("PIL.Image")
    from PIL import ImageOps

    (tmp_path / "a.webp").write_bytes(_webp(orientation, **how))
    plain = image.open(io.BytesIO(_webp(orientation)))
    want = np.asarray(ImageOps.exif_transpose(plain).convert("RGB"))
    (tmp_path / "a.frames").mkdir()
    (tmp_path / "a.frames" / "1.webp").write_bytes(_webp(orientation, **how))
    assert np.array_equal(open_streams(tmp_path / "a.webp")["image"].read()[0], want)
    assert np.array_equal(open_streams(tmp_path / "a.frames", None, {"rate": 1})["frames"].read()[0], want)
    grey = open_streams(tmp_path / "a.webp", None, {"grey": True})["image"]
    assert grey.shape[1:3] == want.shape[:2]


def test_orientations_that_make_no_sense_turn_nothing():
    for data in (_webp(9), _webp(0), _webp(6)[:-20], _webp(6).replace(b"II*\0", b"XX*\0")):
        assert webp_orientation(data) == 1
    assert webp_orientation(b"\xff\xd8\xff\xe1") is None
    assert np.array_equal(turned(PICTURE, 1), PICTURE)
