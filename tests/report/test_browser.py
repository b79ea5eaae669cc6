"""The pages in a real browser: nothing is loaded, nothing fails, all is readable on any screen and on paper."""

from __future__ import annotations

import itertools
import json
import runpy
import shutil
import threading
from functools import partial
from html.parser import HTMLParser
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from plait.comparison.report import render_comparison
from plait.comparison.runs import Asked, compared
from plait.comparison.runs_report import render_runs
from plait.evaluation.explanation.neighbours import Near
from plait.evaluation.summary import summarise
from plait.report.evidence import EvidencePage
from plait.report.report import render_report
from plait.tasks.classify import Classify

TESTS = Path(__file__).parents[1]
CONTRAST = (Path(__file__).parent / "contrast.js").read_text(encoding="utf-8")
PAGES = ["report", "explained", "runs", "compare"]
NAMES = ["video", "a|b <i>text</i> 😀"]

pytestmark = pytest.mark.slow


def report_page(make_replicates):
    """A report with every section that there is."""
    own = runpy.run_path(str(TESTS / "report/test_report.py"))["sections"](NAMES)
    more = runpy.run_path(str(TESTS / "laws/test_sections.py"))
    made = make_replicates(NAMES, seeds=1, folds=1, n=90)
    about = {"run": "mood", "corpus": "talks", "target": "mood", "unit": "clip"}
    found = summarise(Classify(["calm", "<b>angry</b>", "sad"]), made, about=about, sections=own)
    found["robustness"]["corruptions"] = more["EXPLAINED"]["robustness"]["corruptions"]
    return render_report({**found, **{k: v for k, v in more["EXPLAINED"].items() if k not in found}})


def explained_page():
    made = runpy.run_path(str(TESTS / "report/test_explained.py"))
    page = EvidencePage("mood")
    near = Near(("t1", NAMES[1]), ("yes", "<b>no</b>"), (0.5, 1.0), 0.4, 0.8)
    shares = {m: np.linspace(0, 1, 30) / 60 for m in made["STREAMS"]}
    page.add(made["one"](near=near, attention=shares), made["STREAMS"])
    page.add(made["one"](recording="far", near=near._replace(far=0.3)), made["STREAMS"])
    return page.render()


def runs_page(make_replicates, classify):
    about = {"corpus": "talks", "name": "classify", "target": "mood"}
    asked = []
    for name, strength in (("base", (0.1, 0.3)), (NAMES[1], (1.0, 2.0)), ("third", (0.2, 0.3))):
        outputs = make_replicates(["see", "hear"], seeds=2, folds=1, strength=strength)
        truths = {i: str(t) for o in outputs for i, t in zip(o.items, o.target)}
        asked.append(Asked(name, classify(["x", "y", "z"]), about, outputs, truths, {}, [9], {"fusion": name}))
    return render_runs(compared(asked))


@pytest.fixture(scope="module")
def browser():
    """Debian's Chromium."""
    program = shutil.which("chromium")
    if program is None:
        pytest.skip("chromium is not installed")
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with playwright.sync_playwright() as started:
        # Without a sandbox, since tests may run as root; the pages are our own.
        found = started.chromium.launch(executable_path=program, args=["--no-sandbox", "--disable-gpu"])
        yield found
        found.close()


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """The address and the folder of a server, as a browser asks only a server for a favicon."""
    folder = tmp_path_factory.mktemp("pages")
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=folder)) as found:
        threading.Thread(target=found.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{found.server_port}", folder
        found.shutdown()


@pytest.fixture
def served(server, make_replicates, classify):
    """The addresses of all pages; they are made once."""
    address, folder = server
    if not any(folder.iterdir()):
        gait = json.loads((TESTS.parent / "docs/compare/gait.json").read_text(encoding="utf-8"))
        pages = [report_page(make_replicates), explained_page(), runs_page(make_replicates, classify)]
        for name, html in zip(PAGES, [*pages, render_comparison(gait)]):
            (folder / f"{name}.html").write_text(html, encoding="utf-8")
    return {name: f"{address}/{name}.html" for name in PAGES}


class Opened:
    """A page with what it asked for, and what went wrong."""

    def __init__(self, browser, address, width, scheme="light"):
        self.page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
        self.asked, self.wrong = [], []
        self.page.on("request", lambda r: self.asked.append(r.url))
        self.page.on("console", lambda m: self.wrong.append(m.text))
        self.page.on("pageerror", lambda e: self.wrong.append(str(e)))
        self.page.goto(address, wait_until="load")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.page.close()


OVERFLOW = """() => [...document.querySelectorAll('body *')].filter(e => !e.closest('.scroll') && !e.closest('.hide')
  && e.getBoundingClientRect().right > innerWidth + 1).map(e => e.tagName + '.' + e.className).slice(0, 5)"""


def test_pages_load_nothing_and_are_readable_on_any_screen(browser, served):
    for name, address in served.items():
        with Opened(browser, address, 1200) as one:
            one.page.eval_on_selector_all("details", "all => all.forEach(d => d.open = true)")
            for width, scheme in itertools.product((1200, 400), ("light", "dark")):
                where = f"{name}, {width} px, {scheme}"
                one.page.set_viewport_size({"width": width, "height": 900})
                one.page.emulate_media(color_scheme=scheme)
                assert one.page.evaluate("document.documentElement.scrollWidth") == width, where
                assert one.page.evaluate(OVERFLOW) == [], where
                read = one.page.evaluate(CONTRAST)
                assert read["seen"] > 30, where
                assert read["found"] == [], where
            assert [url for url in one.asked if not url.startswith("data:")] == [address], name
            assert one.wrong == [], name


def test_the_contrast_and_the_width_can_fail(browser, tmp_path):
    page = tmp_path / "bad.html"
    page.write_text(
        "<body style='background:#fff'><p style='color:#999'>pale</p><p style='color:#777;font-size:30px'>large</p>"
        "<svg width=90 height=40><rect width=90 height=40 fill='#0072b2'/><text y=20 fill='#1b1e22'>dark</text></svg>"
        "<p style='width:900px'>wide</p><script>console.error('it fails')</script>"
    )
    with Opened(browser, page.as_uri(), 400) as one:
        told = one.page.evaluate(CONTRAST)["found"]
        assert [line.split(":")[0] for line in told] == ["pale", "dark"]
        assert one.page.evaluate(OVERFLOW) == ["P."]
        assert one.wrong == ["it fails"]


def test_marks_say_their_values_under_the_pointer_and_below(browser, served):
    with Opened(browser, served["report"], 1200) as one:
        titles = one.page.eval_on_selector_all("figure svg title", "all => all.map(t => t.textContent)")
        assert len(titles) > 40
        assert any("10 dB: 50.0\xa0%" in t for t in titles)
        missed = one.page.evaluate("""() => [...document.querySelectorAll('figure svg use:has(> title)')].filter(u => {
            u.scrollIntoView({block: 'center'});
            const box = u.getBoundingClientRect();
            const on = document.elementFromPoint(box.x + box.width / 2, box.y + box.height / 2);
            return !on || !on.closest('svg') || !(on.querySelector('title') || on.parentElement.querySelector('title'));
        }).length""")
        assert missed == 0, "marks that the pointer cannot reach"
        summary = one.page.locator(".values summary").first
        summary.focus()
        one.page.keyboard.press("Enter")
        assert one.page.locator(".values").first.locator("p").first.is_visible()


class Headings(HTMLParser):
    """The headings of a page's sections, and the lines of its folded parts."""

    def __init__(self, html):
        super().__init__()
        self.texts, self.inside = [], False
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.inside = tag in ("h2", "summary")

    def handle_endtag(self, tag):
        self.inside = False

    def handle_data(self, data):
        self.texts += [data] if self.inside and data.strip() else []


def test_on_paper_there_is_every_section_with_what_is_folded_on_the_screen(browser, served, tmp_path):
    pdfium = pytest.importorskip("pypdfium2", reason="pypdfium2 is not installed")
    for name, address in served.items():
        with Opened(browser, address, 1200, "dark") as one:
            one.page.pdf(path=tmp_path / "page.pdf", format="A4")
            html = one.page.content()
        with pdfium.PdfDocument(tmp_path / "page.pdf") as paper:
            text = " ".join(" ".join(p.get_textpage().get_text_range() for p in paper).split())
            corner = paper[0].render().to_numpy()[0, 0, :3]
        assert (corner == 255).all(), "paper is white, in a dark browser too"
        wanted = Headings(html).texts
        assert len(wanted) >= 2
        assert [h for h in wanted if " ".join(h.split())[:30] not in text] == [], name
        if name == "report":
            assert "10 dB: 50.0 %" in text, "the values below a plot"
