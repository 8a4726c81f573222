"""Models side by side: pairing, intervals over people and seeds, and the sentence that follows."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pipeline import compare, show
from pipeline.core.attributes import ATTRIBUTES
from pipeline.core.evaluation import bootstrap, comparison
from pipeline.core.evaluation.predictions import Predictions, write_predictions
from pipeline.core.files import sha256
from pipeline.core.presentation.comparison_text import as_text
from pipeline.core.provenance import made_by

MODELS = ("guided", "plain")
SETTINGS = {"min_class": 10, "draws": 64, "seed": 3}


def predictions(
    path: Path, skill: float, noise: int, attributes=ATTRIBUTES, faces=0, each=5, warnings=()
) -> Path:
    """300 test faces, ``each`` of a person, 30 valid ones; ``skill`` moves logits to the labels."""
    rng = np.random.default_rng(faces)
    labels = rng.random((330, 40)) < 0.4
    hard = rng.standard_normal(labels.shape)  # the same for every model
    own = np.random.default_rng(noise).standard_normal(labels.shape)
    columns = [ATTRIBUTES.index(name) for name in attributes]
    logits = skill * (2 * labels - 1) + hard + 0.3 * own
    write_predictions(
        path,
        Predictions(
            names=[f"{row:06d}.jpg" for row in range(330)],
            splits=np.repeat(["valid", "test"], [30, 300]),
            identities=np.arange(330) // each,
            label_names=list(ATTRIBUTES),
            labels=labels,
            attributes=list(attributes),
            logits=logits[:, columns].astype(np.float32),
            thresholds=np.full(len(columns), 0.5),
            train_positives=np.full(40, 0.4),
            weights=path.stem,
            warnings=warnings,
        ),
    )
    return path


def call(command: str, folder: Path, flags: list[str]) -> tuple[dict, pd.DataFrame]:
    outs = {name: folder / f"out.{end}" for name, end in (("table", "csv"), ("json", "json"))}
    compare.main(
        [
            *[command, *flags, "--settings", json.dumps(SETTINGS)],
            *[f"--out-{name}={path}" for name, path in outs.items()],
            f"--out-figure={folder / 'out.svg'}",
        ]
    )
    return json.loads(outs["json"].read_text()), pd.read_csv(outs["table"], keep_default_na=False)


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> tuple[Path, list[str], dict, pd.DataFrame]:
    """Two models of all attributes and one of Male, compared once."""
    folder = tmp_path_factory.mktemp("models")
    files = [
        predictions(folder / "good.parquet", 1.0, 1),
        predictions(folder / "poor.parquet", 0.8, 2),
        predictions(folder / "male.parquet", 1.5, 3, ["Male"]),
    ]
    flags = [f"--predictions={file.stem}={file}" for file in files]
    return folder, flags, *call("models", folder, flags)


def test_models_stand_beside_the_majority_rule_in_the_attributes_they_share(models):
    _, _, summary, table = models
    assert summary["models"]["majority rule"]["auroc"]["value"] == 0.5
    assert summary["models"]["majority rule"]["balanced_accuracy"]["value"] == 0.5
    assert summary["models"]["good"]["attributes"] == 40
    assert summary["models"]["male"]["attributes"] == 1
    pairs = {(pair["model"], pair["minus"]): pair for pair in summary["differences"]}
    assert len(pairs) == 6
    assert pairs["good", "male"]["attributes"] == 1
    assert pairs["good", "poor"]["auroc"]["low"] > 0
    rows = table[(table["metric"] == "auroc") & (table["attribute"] == "Male")]
    value = {(row.model, row.minus): float(row.value) for row in rows.itertuples()}
    assert value["good", "poor"] == pytest.approx(value["good", ""] - value["poor", ""], abs=2e-6)


def test_the_number_of_threads_changes_no_byte(models):
    folder, flags, *_ = models
    before = {path: path.read_bytes() for path in folder.glob("out.*")}
    call("models", folder, [*flags, "--threads", "3"])
    assert {path: path.read_bytes() for path in folder.glob("out.*")} == before


def test_what_is_hard_for_both_models_cancels_in_their_difference(models):
    summary = models[2]
    (pair,) = [p for p in summary["differences"] if (p["model"], p["minus"]) == ("good", "poor")]
    width = {
        name: part["accuracy"]["high"] - part["accuracy"]["low"]
        for name, part in (("pair", pair), *summary["models"].items())
    }
    assert width["pair"] < 0.8 * np.hypot(width["good"], width["poor"])


def test_the_printed_table_has_the_summarys_numbers_in_80_columns(models):
    summary = models[2]
    lines = as_text(summary).splitlines()
    assert max(map(len, lines)) <= 80
    good = summary["models"]["good"]["auroc"]
    (line,) = [line for line in lines if line.startswith("good (40)")]
    assert f"{100 * good['value']:.1f} ({100 * good['low']:.1f}–{100 * good['high']:.1f})" in line
    assert "Male" in lines  # the one attribute that all models have


def test_a_saved_comparison_is_shown_as_it_was_printed(models, capsys):
    folder, _, summary, _ = models
    show.main(["--comparison", str(folder / "out.json")])
    assert capsys.readouterr().out == as_text(summary) + "\n"


def test_names_that_begin_alike_are_printed_whole_in_80_columns(tmp_path, capsys):
    names = [f"attparsenet_without_masks{end}" for end in ("", "_share_0.1", "_share_0.01")]
    files = [predictions(tmp_path / str(n), 1, n) for n in range(3)]
    call("models", tmp_path, [f"--predictions={n}={f}" for n, f in zip(names, files, strict=True)])
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    assert {f"{name} (40)" for name in names} <= set(lines)
    assert f"{names[1]} − {names[2]} (40)" in lines


def test_models_without_a_common_attribute_stand_beside_the_majority_rule_alone(tmp_path):
    files = [predictions(tmp_path / name, 1, 1, [name]) for name in ("Male", "Smiling")]
    summary, table = call("models", tmp_path, [f"--predictions={f.name}={f}" for f in files])
    pairs = {(pair["model"], pair["minus"]) for pair in summary["differences"]}
    assert pairs == {(name, compare.MAJORITY) for name in ("Male", "Smiling")}
    assert "common" not in summary
    assert set(table["model"]) == {"Male", "Smiling", compare.MAJORITY}


def test_a_comparison_carries_the_warnings_of_its_models(tmp_path, capsys):
    warnings = ("people are in two splits", "the sizes are not official")
    one = predictions(tmp_path / "one", 1, 1, each=10, warnings=warnings[:1])
    other = predictions(tmp_path / "other", 1, 2, each=10, warnings=warnings)
    summary, _ = call("models", tmp_path, [f"--predictions=a={one}", f"--predictions=b={other}"])
    found = [*warnings, *bootstrap.few_clusters_warning(np.arange(30))]
    assert summary["judged"]["warnings"] == found
    printed, drawn = capsys.readouterr().out, (tmp_path / "out.svg").read_text()
    for warning in found:
        assert f"Warning: {warning}." in printed
        assert f"Warning: {warning}." in drawn
    files = [("a", one), ("b", other)]
    flags = [f"--run={name}/1/1={file},{map_metrics(file, 'masks')}" for name, file in files]
    summary, _ = call("pairs", tmp_path, ["--pair=a,b", *flags])
    assert summary["judged"]["warnings"] == found
    for warning in found:
        assert f"Warning: {warning}." in (tmp_path / "out.svg").read_text()


def test_the_same_training_twice_is_no_second_seed(tmp_path):
    file = predictions(tmp_path / "one", 1, 1)
    with pytest.raises(SystemExit, match="the same weights"):
        call("models", tmp_path, [f"--predictions=a={file}", f"--predictions=a={file}"])


def test_a_summary_names_its_settings_its_code_and_the_hashes_of_what_it_read(models, tmp_path):
    folder, _, summary, _ = models
    assert summary["settings"] == SETTINGS
    assert summary["inputs_sha256"]["good"] == [sha256(folder / "good.parquet")]
    assert summary["made_by"] == made_by("compare")
    summary, _ = call("pairs", tmp_path, flags_of_pair(tmp_path, {0.1: 0.2}, seeds=1))
    assert summary["settings"] == SETTINGS
    digests = [sha256(tmp_path / name) for name in ("guided-0.1-0.parquet", "guided-0.1-0.json")]
    assert summary["inputs_sha256"]["guided/0.1/0"] == digests
    assert summary["made_by"] == made_by("compare")


def test_equal_inputs_give_equal_bytes(models):
    folder, flags, *_ = models
    first = {file.name: file.read_bytes() for file in folder.glob("out.*")}
    call("models", folder, flags)
    assert len(first) == 3
    assert {file.name: file.read_bytes() for file in folder.glob("out.*")} == first


def map_metrics(predictions: Path, key: str, **mean: float | None) -> Path:
    """A ``metrics.json`` beside predictions, with these means of maps over the test split."""
    content = {"model": {"weights_sha256": predictions.stem}, "thresholds": {}, "masks": None}
    path = predictions.with_suffix(".json")
    path.write_text(json.dumps(content | {key: {"test": {"mean": mean}}}))
    return path


def flags_of_pair(folder: Path, gain: dict[float, float], seeds: int) -> list[str]:
    """A guided model whose skill is greater by ``gain``, and a plain one, at each share."""
    flags = ["--pair=guided,plain"]
    for share, more in gain.items():
        for seed in range(seeds):
            guided, plain = (folder / f"{name}-{share}-{seed}.parquet" for name in MODELS)
            predictions(guided, 0.9 + more, noise=100 * seed + 1)
            predictions(plain, 0.9, noise=100 * seed)
            maps = {"iou": 0.4 + 0.2 * seed, "map_energy_positives": 0.8}
            own = map_metrics(guided, "masks", **maps, iou_positives=None)
            activation = map_metrics(plain, "class_activation", map_energy_positives=0.3)
            flags.append(f"--run=guided/{share}/{seed}={guided},{own}")
            flags.append(f"--run=plain/{share}/{seed}={plain},{activation}")
    return flags


def test_a_pair_says_where_a_difference_is_seen_and_where_none(tmp_path, capsys):
    flags = flags_of_pair(tmp_path, {0.1: 0.2, 1.0: 0.0}, seeds=3)
    summary, table = call("pairs", tmp_path, flags)
    (pair,) = summary["pairs"]
    assert pair["says"].startswith("guided against plain, 3 seeds, 300 test images of 60 people")
    assert "on 10 % of train its mean AUROC is higher" in pair["says"]
    assert "on all of train no difference in mean AUROC is seen" in pair["says"]
    printed = capsys.readouterr().out
    assert pair["says"] in " ".join(printed.split())
    assert max(map(len, printed.splitlines())) <= 80
    gain = pair["differences"]["0.1"]["auroc"]
    assert f"{100 * gain['value']:+.1f} ({100 * gain['low']:+.1f} to" in printed
    assert len(table) == 2 * 41 * len(comparison.COMPARED)
    gap = table["model_value"].astype(float) - table["minus_value"].astype(float)
    np.testing.assert_allclose(gap, table["difference"].astype(float), atol=2e-6)
    assert set(table["seeds"]) == {3}


def test_a_pair_reports_the_maps_of_both_models(tmp_path, capsys):
    summary, _ = call("pairs", tmp_path, flags_of_pair(tmp_path, {0.1: 0.2}, seeds=2))
    assert summary["pairs"][0]["maps"]["0.1"] == {
        "guided": {"iou": 0.5, "map_energy_positives": 0.8},  # the mean over seeds
        "plain": {"map_energy_positives": 0.3},
    }
    printed = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["guided,", "10", "%", "of", "train", "0.500", "–", "0.800", "–"] in printed
    assert ["plain,", "10", "%", "of", "train", "–", "–", "0.300", "–"] in printed


def test_the_metrics_of_other_weights_are_refused(tmp_path):
    flags = flags_of_pair(tmp_path, {0.1: 0.2}, seeds=1)
    map_metrics(tmp_path / "another.parquet", "masks", iou=0.4)
    other = flags[1].split(",")[0] + f",{tmp_path / 'another.json'}"
    with pytest.raises(SystemExit, match=r"another\.json evaluates other weights"):
        call("pairs", tmp_path, [flags[0], other, flags[2]])


def test_several_pairs_share_their_models(tmp_path):
    flags = flags_of_pair(tmp_path, {0.1: 0.2}, seeds=2)
    other = [f.replace("--run=plain/", "--run=other/") for f in flags if f.startswith("--run=pl")]
    summary, table = call("pairs", tmp_path, [*flags, *other, "--pair=guided,other"])
    assert [pair["minus"] for pair in summary["pairs"]] == ["plain", "other"]
    assert summary["pairs"][0]["differences"] == summary["pairs"][1]["differences"]
    assert set(table["minus"]) == {"plain", "other"}
    assert (tmp_path / "out.svg").read_text().count("guided −") == 4


def test_a_run_that_is_given_twice_is_named(tmp_path):
    flags = flags_of_pair(tmp_path, {0.1: 0.2}, seeds=2)
    again = [flag.replace("0.1/1=", "0.1/0=") for flag in flags]
    with pytest.raises(SystemExit, match=r"--run guided/0\.1/0 is given twice"):
        call("pairs", tmp_path, again)


def test_a_run_without_its_partner_is_named(tmp_path):
    flags = flags_of_pair(tmp_path, {0.1: 0.2}, seeds=2)
    with pytest.raises(SystemExit, match=r"share 0\.1 with seed 1"):
        call("pairs", tmp_path, flags[:-1])


def test_a_pair_of_which_no_run_is_given_is_named(tmp_path):
    flags = flags_of_pair(tmp_path, {0.1: 0.2}, seeds=1)
    with pytest.raises(SystemExit, match="nobody and none are not both there"):
        call("pairs", tmp_path, [*flags, "--pair=nobody,none"])


def test_a_pair_without_a_common_attribute_is_refused(tmp_path):
    flags = flags_of_pair(tmp_path, {0.1: 0.2}, seeds=1)
    for name, attributes in zip(MODELS, (["Male"], ["Smiling", "Young"]), strict=True):
        predictions(tmp_path / f"{name}-0.1-0.parquet", 1, 1, attributes)
    with pytest.raises(SystemExit, match="predicts Male, the other Smiling, Young: compare models"):
        call("pairs", tmp_path, flags)


def test_a_comparison_of_an_earlier_version_is_refused(tmp_path):
    old = tmp_path / "segmentation.json"
    old.write_text(json.dumps({"judged": {}, "differences": {}, "says": "…"}))
    with pytest.raises(SystemExit, match=r"no comparison of this version.*compare_pairs"):
        show.main(["--comparison", str(old)])


def test_predictions_of_other_faces_are_refused(tmp_path):
    one = predictions(tmp_path / "one.parquet", 1, 1)
    other = predictions(tmp_path / "other.parquet", 1, 1, faces=1)
    flags = [f"--predictions=a={one}", f"--predictions=b={other}"]
    with pytest.raises(SystemExit, match="different test faces or labels"):
        call("models", tmp_path, flags)


@pytest.mark.parametrize(
    ("own", "words"),
    [
        (["guided=0.1", "plain=0.1"], "on 10 % of train its mean AUROC is higher"),
        (["guided=0.1"], "on 10 % of train against all of train its mean AUROC is higher"),
    ],
)
def test_a_share_that_is_a_models_own_is_named(tmp_path, own, words):
    flags = flags_of_pair(tmp_path, {1.0: 0.2}, seeds=1)
    summary, _ = call("pairs", tmp_path, [*flags, *(f"--own-share={share}" for share in own)])
    assert words in summary["pairs"][0]["says"]
    drawn = (tmp_path / "out.svg").read_text()
    assert words.removeprefix("on ").split(" its ")[0] in drawn


def test_a_share_at_which_all_are_trained_is_not_a_models_own(tmp_path):
    flags = [*flags_of_pair(tmp_path, {0.5: 0.2}, seeds=1), "--own-share=guided=0.1"]
    summary, _ = call("pairs", tmp_path, flags)
    assert "on 50 % of train its mean AUROC" in summary["pairs"][0]["says"]


def test_an_own_share_of_a_model_without_runs_is_refused(tmp_path):
    flags = [*flags_of_pair(tmp_path, {1.0: 0.2}, seeds=1), "--own-share=guidde=0.1"]
    with pytest.raises(SystemExit, match="names guidde, of which there is no --run"):
        call("pairs", tmp_path, flags)


@pytest.mark.parametrize("text", ["guided", "guided=0", "guided=1.5", "=0.1", "guided=ten"])
def test_an_own_share_of_another_form_is_explained(tmp_path, capsys, text):
    with pytest.raises(SystemExit):
        call("pairs", tmp_path, ["--pair=a,b", f"--own-share={text}"])
    assert "must be like guided=0.1" in capsys.readouterr().err


def test_three_seeds_against_two_are_refused(tmp_path):
    files = [predictions(tmp_path / f"{n}.parquet", 1, n) for n in range(5)]
    flags = [f"--predictions={'ab'[n > 2]}={file}" for n, file in enumerate(files)]
    with pytest.raises(SystemExit, match="2 and 3 seeds"):
        call("models", tmp_path, flags)


@pytest.mark.parametrize("text", ["no-equals", "a/0.1=p,m", "a/x/64=p,m", "a/0.1/64=p"])
def test_a_flag_of_another_form_is_explained(tmp_path, capsys, text):
    with pytest.raises(SystemExit):
        call("pairs", tmp_path, ["--pair=a,b", f"--run={text}"])
    assert "guided/0.1/64=predictions.parquet,metrics.json" in capsys.readouterr().err


@pytest.mark.parametrize(("people", "seeds"), [(100, 3), (15, 3), (100, 1)])
def test_intervals_over_people_and_seeds_hold_the_truth(people, seeds):
    """Effects of people, of seeds and of both together; with one seed, people alone."""
    rng, attributes, truth = np.random.default_rng(0), 2000, 0.3
    effects = truth + rng.standard_normal((1, people, attributes))
    effects = effects + 0.5 * rng.standard_normal((seeds, people, attributes))
    if seeds > 1:
        effects = effects + 0.1 * rng.standard_normal((seeds, 1, attributes))
    weights = np.concatenate(list(bootstrap.resampling_weights(people, 200, 1)))
    resampled = np.stack([weights @ run / people for run in effects])
    _, low, high = comparison.over_seeds(effects.mean(axis=1), resampled, people)
    assert 0.93 <= ((low <= truth) & (truth <= high)).mean() <= 0.985
