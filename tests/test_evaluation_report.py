import html.parser
import json
import math
import re
import shutil
from urllib.parse import unquote

import numpy as np
import pytest
from helpers import change, make_sides, random_image, write_image

from tf_pix2pix.evaluation.report import format_number, write_report
from tf_pix2pix.run import Run

EVIL = "<script>alert(\"x\")</script> 'q' & 100%#1? 建物.png"
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


class Page(html.parser.HTMLParser):
    """The elements of a page, with their attributes, and its text outside of scripts and styles."""

    VOID = {"meta", "img", "input", "br", "line", "link"}

    def __init__(self, text):
        super().__init__()
        self.open, self.elements, self.words = [], [], []
        self.feed(text)
        assert self.open == []
        self.text = " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag  # elements are closed in order

    def handle_data(self, data):
        if not {"script", "style"} & {*self.open}:
            self.words.append(data)

    def all(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]


def make_facts(l1=0.2, labels=True):
    return {
        "format_version": 1,
        "source": {
            "run": "/runs/facades", "checkpoint": "best", "step": 7000, "model": None, "split": "test",
            "dataset": "facades", "size": [8, 16], "direction": "BtoA", "note": "the run is still training",
        },
        "images": 3,
        "metrics": {
            "unlisted_metric": {"value": 7.5},
            "psnr": {"value": 14.0, "low": 13.0, "high": 15.0, "n": 3},
            "l1": {"value": l1, "low": l1 - 0.05, "high": l1 + 0.05, "n": 3},
            "grid_energy": {"value": 2.5, "targets": 0.125, "note": "worst at 1/2"},
        },
        "trivial": {
            "median color": {"l1": {"value": 0.30, "n": 3}, "psnr": {"value": 13.5}},
            "black": {"l1": {"value": 0.60, "n": 3}, "psnr": {"value": 7.0}},
        },
        "labels": {
            "classes": ["wall", "door <b>", "sky"],
            "colors": [[10, 20, 30], [200, 0, 0], [5, 5, 250]],
            "confusion": [[90, 10, 0], [3, 1, 0], [0, 0, 0]],
            "class_accuracy": [0.9, 0.25, None],
            "iou": [0.8738, 0.0714, None],
        } if labels else None,
        "label_consistency": {
            "generated": {"pixel_accuracy": {"value": 0.52, "low": 0.5, "high": 0.54}, "mean_iou": {"value": 0.16}},
            "targets": {"pixel_accuracy": {"value": 0.71}, "mean_iou": {"value": 0.33}},
            "network": "U-Net, 400 pairs",
        } if labels else None,
        "left_out": ["LPIPS: --lpips_weights=FILE computes it"],
        "warnings": ["FID on 3 images is biased <i>"],
    }  # fmt: skip


def make_rows(directory, names=("b.png", EVIL, "ä10.png"), l1=(0.1, 0.3, 0.2)):
    """Rows whose image files exist in the folder."""
    rows = []
    for number, (name, error) in enumerate(zip(names, l1, strict=True)):
        paths = {}
        for kind in ("input", "generated", "target", "error"):
            paths[kind] = f"images/{'a#b?%41' if name == EVIL else number}_{kind}.png"
            write_image(directory / paths[kind], random_image(number, 8, 16))
        rows.append({"name": name, "l1": error, "psnr": math.inf if number == 2 else 13.0 + number, "images": paths})
    return rows


@pytest.fixture
def run(tmp_path):
    """A run whose records have warnings."""
    run = Run(tmp_path / "run", change(l1_weight=10.0), make_sides())
    run.write_settings()
    for step in (10, 20, 30):
        run.append_record({"step": step, "gen_l1_loss": 0.3})
        run.append_record({"step": step, "val_l1": 0.3, "health": ["unknown_trouble"] if step > 10 else []})
    return run


@pytest.fixture
def page(tmp_path, run):
    """The report of an evaluation in tmp_path."""
    path = write_report(tmp_path, make_facts(), make_rows(tmp_path), run)
    assert path == tmp_path / "report.html"
    return Page(path.read_text(encoding="utf-8"))


def test_all_that_was_measured_is_there(page):
    for part in (
        *("split test", "dataset facades", "direction BtoA", "step 7,000", "images 3 of 16 × 8 pixels"),
        "the run is still training",
        "Better than nothing L1 is 0.2000 (95 % interval 0.1500 to 0.2500); the best trivial answer, median color,",
        "14.00 dB 13.00 to 15.00 3 13.50 not clearly beaten 7.000",  # PSNR, in a row of the table
        "grid energy excess energy at the strides of the upsampling: a visible grid; lower is better. worst at 1/2",
        "2.500 dB",
        "unlisted metric 7.500",
        "LPIPS: --lpips_weights=FILE computes it",
        "FID on 3 images is biased <i>",
        *("wall 90 10 100 90.0 % 87.4 %", "door <b> 75 25 4 25.0 % 7.1 %", "sky 0 – –"),
        *("generated 0.5200 0.5000 to 0.5400 0.1600", "real 0.7100 0.3300", "U-Net, 400 pairs"),
        "unknown trouble 2 evaluations, steps 20 to 30",
        *("--l1_weight=10.0", "--filters=4", "beta_1=0.5"),
    ):
        assert part in page.text, part
    assert page.text.index("L1 mean absolute") < page.text.index("PSNR peak") < page.text.index("unlisted metric 7")
    assert "--beta_1=" not in page.text  # a default
    assert sum(element.get("class") == "cell full" for element in page.all("td")) == 2


@pytest.mark.parametrize(
    ("l1", "verdict"),
    [(0.24, "Better than nothing"), (0.28, "Not clearly better than nothing"), (0.31, "No better than nothing")],
)
def test_the_verdict_compares_the_interval_with_the_best_trivial_answer(tmp_path, l1, verdict):
    page = Page(write_report(tmp_path, make_facts(l1), [], None).read_text(encoding="utf-8"))
    assert f" {verdict} L1 is " in page.text


def test_the_paired_difference_decides_where_it_is_known(tmp_path):
    facts = make_facts(0.28)
    for value, low, verdict in ((0.02, 0.01, "Better"), (0.02, -0.01, "Not clearly better"), (-0.1, -0.2, "No better")):
        facts["trivial"]["median color"]["l1"]["behind"] = {"value": value, "low": low, "high": value + 0.1}
        page = Page(write_report(tmp_path, facts, [], None).read_text(encoding="utf-8"))
        assert f" {verdict} than nothing L1 is 0.2800 " in page.text


def test_warnings_in_training_have_their_latest_words(tmp_path, run):
    for step in range(40, 50, 2):
        run.append_record({"step": step, "gen_l1_loss": 0.3, "images_per_second": 9.0, "data_wait": step / 100})
    run.append_record({"step": 50, "val_l1": 0.3, "health": ["data_wait"]})
    page = Page(write_report(tmp_path, make_facts(), [], run).read_text(encoding="utf-8"))
    assert "At the last evaluation: training L1 0.3" in page.text
    assert re.search(r"[^.]*44%.* step 50 unknown trouble 2 evaluations", page.text)


def test_the_page_needs_no_network_and_its_images_exist(page, tmp_path):
    links = [element.get(key) for _, element in page.elements for key in ("src", "href") if element.get(key)]
    shown = [unquote(link) for link in links if link.startswith("images/")]
    assert len(shown) == 12 and all((tmp_path / link).is_file() for link in shown)
    (curves,) = [link for link in links if link.startswith("data:image/png;base64,iVBOR")]
    assert all(link.startswith("#") for link in {*links} - {curves} if not link.startswith("images/"))
    assert not re.search(r"https?://|@import|url\(", (tmp_path / "report.html").read_text(encoding="utf-8"))


def test_names_are_escaped(page, tmp_path):
    assert len(page.all("script")) == 2  # both our own: values, and behavior
    assert EVIL in page.text
    assert [pair["data-name"] for pair in page.all("figure") if "data-name" in pair] == ["b.png", EVIL, "ä10.png"]
    assert f"error map of {EVIL}" in [image["alt"] for image in page.all("img")]
    assert not page.all("i")


def test_sorting_has_all_values(page, tmp_path):
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    values = json.loads(re.search(r'<script id="values" type="application/json">(.*?)</script>', text).group(1))
    np.testing.assert_allclose(values, [[0.1, 13], [0.3, 14], [0.2, 1e300]])  # infinite: identical images
    options = [(option["value"], option.get("data-higher")) for option in page.all("option")]
    assert options[:3] == [("0", "0"), ("1", "1"), ("name", None)]


def test_controls_and_images_are_labeled(page):
    for tag in ("img", "svg"):
        assert all(element.get("alt") or element.get("aria-label") for element in page.all(tag))
    ids = {element.get("id") for _, element in page.elements}
    assert {element["aria-labelledby"] for _, element in page.elements if "aria-labelledby" in element} <= ids
    assert {link["href"] for link in page.all("a")} <= {f"#{name}" for name in ids}
    buttons = [button.get("aria-label") for button in page.all("button")]
    assert None not in buttons and f"Enlarge {EVIL}" in buttons


def test_histograms_count_every_finite_value(page, tmp_path):
    titles = re.findall(r"<title>(\d+) from", (tmp_path / "report.html").read_text(encoding="utf-8"))
    assert sum(map(int, titles)) == 3 + 2  # L1, and PSNR without the infinite one
    labels = [svg["aria-label"] for svg in page.all("svg")]
    assert labels[0] == "Histogram of L1 of 3 images, from 0.1000 to 0.3000, mean 0.2000"


def test_the_least_page(tmp_path):
    """Two folders of images without run, labels, trivial answers or image files."""
    facts = make_facts(labels=False) | {"trivial": {}, "left_out": [], "warnings": []}
    facts["source"] = {"run": None, "model": None, "size": None, "split": None}
    facts["metrics"] = {"l1": {"value": math.nan}}
    (tmp_path / "folders").mkdir()
    path = write_report(tmp_path / "folders", facts, [{"name": "a", "l1": 0.5}], None)
    page = Page(path.read_text(encoding="utf-8"))
    assert "folders" in page.text and "than nothing" not in page.text
    assert not page.all("img") and not page.all("dialog")
    assert not list(path.parent.glob("*.partial"))


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.2, "0.2000"), (14, "14.00"), (123456.7, "123,457"), (-0.5, "−0.5000"), (0.0, "0"), (-0.0, "0"), (None, "–"),
     (math.nan, "–"), (math.inf, "∞"), (-math.inf, "−∞"), (0.0000123, "1.230e−05")],
)  # fmt: skip
def test_numbers_have_four_digits(value, text):
    assert format_number(value) == text


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium to open the page in")
def test_in_a_browser(page, tmp_path):
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    options = {"executable_path": CHROMIUM, "args": ["--no-sandbox", "--disable-gpu"]}
    with playwright.sync_playwright() as engine:
        browser = engine.chromium.launch(**options)
        tab = browser.new_page(viewport={"width": 390, "height": 800}, color_scheme="dark")
        problems = []
        tab.on("console", lambda message: problems.append(message.text))
        tab.on("pageerror", lambda error: problems.append(str(error)))
        tab.on("requestfailed", lambda request: problems.append(request.url))
        tab.goto((tmp_path / "report.html").as_uri(), wait_until="networkidle")
        assert tab.evaluate("document.documentElement.scrollWidth") == 390  # nothing is wider than a phone

        def names():
            return tab.evaluate("[...document.querySelectorAll('.pair:not([hidden])')].map(x => x.dataset.name)")

        assert names() == [EVIL, "ä10.png", "b.png"]  # L1, worst first
        tab.select_option("#order", "best")
        assert names() == ["b.png", "ä10.png", EVIL]
        tab.select_option("#metric", "1")
        assert names() == ["ä10.png", EVIL, "b.png"]  # PSNR: infinite is best
        tab.fill("#search", "B.PNG")
        assert names() == ["b.png"]
        tab.fill("#search", "")
        tab.click(".pair button")
        heading = tab.locator("#shown")
        assert heading.text_content() == "ä10.png (1 of 3)"
        assert tab.locator("#large img").count() == 4
        tab.keyboard.press("ArrowRight")
        assert heading.text_content() == f"{EVIL} (2 of 3)"
        tab.keyboard.press("2")
        tab.keyboard.press("ArrowRight")
        assert tab.locator("#large img:visible").get_attribute("alt") == "generated of b.png"
        tab.keyboard.press("ArrowRight")
        assert heading.text_content() == "ä10.png (1 of 3)"
        tab.keyboard.press("Escape")
        assert not tab.locator("dialog").is_visible()
        background = "getComputedStyle(document.body).backgroundColor"
        dark = tab.evaluate(background)
        tab.click("#theme")
        assert tab.evaluate(background) == "rgb(255, 255, 255)" != dark
        browser.close()
    assert problems == []
