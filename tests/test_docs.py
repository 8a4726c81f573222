"""The Python lines in README.md and docs/ run, on a small result folder; so do their pictures."""

import re
import runpy
import shutil

import pytest
from conftest import ROOT
from PIL import Image
from small_results import call, model, only, small_results

from pipeline import export, predict

PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def pages_folder(tmp_path_factory):
    """A folder in which what the pages speak of lies where they say."""
    folder, files = tmp_path_factory.mktemp("project"), model()
    results = small_results()
    (folder / "results").mkdir()
    for name in ("synthetic", "celeba"):
        (folder / "results" / name).symlink_to(results)
    (folder / "drawn").symlink_to(results / "drawn")
    for path in only(files, "weights", "predictions", "metrics", "table", "history").values():
        shutil.copy(path, folder)
    (folder / "photographs").mkdir()
    shutil.copy(results / "drawn/img_align_celeba/000001.jpg", folder / "photographs")
    call(predict, None, weights=files["weights"], photographs=folder / "photographs",
         out=folder / "predicted")  # fmt: skip
    call(export, None, weights=files["weights"], out=folder / "exported")
    return folder


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_python_lines_of_a_page_run(page, pages_folder, monkeypatch):
    monkeypatch.chdir(pages_folder)
    monkeypatch.syspath_prepend(str(ROOT))
    names: dict[str, object] = {}
    for number, block in enumerate(BLOCK.findall(page.read_text(encoding="utf-8"))):
        exec(compile(block, f"{page.name}, block {number + 1}", "exec"), names)


def test_every_artifact_has_a_page_with_lines_to_run():
    with_lines = {page.stem for page in PAGES if BLOCK.search(page.read_text(encoding="utf-8"))}
    artifacts = {"faces", "landmarks", "masks", "models", "metrics", "comparisons", "report"}
    assert artifacts | {"gallery", "predict", "export"} <= with_lines


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_between_pages_and_to_pictures_lead_somewhere(page):
    text = page.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", text):
        if not target.startswith("http"):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_the_readmes_picture_is_made_of_results_and_small_enough(tmp_path):
    script = runpy.run_path(str(ROOT / "docs/pictures.py"))
    picture, evaluation = tmp_path / "learnt.png", model()["metrics"].parent
    script["draw_learnt"](small_results(), evaluation, picture)
    script["write_png"](picture, picture.read_bytes())
    assert picture.stat().st_size < script["MAX_BYTES"]
    assert Image.open(picture).width <= 900
