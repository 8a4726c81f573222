"""Our pages and Snakemake's report in a real browser: Debian's Chromium, without a window.

They open from disk without an error in the console and without a request to the network; their
pictures load; they are readable, on a phone as well.
"""

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import ROOT, lacking
from PIL import Image
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from small_results import call, model, only, small_results

from pipeline import figures, gallery, predict
from pipeline.core.faces.store import open_faces

pytestmark = pytest.mark.browser

PHONE, DESK = (390, 844), (1280, 900)
LOADED = "return [...document.images].filter(i => i.src && i.naturalWidth == 0).map(i => i.alt)"


@pytest.fixture(scope="module")
def browser():
    """Chromium that keeps its console and every request that it makes."""
    programs = shutil.which("chromium"), shutil.which("chromedriver")
    if not all(programs):
        lacking(
            "no Chromium here (apt-get install chromium chromium-driver)",
            "ATTPARSE_REQUIRE_BROWSER",
        )
    options = webdriver.ChromeOptions()
    options.binary_location = programs[0]
    for switch in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage"):
        options.add_argument(switch)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(programs[1]))
    yield driver
    driver.quit()


def look(browser, path, size=DESK):
    """Open a page from disk in a window of this size, past logs emptied."""
    browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": size[0], "height": size[1], "deviceScaleFactor": 1, "mobile": size == PHONE},
    )
    browser.get("about:blank")
    browser.get_log("browser")
    browser.get_log("performance")
    browser.get(path.as_uri())


def complaints(browser):
    """What the console says, other than information."""
    return [line for line in browser.get_log("browser") if line["level"] in ("SEVERE", "WARNING")]


def requests(browser):
    """Addresses that the page has asked for, other than files and what lies inside of it."""
    messages = [json.loads(line["message"])["message"] for line in browser.get_log("performance")]
    asked = [m["params"] for m in messages if m["method"] == "Network.requestWillBeSent"]
    urls = [one["request"]["url"] for one in asked]
    return [url for url in urls if not url.startswith(("file:", "data:", "about:", "blob:"))]


def unloaded(browser):
    """Alt texts of pictures that have not loaded."""
    time.sleep(0.3)
    return browser.execute_script(LOADED)


def violations(browser):
    """What axe finds wrong: contrast, alt texts, names, landmarks."""
    spec = importlib.util.find_spec("axe_core_python")
    assert spec is not None, "axe is not installed (envs/development.txt)"
    assert spec.origin is not None
    browser.execute_script(Path(spec.origin).with_name("axe.min.js").read_text(encoding="utf-8"))
    found = browser.execute_async_script("axe.run().then(arguments[arguments.length - 1])")
    assert found["passes"]
    return [
        (rule["id"], [node["html"] for node in rule["nodes"]][:3]) for rule in found["violations"]
    ]


def overhang(browser):
    """Pixels by which a page is wider than its window."""
    return browser.execute_script(
        "return document.documentElement.scrollWidth - document.documentElement.clientWidth"
    )


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """Each of our pages by name, with a photograph and a folder of nasty names among them."""
    out, files = tmp_path_factory.mktemp("pages"), model()
    call(gallery, None, **only(files, "weights", "faces", "predictions"), out=out / "gallery.html")
    faces = open_faces(files["faces"])
    photographs = out / "<script>alert(1)<b>"
    photographs.mkdir()
    for row in range(3):
        (photographs / faces.names[row]).write_bytes(faces.encoded(row))
    Image.fromarray(faces.image(3)).save(photographs / '"><script>throw 1<script>.png')
    (photographs / "broken & corrupt.jpg").write_bytes(b"no image")
    call(predict, None, weights=files["weights"], photographs=photographs, out=out)
    call(figures, {"models": {"m": {"width": 1}}, "dataset": "d"}, "configuration", out=out)
    return {path.stem: path for path in out.glob("*.html")}


@pytest.mark.parametrize("name", ["gallery", "index", "configuration"])
def test_a_page_opens_quietly_and_is_readable(browser, pages, name):
    look(browser, pages[name])
    assert unloaded(browser) == []
    assert violations(browser) == []
    assert complaints(browser) == []
    assert requests(browser) == []


@pytest.mark.parametrize("name", ["gallery", "index", "configuration"])
def test_a_page_does_not_scroll_sideways_on_a_phone(browser, pages, name):
    look(browser, pages[name], PHONE)
    assert overhang(browser) <= 0
    assert violations(browser) == []


def test_clicking_an_attribute_shows_its_faces(browser, pages):
    look(browser, pages["gallery"])
    for name in ("Smiling", "Wearing Hat"):
        button = browser.find_element(By.XPATH, f"//nav/button[text()='{name}']")
        button.click()
        assert button.get_attribute("aria-pressed") == "true"
        assert browser.find_element(By.ID, "name").text == name
        shown = browser.find_elements(By.CSS_SELECTOR, "#kinds figure img")
        assert shown
        assert any(name in image.get_attribute("alt") for image in shown)
        assert unloaded(browser) == []
    assert len(browser.find_elements(By.CSS_SELECTOR, "[aria-pressed=true]")) == 1


def test_choosing_an_attribute_of_a_photograph_shows_where_it_was_seen(browser, pages):
    look(browser, pages["index"])
    article = max(
        browser.find_elements(By.TAG_NAME, "article"),
        key=lambda one: len(one.find_elements(By.TAG_NAME, "button")),
    )
    place = article.find_element(By.CSS_SELECTOR, "img.map")
    button = article.find_elements(By.TAG_NAME, "button")[-1]
    before = place.get_attribute("src")
    button.click()
    assert place.get_attribute("alt") == f"Where {button.get_attribute('data-words')} was seen"
    assert place.get_attribute("src") != before
    assert unloaded(browser) == []


def test_nasty_names_are_read_and_not_run(browser, pages):
    look(browser, pages["index"])
    headings = [one.text for one in browser.find_elements(By.TAG_NAME, "h2")]
    assert '"><script>throw 1<script>.png' in headings
    assert browser.find_element(By.TAG_NAME, "h1").text == "Faces in <script>alert(1)<b>"
    assert "broken & corrupt.jpg" in browser.find_element(By.TAG_NAME, "ul").text
    assert len(browser.find_elements(By.TAG_NAME, "script")) == 1


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """Snakemake's report of the small results, whose figures it makes first."""
    project = tmp_path_factory.mktemp("report")
    for name in ("workflow", "pipeline", "envs", "profiles"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / name, project / name, ignore=ignored)
    for name in ("Snakefile", "config.yaml"):
        shutil.copy(ROOT / name, project)
    shutil.copytree(small_results(), project / "results/synthetic")
    (project / "small.yaml").write_text(
        "dataset: synthetic\ntrain: [attparsenet]\nmodels: {attparsenet: {epochs: 1}}\n"
    )
    judged = "results/synthetic/attparsenet/seed-64/on-synthetic"
    targets = [f"{judged}/figures/{name}" for name in ("training.svg", "maps.png", "gallery.html")]
    targets += ["results/synthetic/figures/configuration.html"]
    snakemake(project, "--touch", f"{judged}/metrics.json", "results/synthetic/masks.json")
    snakemake(project, "--rerun-triggers", "mtime", "--", *targets)
    snakemake(project, "--report", "report.html", "--", *targets)
    return project / "report.html"


def snakemake(project, *words):
    command = [sys.executable, "-m", "snakemake", "--cores", "1", "--configfile", "small.yaml"]
    environment = {**os.environ, "https_proxy": "http://127.0.0.1:9", "http_proxy": ""}
    run = subprocess.run(
        [*command, *words],
        cwd=project,
        env=environment,
        text=True,
        capture_output=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr


def test_the_report_opens_offline_and_shows_its_figures(browser, report):
    look(browser, report)
    assert "Snakemake" in browser.title
    results = browser.execute_script("return results")
    assert any(path.endswith("attributes.svg") for path in results)
    assert all(one["caption"] for one in results.values())
    pictures = [one for one in results.values() if one["mime_type"].startswith("image/")]
    assert len(pictures) >= 9
    for one in pictures:
        width = browser.execute_async_script(
            "const i = new Image(); const done = arguments[1];"
            "i.onload = () => done(i.naturalWidth); i.onerror = () => done(0);"
            "i.src = arguments[0]",
            one["data_uri"],
        )
        assert width > 300, one["name"]
    for category in ("3 Learning", "5 Faces"):
        assert category in browser.find_element(By.TAG_NAME, "body").text
    assert [line for line in complaints(browser) if line["level"] == "SEVERE"] == []
    assert requests(browser) == []


def choose(browser, report, figure):
    """Go to a figure as a reader does."""
    look(browser, report)
    browser.find_element(By.XPATH, "//a[span[text()='5 Faces']]").click()
    row = browser.find_element(By.XPATH, f"//tr[td[contains(., '{figure}')]]")
    row.find_element(By.CSS_SELECTOR, "a[type=button]").click()


def test_the_report_shows_a_figure_when_it_is_chosen(browser, report):
    choose(browser, report, "maps and masks")
    assert unloaded(browser) == []
    figure = browser.find_element(By.CSS_SELECTOR, "#app .grow.h-screen img")
    assert int(figure.get_attribute("naturalWidth")) > 300


def test_the_report_shows_the_gallery_in_itself(browser, report):
    choose(browser, report, "gallery")
    browser.switch_to.frame(browser.find_element(By.CSS_SELECTOR, "#app iframe"))
    browser.find_element(By.XPATH, "//nav/button[text()='Smiling']").click()
    assert browser.find_elements(By.CSS_SELECTOR, "#kinds figure img")
    assert unloaded(browser) == []
    browser.switch_to.default_content()
    assert [line for line in complaints(browser) if line["level"] == "SEVERE"] == []
    assert requests(browser) == []
