"""attparse: faces -> 68 landmarks -> 40 masks -> networks that predict attributes -> evaluation.

What can be asked for. A target without a path is made for the data set that `dataset:` names.
"""


configfile: f"{workflow.basedir}/config.yaml"


# In the order of the chain, after what they share.
include: "workflow/rules/common.smk"
include: "workflow/rules/internals.smk"
include: "workflow/rules/resources.smk"
include: "workflow/rules/figures.smk"
include: "workflow/rules/faces.smk"
include: "workflow/rules/landmarks.smk"
include: "workflow/rules/masks.smk"
include: "workflow/rules/training.smk"
include: "workflow/rules/evaluation.smk"
include: "workflow/rules/presentation.smk"


report: "workflow/report/workflow.rst"


rule all:
    """Every model of `train:`, trained, evaluated, compared and shown in figures."""
    default_target: True
    input:
        [of_evaluations(model, "metrics.json") for model in config["train"]],
        [shown(model) for model in config["train"]],
        f"results/{DATASET}/comparisons/models.json",


rule faces:
    """The data set as one Hugging Face dataset, verified."""
    input:
        multiext(f"results/{DATASET}/faces", "", ".json"),


rule landmarks:
    """68 points of every face, as CSV."""
    input:
        rules.faces.input,
        multiext(f"results/{DATASET}/landmarks", ".csv", ".json"),


rule masks:
    """14 regions and 40 masks of every face, as a Zarr store."""
    input:
        rules.landmarks.input,
        multiext(f"results/{DATASET}/masks", ".zarr", ".json"),


rule compare_models:
    """The models of `train:` beside the majority rule, with intervals."""
    input:
        f"results/{DATASET}/comparisons/models.json",


rule compare_pairs:
    """What the first model of each pair of `compare:` adds to the second: several seeds, shares."""
    input:
        f"results/{DATASET}/comparisons/pairs.json",


rule figures:
    """Figures and galleries of the models of `train:`, and of their data."""
    input:
        [shown(model) for model in config["train"]],


rule gallery:
    """For each model of `train:` a page of faces that it predicts correctly and wrongly."""
    input:
        [of_evaluations(model, "figures/gallery.html") for model in config["train"]],


rule predict:
    """The attributes of the faces in your own photographs; see `predict:`."""
    input:
        "results/{0}/{predict[model]}/seed-{predict[seed]}/predict/index.html".format(
            DATASET, predict=config["predict"]
        ),


rule export:
    """The models of `train:` as ONNX, each with a model card."""
    input:
        expand(
            f"results/{DATASET}/{{model}}/seed-{{seed}}/export/model_card.md",
            model=config["train"],
            seed=config["seeds"],
        ),


# train_attparsenet, figures_attparsenet, …: two targets for each model of the configuration.
for model in config["models"]:

    rule:
        name:
            f"train_{model}"
        input:
            of_evaluations(model, "metrics.json"),

    rule:
        name:
            f"figures_{model}"
        input:
            shown(model),
