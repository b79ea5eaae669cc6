"""The page of live streams, in a real browser."""

from __future__ import annotations

import itertools
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.serving.test_live import packets
from tests.serving.world import OPTIONS, ROOT, serving

CONTRAST = (ROOT / "tests/report/contrast.js").read_text(encoding="utf-8")

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Debian's Chromium."""
    program = shutil.which("chromium")
    if program is None:
        pytest.skip("chromium is not installed")
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    own = ["--no-sandbox", "--disable-gpu", "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
    with playwright.sync_playwright() as started:
        found = started.chromium.launch(executable_path=program, args=own)
        yield found
        found.close()


def test_the_page_shows_streams_and_answers_as_they_come(browser: Any, run: Path, tmp_path: Path) -> None:
    from websockets.sync.client import connect

    with serving(run, token="sesame") as server, connect(f"{server.socket}?token=sesame", proxy=None) as ws:
        page = browser.new_page(viewport={"width": 1200, "height": 900})
        asked, wrong = [], []
        page.on("request", lambda r: asked.append(r.url))
        page.on("pageerror", lambda e: wrong.append(str(e)))
        page.goto(server.address)
        page.fill("#token", "sesame")
        page.keyboard.press("Enter")
        page.wait_for_function("document.getElementById('state').textContent.startsWith('No sessions')")
        ws.send(json.dumps({"type": "open", "options": {**OPTIONS, "late": "revise"}}))
        ws.recv()
        page.wait_for_selector("figure")
        for i, one in enumerate(packets()[:-2]):
            ws.send(json.dumps({"seq": i + 1, **one}))
            ws.recv()
        page.wait_for_function("document.getElementById('answers').rows.length >= 7")
        assert page.eval_on_selector_all("figcaption b", "all => all.map(b => b.textContent)") == ["wrist", "chest"]
        drawn = "c => c.getContext('2d').getImageData(0, 0, c.width, c.height).data.some(x => x)"
        page.wait_for_timeout(300)
        assert page.eval_on_selector("canvas", drawn)
        assert page.text_content("#now") in ("a", "b")
        for width, scheme in itertools.product((1200, 400), ("light", "dark")):
            page.set_viewport_size({"width": width, "height": 900})
            page.emulate_media(color_scheme=scheme)
            assert page.evaluate("document.documentElement.scrollWidth") == width
            read = page.evaluate(CONTRAST)
            assert read["seen"] > 10
            assert read["found"] == []
            page.screenshot(path=tmp_path / f"{width}-{scheme}.png")
        assert all(url.startswith((server.address, server.socket, "data:")) for url in asked)
        assert wrong == []
        page.close()


def test_the_example_sends_microphone_and_camera(browser: Any, run: Path) -> None:
    """The example's own model is not here: what it sends is refused by name, and told to the user."""
    with serving(run, "--page", str(ROOT / "examples/microphone.html")) as server:
        page = browser.new_page(viewport={"width": 400, "height": 900})
        wrong: list[str] = []
        page.on("pageerror", lambda e: wrong.append(str(e)))
        page.goto(f"{server.address}/app")
        page.fill("#sound", "chest")
        page.fill("#rate", "20")
        page.fill("#video", "")
        page.click("#start")
        page.wait_for_function("document.getElementById('answers').textContent.includes('%')", timeout=30_000)
        assert page.evaluate("document.documentElement.scrollWidth") == 400
        page.click("#stop")
        page.wait_for_function("document.getElementById('state').textContent.includes('closed')")
        assert wrong == []
        page.close()
