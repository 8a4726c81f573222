"""The best epoch is chosen by the metric that evaluation would compute of the same predictions."""

import json
from functools import partial

import numpy as np
import pytest
from made_predictions import predictions_of
from small_training import settings, train_small, valid_predictions, write_data

from pipeline.core.attributes import CELEBA
from pipeline.core.evaluation import bootstrap
from pipeline.core.evaluation.groups import by_group
from pipeline.core.evaluation.metrics import measure
from pipeline.core.training.selection import ValidPredictions

MEANS = ("balanced_accuracy", "precision", "recall", "f1", "mcc", "average_precision", "auroc")
CHOSEN = ["Blond_Hair", "Male", "Smiling"]


def predictions(faces=200):
    random = np.random.default_rng(8)
    labels = random.random((faces, 3)) < [0.3, 0.5, 0.0]  # the third has no positives
    logits = (random.normal(0, 2, labels.shape) + labels).round(1).astype(np.float32)
    return labels, logits


@pytest.mark.parametrize("name", MEANS)
def test_a_metric_is_evaluations_mean_over_the_attributes_that_have_it(name):
    labels, logits = predictions()
    found = ValidPredictions(settings(select_by=f"valid_{name}")).evaluate(labels, logits)
    values = measure(labels, logits, np.full(3, 0.5))[name]
    assert found == pytest.approx(np.nanmean(values), abs=1e-6)
    assert np.isnan(values[2])


def test_the_mcc_of_a_quarter_of_a_million_faces_is_that_of_a_few():
    labels, logits = predictions()
    chosen = ValidPredictions(settings(select_by="valid_mcc"))
    many = (np.tile(values, (1250, 1)) for values in (labels, logits))
    assert chosen.evaluate(*many) == pytest.approx(chosen.evaluate(labels, logits))


def test_the_worst_group_is_evaluations_and_has_ten_faces_or_more():
    labels, logits = predictions()
    few = np.flatnonzero(labels[:, 0] & labels[:, 1])[9:]
    labels[few, 0] = False
    logits[labels[:, 0] & labels[:, 1], 0] = -1  # the worst, were it not for its nine faces
    chosen = settings(
        select_by="valid_worst_group_accuracy", groups=["Blond_Hair", "Male"], attributes=CHOSEN
    )
    whole = np.zeros((len(labels), 40), bool)
    whole[:, CELEBA.columns(CHOSEN)] = labels
    test = predictions_of(whole, list(CELEBA.names), logits > 0, CHOSEN)
    resample = partial(bootstrap.resample, resamples=2, seed=0)
    worst = by_group(test, ["Blond_Hair", "Male"], np.ones(3, bool), 10, resample)["worst"]
    assert worst["images"] >= 10
    assert ValidPredictions(chosen).evaluate(labels, logits) == pytest.approx(worst["accuracy"])


def test_the_kept_epoch_is_the_best_by_the_metric_of_what_it_predicts(tmp_path):
    write_data(tmp_path, valid_faces=30)
    history = train_small(tmp_path, tmp_path, epochs=4, select_by="valid_auroc", ema=0.9)
    best = json.loads((tmp_path / "run.json").read_text())["best_epoch"]
    assert best == history["epoch"][history["valid_auroc"].idxmax()]
    values = measure(*valid_predictions(tmp_path, tmp_path), np.full(3, 0.5))["auroc"]
    assert history["valid_auroc"].max() == pytest.approx(np.nanmean(values), abs=1e-5)


def test_by_default_the_history_has_no_further_column(tmp_path):
    write_data(tmp_path)
    columns = set(train_small(tmp_path, tmp_path, epochs=1))
    assert {name for name in columns if name.startswith("valid_")} == {
        *("valid_loss", "valid_attribute_loss", "valid_mask_loss", "valid_accuracy")
    }


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"select_by": "valid_auroc"}, "an attribute of both classes among the 1 valid faces"),
        (
            {"select_by": "valid_worst_group_accuracy", "groups": ["Male"]},
            "a group of at least 10 faces among the 1 valid faces",
        ),
    ],
)
def test_a_metric_that_valid_cannot_have_is_refused_before_training(tmp_path, changes, message):
    write_data(tmp_path, valid_faces=1)
    with pytest.raises(SystemExit, match=message):
        train_small(tmp_path, tmp_path, **changes)
    assert not list(tmp_path.glob("checkpoints/*/"))
