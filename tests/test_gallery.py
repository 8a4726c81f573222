"""The gallery: the right faces of each kind, in one file, with names shown as text."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest
from small_results import call, model, only

from pipeline import gallery
from pipeline.core.evaluation.evaluated import open_evaluated
from pipeline.core.evaluation.inference import Inference
from pipeline.core.evaluation.label_issues import label_issues
from pipeline.core.presentation.figures.faces import KINDS

NASTY = '</script><script>alert("1")</script><img src=x onerror=alert(2)>.jpg'


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    out = tmp_path_factory.mktemp("gallery") / "gallery.html"
    call(gallery, None, **only(model(), "weights", "faces", "predictions"), out=out, each=2)
    return out.read_text()


def data(page, name):
    """What the page's script is given."""
    return json.loads(re.search(rf"^const {name} = (.*);$", page, re.MULTILINE)[1])


def test_each_attribute_shows_faces_of_each_kind_that_are_of_that_kind(page):
    test = open_evaluated(*only(model(), "faces", "predictions").values())
    faces = dict(zip(test.predictions.names, range(len(test.rows)), strict=True))
    shown = data(page, "attributes")
    assert [one["name"] for one in shown] == test.predictions.attributes
    for k, one in enumerate(shown):
        assert [kind["kind"] for kind in one["kinds"]] == [*KINDS, gallery.ISSUE]
        assert sum(kind["count"] for kind in one["kinds"][:4]) == len(test.rows)
        for kind in one["kinds"][:4]:
            correct, positive = kind["kind"].split()
            assert len(kind["faces"]) == min(kind["count"], 2)
            for cell in kind["faces"]:
                face = faces[cell["name"]]
                assert test.predicted[face, k] == (positive == "positive")
                assert (test.labels[face, k] == test.predicted[face, k]) == (correct == "true")
                assert cell["label"] == ("yes" if test.labels[face, k] else "no")


def test_every_face_shown_has_its_picture_and_the_predicted_map(page):
    pictures = data(page, "faces")
    kinds = [kind for one in data(page, "attributes") for kind in one["kinds"]]
    assert any(kind["faces"] for kind in kinds)
    for kind in kinds:
        for cell in kind["faces"]:
            assert pictures[str(cell["face"])].startswith("data:image/jpeg;base64,")
            if kind["kind"] == "label issue":
                assert cell["map"] is None
            else:
                assert cell["map"].startswith("data:image/jpeg;base64,")


def test_the_page_names_no_place_on_the_network(page):
    assert not re.findall(r"https?://|//[a-z]+\.[a-z]", page.replace("data:image", ""))[:1]
    assert "default-src 'none'" in page


def test_names_from_the_data_are_text_and_never_markup(tmp_path):
    files = model()
    test = open_evaluated(files["faces"], files["predictions"])
    names = [f"{k}{NASTY}" for k in range(len(test.predictions.names))]
    nasty = test._replace(predictions=replace(test.predictions, names=names))
    out = tmp_path / "gallery.html"
    gallery.write_gallery(out, NASTY, Inference(files["weights"]), nasty, each=1)
    page = out.read_text()
    assert page.count("<script>") == page.count("</script>") == 1
    assert "<img src=x" not in page
    cells = [c for one in data(page, "attributes") for kind in one["kinds"] for c in kind["faces"]]
    assert all(cell["name"].endswith(NASTY) for cell in cells)


def test_a_model_with_attention_shows_one_map_a_face_for_its_attribute(tmp_path):
    out = tmp_path / "gallery.html"
    call(gallery, None, **only(model("cnn_rnn"), "weights", "faces", "predictions"), out=out)
    assert [one["name"] for one in data(out.read_text(), "attributes")] == ["Male"]
    assert "attended to each place" in out.read_text()


def test_the_most_confident_predictions_are_shown(page):
    test = open_evaluated(*only(model(), "faces", "predictions").values())
    faces = dict(zip(test.predictions.names, range(len(test.rows)), strict=True))
    for k, one in enumerate(data(page, "attributes")):
        for kind in one["kinds"][:4]:
            correct, positive = kind["kind"].split()
            is_kind = (test.predicted[:, k] == (positive == "positive")) & (
                (test.labels[:, k] == test.predicted[:, k]) == (correct == "true")
            )
            confidence = np.sort(abs(test.probabilities[is_kind, k] - 0.5))[::-1][:2]
            shown = [abs(test.probabilities[faces[c["name"]], k] - 0.5) for c in kind["faces"]]
            np.testing.assert_allclose(shown, confidence)


def test_the_labels_that_the_model_contradicts_are_those_of_its_table_in_its_order(page):
    test = open_evaluated(*only(model(), "faces", "predictions").values())
    table, shown = label_issues(test.predictions), 0
    for one in data(page, "attributes"):
        of = table[table["attribute"] == one["name"]]
        (kind,) = [kind for kind in one["kinds"] if kind["kind"] == gallery.ISSUE]
        assert kind["count"] == len(of)
        assert [cell["name"] for cell in kind["faces"]] == of["image_name"].tolist()[:2]
        labels = ["yes" if value else "no" for value in of["value"]]
        assert [cell["label"] for cell in kind["faces"]] == labels[:2]
        shown += len(kind["faces"])
    assert shown
