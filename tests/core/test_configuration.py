"""What a user writes in config.yaml, and the message when it is wrong."""

import json
import re
import shlex
import subprocess
from bisect import bisect

import pytest
import yaml
from conftest import ROOT, schema
from snakemake.utils import update_config

from pipeline.core.configuration import complete
from pipeline.core.errors import UserError


def unfolded(**words):
    return {"source": "folder", "attributes": {"hair": "all"}, "unfold": words}


@pytest.fixture
def config():
    return yaml.safe_load((ROOT / "config.yaml").read_text())


def test_the_published_experiment_is_complete_without_overlays(config):
    whole = complete(config, schema())
    assert whole["dataset"] == "celeba"
    assert whole["models"]["attparsenet"]["width"] == 1.0
    assert whole["models"]["attparsenet"]["optimizer"]["learning_rate"] == 0.01
    assert whole["models"]["cnn_rnn"]["attributes"] == ["Male"]


def test_numbers_that_snakemakes_config_flag_gives_as_text_are_numbers(config):
    config["seeds"] = ["65", "66"]
    config["models"]["cnn_rnn"] |= {"input_size": ["64", "64"], "pretrained": "false"}
    whole = complete(config, schema())
    assert whole["seeds"] == [65, 66]
    assert whole["models"]["cnn_rnn"]["input_size"] == [64, 64]
    assert whole["models"]["cnn_rnn"]["pretrained"] is False
    config["seeds"] = ["many"]
    with pytest.raises(UserError, match=r"wrong at seeds\.0: 'many' is not of type 'integer'"):
        complete(config, schema())


def test_every_key_of_the_schema_is_described():
    def undescribed(schema, path):
        for key, value in schema.get("properties", {}).items():
            if "description" not in value and "properties" not in value:
                yield f"{path}.{key}"
            yield from undescribed(value, f"{path}.{key}")
        if isinstance(schema.get("additionalProperties"), dict):
            yield from undescribed(schema["additionalProperties"], f"{path}.*")

    assert list(undescribed(schema(), "config")) == []


@pytest.mark.parametrize("page", ["faces.md", "own.md"])
def test_the_data_sets_that_the_documents_show_are_accepted(config, page):
    blocks = re.findall(r"^```yaml\n(.*?)^```", (ROOT / "docs" / page).read_text(), re.M | re.S)
    shown = [yaml.safe_load(block) for block in blocks if "datasets:" in block]
    assert shown
    for overlay in shown:
        merged = {key: config[key] | overlay.get(key, {}) for key in ("datasets", "models")}
        whole = complete({**config, **overlay, **merged}, schema())
        assert overlay["datasets"].keys() <= whole["datasets"].keys()


@pytest.mark.parametrize("preset", ["demo", "celeba_many", "losses"])
def test_a_preset_over_the_published_experiment_is_complete(config, preset):
    update_config(config, yaml.safe_load((ROOT / f"workflow/presets/{preset}.yaml").read_text()))
    models = complete(config, schema())["models"]
    # One training stands for both in the tables of docs/models.md.
    assert (models["fast"] == models["mask_guided"]) == (preset == "celeba_many")


def test_like_takes_another_models_settings_and_keeps_its_own(config):
    config["models"]["attparsenet"]["optimizer"] = {"name": "sgd", "learning_rate": 0.5}
    models = complete(config, schema())["models"]
    assert models["attparsenet_without_masks"]["optimizer"]["learning_rate"] == 0.5
    assert models["attparsenet_without_masks"]["segmentation_weight"] == 0
    assert models["attparsenet"]["segmentation_weight"] == 1.0


def test_the_comparison_has_a_model_for_each_share(config):
    config["compare"] = {"shares": [0.1, 1]}
    models = complete(config, schema())["models"]
    assert models["attparsenet_share_0.1"]["share"] == 0.1
    assert models["attparsenet"]["share"] == 1


def test_weights_of_another_backbone_leave_those_of_the_default_in_place(config):
    weights = {"sha256": "0" * 64, "mirrors": ["weights.pth"], "rename": []}
    config["imagenet"] = {"resnet50": weights}
    config["models"]["resnet18"]["backbone"] = "resnet50"
    imagenet = complete(config, schema())["imagenet"]
    assert imagenet["resnet50"] == weights
    assert imagenet["resnet18"]["mirrors"][0].startswith("https://download.pytorch.org/")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda c: c.update(datset="celeba"), "'datset' at the top level; did you mean 'dataset'"),
        (lambda c: c["datasets"]["celeba"].update(rot=1), "datasets.celeba; did you mean 'root'"),
        (lambda c: c["models"]["attparsenet"].update(epochs=0), "models.attparsenet.epochs"),
        (lambda c: c["models"]["attparsenet"]["optimizer"].update(momntum=1), "mean 'momentum'"),
        (lambda c: c.update(dataset="celebra"), "did you mean 'celeba'"),
        (lambda c: c["datasets"]["celeba"].update(filter={"Mal": True}), "did you mean 'Male'"),
        (lambda c: c["models"]["cnn_rnn"].update(attributes=["Mal"]), "did you mean 'Male'"),
        (lambda c: c["models"]["cnn_rnn"].update(groups=["Mal"]), "did you mean 'Male'"),
        (lambda c: c["models"]["cnn_rnn"].update(groups=["Young"]), "add it to attributes"),
        (lambda c: c["models"]["cnn_rnn"].update(last_layer_of="resnet18"), "no groups to balance"),
        (
            lambda c: c["models"]["cnn_rnn"].update(last_layer_of="resnet", groups=["Male"]),
            "did you mean 'resnet18'",
        ),
        (
            lambda c: c["models"]["cnn_rnn"].update(last_layer_of="cnn_rnn", groups=["Male"]),
            "names 'cnn_rnn', which is not there",
        ),
        (
            lambda c: c["models"]["cnn_rnn"].update(select_by="valid_worst_group_accuracy"),
            "there are no groups",
        ),
        (lambda c: c["models"].update(x={"like": "nothing"}), "models.x.like names 'nothing'"),
        (lambda c: c["models"].update(x={"like": "x"}), "not another model"),
        (lambda c: c.pop("models"), "'models' is a required property"),
        (lambda c: c.update(seeds=[]), "seeds"),
        (lambda c: c.update(seeds=[64, 64]), "wrong at seeds: [64, 64] has non-unique"),
        (lambda c: c.update(train=["cnn_rnn"] * 2), "wrong at train"),
        (lambda c: c.update(train=[]), "wrong at train: [] should be non-empty"),
        (lambda c: c.update(judge_on=["celeba"] * 2), "wrong at judge_on"),
        (lambda c: c.update(landmarks={"detectors": ["dlib"] * 2}), "wrong at landmarks.detectors"),
        (lambda c: c["datasets"]["celeba"].update(names=[]), "wrong at datasets.celeba.names"),
        (lambda c: c["models"]["cnn_rnn"].update(attributes=["Male"] * 2), "cnn_rnn.attributes"),
        (lambda c: c.update(evaluate={"groups": [["Male", "Male"]]}), "at evaluate.groups.0"),
        (lambda c: c.update(evaluate={"groups": [["Male"], ["Male"]]}), "at evaluate.groups"),
        (lambda c: c.update(compare={"seeds": [1, 1]}), "wrong at compare.seeds"),
        (lambda c: c.update(compare={"shares": [1, 1.0]}), "wrong at compare.shares"),
        (lambda c: c.update(compare={"pairs": [["attparsenet"]]}), "wrong at compare.pairs.0"),
        (
            lambda c: c.update(compare={"pairs": [["attparsenet", "attparse"]]}),
            "compare.pairs names 'attparse', which is not there; did you mean 'attparsenet'",
        ),
        (
            lambda c: c.update(compare={"with": "cnn_rnn"}),
            "write compare: {pairs: [[cnn_rnn, attparsenet_without_masks]]}",
        ),
        (lambda c: c.update(predict={"model": "atparsenet"}), "did you mean 'attparsenet'"),
        # What wrong indentation makes of it.
        (lambda c: c.update({64: None}), "the key 64 at the top level"),
        (lambda c: c["models"]["cnn_rnn"].update({True: 1}), "key True at models.cnn_rnn"),
        (lambda c: c["models"].update(attparsenet=None), "wrong at models.attparsenet: None"),
        (lambda c: c["models"].update(x=3), "wrong at models.x: 3"),
        (lambda c: c["models"].update(x={"like": ["a"]}), "models.x.like names ['a']"),
        (lambda c: c.update(models=None), "wrong at models: None"),
        # Names that would meet in one folder, weights that nobody has.
        (lambda c: c["models"].update(faces={"like": "cnn_rnn"}), "not faces or drawn"),
        (
            lambda c: c["models"]["resnet18"].update(backbone="convnext_tiny"),
            "write imagenet: {convnext_tiny: {sha256: <its hash>, mirrors: [<address or path>]}}",
        ),
        # Models that cannot be trained.
        (
            lambda c: c["models"].update(mine={"network": "cnn_rnn", "epochs": 1, "batch_size": 8}),
            "models.mine.segmentation_weight is 1, and cnn_rnn predicts no masks; write",
        ),
        (
            lambda c: c["models"]["attparsenet"].update(pretrained=True),
            "models.attparsenet.pretrained is true, and ImageNet has no weights of attparsenet",
        ),
        (
            lambda c: c["models"]["mask_guided"].update(mask_loss="mse"),
            "models.mask_guided.mask_loss is mse, by which mask_guided learns no regions; write",
        ),
        (
            lambda c: c["models"]["mask_guided"].update(channels=[8, 16]),
            "wrong at models.mask_guided.channels: [8, 16] is too short",
        ),
        (
            lambda c: c["models"]["attparsenet"].update(pooling="grid"),
            "models.attparsenet.pooling is 'grid', and attparsenet has no choice of it",
        ),
        (
            lambda c: c["models"]["resnet18"].update(mask_loss="bce_dice"),
            "models.resnet18.mask_loss is bce_dice, and backbone has mse alone; leave it out",
        ),
        (
            lambda c: c["models"]["cnn_rnn"].update(backbone="resnet50"),
            "models.cnn_rnn.backbone is 'resnet50', and cnn_rnn is built on resnet18 alone",
        ),
        (
            lambda c: c["models"]["mask_guided"].update(pretrained=True),
            "models.mask_guided.pretrained is true, and ImageNet has no weights of mask_guided;"
            " set it to false, or set a backbone",
        ),
        (
            lambda c: c["models"]["attparsenet"].update(backbone="resnet18"),
            "models.attparsenet.backbone is 'resnet18', and attparsenet has none; leave it out",
        ),
        (
            lambda c: c["models"]["mask_guided"].update(map_stride=8),
            "models.mask_guided.map_stride is 8, and mask_guided has no choice of it",
        ),
        (
            lambda c: c["models"]["resnet18"].update(frozen="all", pretrained=False),
            "models.resnet18.frozen is all, and the backbone starts at random; write pretrained",
        ),
        (
            lambda c: c["models"]["mask_guided"].update(frozen="all"),
            "models.mask_guided.frozen is all, and mask_guided has no backbone here; leave it out",
        ),
        (
            lambda c: c["datasets"]["celeba"].update(unfold={"Hair": ["black", "grey"]}),
            "datasets.celeba.unfold is set, and source: celeba has labels of yes and no alone",
        ),
        (
            lambda c: c["datasets"].update(own=unfolded(age=["old", "young"])),
            "datasets.own.unfold names 'age', which is not among the data set's attributes",
        ),
        (
            lambda c: c["datasets"].update(
                own=unfolded(hair=["dark brown", "dark-brown", "dark.brown"])
            ),
            "hair_dark_brown, of which two have one name",
        ),
        (
            lambda c: c["models"]["cnn_rnn"].update(frozen="all"),
            "models.cnn_rnn.frozen is all, and what cnn_rnn freezes is `frozen_layers`",
        ),
        (
            lambda c: c["models"]["cnn_rnn"].update(accumulate=2, devices=3, nodes=2),
            "models.cnn_rnn.batch_size is 32, which cannot be cut into 12 equal parts",
        ),
        (
            lambda c: c["models"]["cnn_rnn"].update(stratified_subset=0.1, share=0.5),
            "models.cnn_rnn.stratified_subset is set, and so is share",
        ),
        (
            lambda c: c["models"]["attparsenet"].update(stratified_subset=0.1),
            "models.attparsenet.stratified_subset is set, and compare trains attparsenet on",
        ),
    ],
)
def test_a_wrong_configuration_is_told_in_one_sentence(config, change, says):
    change(config)
    with pytest.raises(UserError) as error:
        complete(config, schema())
    assert says in str(error.value)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 400


@pytest.mark.parametrize("name", ["{:06d}.jpg", "{:06d}'.jpg", "{:06d}é.jpg"])
def test_a_list_of_names_is_refused_before_it_is_longer_than_a_command_may_be(config, name):
    def says(count):
        config["datasets"]["celeba"]["names"] = [name.format(i) for i in range(count)]
        try:
            return json.dumps(complete(config, schema())["datasets"]["celeba"])
        except UserError as error:
            return str(error)

    first = bisect(range(20_000), 0, key=lambda count: "put them into" in says(count))
    assert f"datasets.celeba.names lists {first:,} names, too many" in says(first)
    assert first > 2_000
    command = f"python --settings {shlex.quote(says(first - 1))} {'x' * 50_000}"
    subprocess.run(["true", command], check=True)
