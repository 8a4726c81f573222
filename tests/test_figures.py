"""Figures: what they show is computed again by other means, and equal results are equal files."""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as reference
from small_results import call, model, only, small_results

from pipeline import data_figures, figures
from pipeline.core.evaluation.evaluated import open_evaluated
from pipeline.core.evaluation.inference import Inference, heat_maps
from pipeline.core.evaluation.metrics import calibration, precision_recall_curve
from pipeline.core.faces.store import Face, write_faces
from pipeline.core.masks.store import open_masks
from pipeline.core.presentation.figures import faces, localization, performance
from pipeline.core.presentation.style import readable


@pytest.fixture(scope="module")
def all_figures(tmp_path_factory):
    """All figures of AttParseNet and its data."""
    out, files, data = tmp_path_factory.mktemp("figures"), model(), small_results()
    draw_numbers(files, out)
    call(figures, None, "where", **only(files, "weights", "faces", "predictions"), out=out)
    call(figures, None, "maps", **only(files, "weights", "faces", "predictions", "masks"), out=out)
    call(figures, None, "data", faces=files["faces"], rejected=data / "rejected.csv",
         landmarks=data / "landmarks.json", masks=data / "masks.json", out=out)  # fmt: skip
    return out


def draw_numbers(files, out):
    call(figures, None, "numbers", **only(files, "run", "history", "predictions", "metrics",
                                          "table"), out=out)  # fmt: skip


def test_every_figure_is_drawn_as_svg_or_png(all_figures):
    kinds = {path.name: path.read_bytes()[:5] for path in all_figures.iterdir()}
    assert {name for name in kinds if name.endswith(".svg")} == {
        "training.svg", "attributes.svg", "reliability.svg", "precision_recall.svg",
        "confusion.svg", "groups.svg", "counts.svg", "balance.svg",
    }  # fmt: skip
    assert {name for name in kinds if name.endswith(".png")} == {
        "grid.png", "examples.png", "maps.png", "positives_negatives.png", "panel.png",
    }  # fmt: skip
    for name, start in kinds.items():
        assert start == (b"\x89PNG\r" if name.endswith("png") else b"<?xml")


def test_equal_results_give_equal_figures(all_figures, tmp_path):
    draw_numbers(model(), tmp_path)
    for path in tmp_path.iterdir():
        assert path.read_bytes() == (all_figures / path.name).read_bytes(), path.name


def test_a_model_of_one_attribute_without_maps_is_drawn_too(tmp_path):
    files = model("cnn_rnn")
    draw_numbers(files, tmp_path)
    call(figures, None, "where", **only(files, "weights", "faces", "predictions"), out=tmp_path)
    assert len(list(tmp_path.iterdir())) == 8


@pytest.mark.parametrize(
    ("file", "change"),
    [
        ("metrics", lambda text: text.replace('"predicted"', '"predicfed"')),
        ("table", lambda text: text.replace(",0.", ",O.")),
        ("history", lambda text: text.splitlines()[0] + "\n"),
    ],
)
def test_a_table_that_was_spoilt_by_hand_ends_in_one_sentence(tmp_path, file, change):
    files = dict(model())
    original = Path(files[file]).read_text(encoding="utf-8")
    files[file] = tmp_path / Path(files[file]).name
    files[file].write_text(change(original), encoding="utf-8")
    assert files[file].read_text(encoding="utf-8") != original
    with pytest.raises(SystemExit, match=rf"{files[file].name}.* is not as it was written"):
        draw_numbers(files, tmp_path / "out")


def test_predictions_of_other_faces_are_refused_in_one_sentence(tmp_path):
    other = tmp_path / "faces"
    files = model()
    image = np.zeros((8, 8, 3), np.uint8)
    encoded = cv2.imencode(".png", image)[1].tobytes()
    write_faces(other, [Face("other.png", "test", 1, np.zeros(40, bool), encoded)], (8, 8))
    with pytest.raises(SystemExit, match="test faces that are not in"):
        call(figures, None, "where", weights=files["weights"], faces=other,
             predictions=files["predictions"], out=tmp_path)  # fmt: skip


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 5)), min_size=1, max_size=40))
def test_curves_are_those_of_scikit_learn(pairs):
    labels, scores = (np.array(side) for side in zip(*pairs, strict=True))
    if not labels.any():
        return
    precision, recall = precision_recall_curve(labels, scores.astype(float))
    expected = reference.precision_recall_curve(labels, scores)
    assert np.allclose(precision[::-1], expected[0][:-1])
    assert np.allclose(recall[::-1], expected[1][:-1])


@given(st.lists(st.tuples(st.booleans(), st.floats(0, 1)), max_size=40))
def test_calibration_puts_every_prediction_into_one_bin(pairs):
    labels, predicted = (
        np.array([pair[i] for pair in pairs], kind) for i, kind in enumerate((bool, float))
    )
    bins = calibration(labels, predicted)
    assert bins.count.sum() == len(pairs)
    assert np.nansum(bins.count * bins.observed) == pytest.approx(labels.sum())
    assert np.nansum(bins.count * bins.predicted) == pytest.approx(predicted.sum())
    assert 0 <= bins.error <= 1


@given(st.lists(st.tuples(st.booleans(), st.floats(0, 1)), min_size=1), st.floats(0.1, 0.9))
def test_each_face_is_of_one_kind_and_the_most_confident_come_first(pairs, threshold):
    labels, probabilities = (np.array(side) for side in zip(*pairs, strict=True))
    kinds = faces.most_confident(labels, probabilities, threshold)
    assert sorted(np.concatenate(list(kinds.values())).tolist()) == list(range(len(pairs)))
    for kind, chosen in kinds.items():
        correct, positive = kind.split()
        predicted = probabilities[chosen] > threshold
        assert all(predicted == (positive == "positive"))
        assert all((labels[chosen] == predicted) == (correct == "true"))
        assert (np.diff(abs(probabilities[chosen] - threshold)) <= 0).all()


def test_the_confusion_counts_what_is_predicted_beyond_the_labels():
    test = open_evaluated(*only(model(), "faces", "predictions").values()).predictions
    excess = performance.excesses(test)
    for i in range(40):
        labelled = test.labels[:, i] == 1
        for k in range(40):
            if labelled.sum() < performance.MIN_POSITIVES:
                assert np.isnan(excess[i, k])
            else:
                predicted = (test.logits[labelled, k] > 0).mean()
                assert excess[i, k] == pytest.approx(predicted - test.labels[labelled, k].mean())


def test_mean_maps_are_means_over_the_faces_that_have_landmarks():
    files = model()
    test = open_evaluated(files["faces"], files["predictions"])
    inference, masks = Inference(files["weights"]), open_masks(files["masks"])
    usable = np.flatnonzero(masks.found[test.rows])
    assert len(usable) == len(test.rows) - 1
    means = localization.mean_maps(inference, test, masks, usable)
    maps = heat_maps(inference.predict(test.images(usable)))
    k = int(np.argmax(means.positives))
    labels = test.labels[usable, k] == 1
    np.testing.assert_allclose(means.positive[k], maps[labels, k].sum(axis=0), atol=1e-4)
    np.testing.assert_allclose(means.negative[k], maps[~labels, k].sum(axis=0), atol=1e-4)
    drawn = [masks.masks(int(row))[k] for row in test.rows[usable]]
    np.testing.assert_array_equal(means.masks[k], np.sum(drawn, axis=0))


def test_attention_is_shown_relative_to_an_even_share():
    files = model("cnn_rnn")
    test = open_evaluated(files["faces"], files["predictions"])
    output = Inference(files["weights"]).predict(test.images(np.arange(3)), attention=True)
    maps = heat_maps(output)
    assert maps.shape == (3, 1, 14, 14)
    assert (maps.mean(axis=(1, 2, 3)) <= 1 / 4 + 1e-6).all()  # less only where it is cut off
    assert (maps.mean(axis=(1, 2, 3)) > 0).all()
    np.testing.assert_allclose(output.logits, test.predictions.logits[:3], atol=1e-4)


def test_costs_add_up_the_jobs_of_a_rule(tmp_path):
    folder, files = tmp_path / "benchmarks/d", []
    for rule, name, seconds in (
        ("landmarks", "landmarks/1-of-2", 5),
        ("landmarks", "landmarks/2-of-2", 7),
        ("acquire", "acquire", 3),
    ):
        path = folder / f"{name}.tsv"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"s\tmax_rss\n{seconds}\t2048\n")
        files.append(f"{rule}={path}")
    (folder / "of_another_model.tsv").write_text("s\tmax_rss\n99\t2048\n")
    words = ["costs", "--benchmarks", *files, f"masks={folder}/none.tsv", "--out", str(tmp_path)]
    figures.main(words)
    text = (tmp_path / "costs.svg").read_text()
    for words in ("landmarks (2)", "acquire (1)", "12 s", "2.0 GiB", "n = 3 jobs"):
        assert words in text


def test_faces_without_landmarks_are_counted_by_split(all_figures):
    assert "no masks; train 0, valid 0, test 1" in (all_figures / "counts.svg").read_text()


def test_where_all_faces_are_of_one_class_no_example_is_shown(tmp_path):
    files = model("cnn_rnn")
    test = open_evaluated(files["faces"], files["predictions"])
    labels = test.predictions.labels | True
    one_class = test._replace(predictions=replace(test.predictions, labels=labels))
    localization.draw_examples(Inference(files["weights"]), one_class, tmp_path / "examples.png")
    assert (tmp_path / "examples.png").is_file()


def test_maps_of_a_network_without_maps_are_refused_in_one_sentence(tmp_path):
    files = only(model("cnn_rnn"), "weights", "faces", "predictions", "masks")
    with pytest.raises(SystemExit, match="this network makes no maps"):
        call(figures, None, "maps", **files, out=tmp_path)


@pytest.mark.parametrize(
    ("command", "flag"),
    [("data", "rejected"), ("data", "landmarks"), ("data", "masks"), ("numbers", "run"),
     ("numbers", "history"), ("numbers", "metrics"), ("numbers", "table")],
)  # fmt: skip
def test_a_file_of_another_kind_ends_in_one_sentence(tmp_path, command, flag):
    files = model()
    names = ["run", "history", "predictions", "metrics", "table"]
    right = {"faces": files["faces"]} if command == "data" else only(files, *names)
    other = tmp_path / "other"
    other.write_text("{}\n1\n")
    with pytest.raises(SystemExit, match="other is not"):
        call(figures, None, command, **(right | {flag: other}), out=tmp_path)


def test_the_configuration_page_shows_every_value_as_text(tmp_path):
    settings = {"dataset": "d", "datasets": {"d": {"root": "<script>alert(1)</script>"}}}
    call(figures, settings, "configuration", out=tmp_path)
    text = (tmp_path / "configuration.html").read_text()
    assert "datasets" in text
    assert "&lt;script&gt;alert(1)" in text
    assert "<script>alert" not in text


def test_figures_are_drawn_where_no_attribute_is_in_the_means(tmp_path):
    files = model()
    test = open_evaluated(files["faces"], files["predictions"]).predictions
    table = pd.read_csv(files["table"]).assign(counted=False)
    performance.reliability(test, np.zeros(40, bool), tmp_path / "reliability.svg")
    performance.precision_recall(test, table, tmp_path / "curves.svg")
    performance.bars(table, "Trained on faces", ["a split that overlaps"], tmp_path / "bars.svg")
    assert "n = 0 predictions" in (tmp_path / "reliability.svg").read_text()
    for line in ("Trained on faces", "Warning: a split that overlaps."):
        assert line in (tmp_path / "bars.svg").read_text()


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (["sheet_masks", "--images", "0"], "--images: must be a whole number from 1, not '0'"),
        (["mean_masks", "--images", "-1"], "--images: must be a whole number from 0, not '-1'"),
        (["mean_masks", "--images", "few"], "--images: must be a whole number from 0, not 'few'"),
        (["face_masks", "--out", "face.txt"], "--out: must end in .png or .svg, unlike 'face.txt'"),
    ],
)
def test_a_flag_that_cannot_be_drawn_is_refused_in_one_sentence(flags, says, capsys):
    with pytest.raises(SystemExit):
        data_figures.main(flags)
    assert says in capsys.readouterr().err


def test_a_sheet_shows_the_commonest_attribute_unless_told_another(tmp_path):
    files = only(model(), "faces")
    masks = open_masks(model()["masks"])
    most = masks.attributes[masks.labels.sum(axis=0).argmax()]
    call(data_figures, None, "sheet_masks", store=masks.path, **files, out=tmp_path / "sheet.svg")
    count = masks.labels.sum(axis=0).max()
    title = f"{readable(most)} (n = {count} positive faces)"
    assert title in (tmp_path / "sheet.svg").read_text()
