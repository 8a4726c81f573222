"""attparse: faces -> 68 landmarks -> 40 masks -> networks that tell attributes -> judgement.

What can be asked for. A target without a path is made for the data set that `dataset:` names.
"""


configfile: "config.yaml"


include: "workflow/rules/common.smk"
include: "workflow/rules/resources.smk"
include: "workflow/rules/data.smk"
include: "workflow/rules/models.smk"


report: "workflow/report/workflow.rst"


localrules:
    all,
    faces,
    landmarks,
    masks,
    compare_models,
    compare_segmentation,
    acquire,
    fetch_detector,
    fetch_imagenet,
    landmarks_gather,
    masks_gather,


rule all:
    """Every model of `train:`, trained and judged."""
    default_target: True
    input:
        [judgements(model) for model in config["train"]],


rule faces:
    """The data set as one Hugging Face dataset, verified."""
    input:
        f"results/{DATASET}/faces.json",


rule landmarks:
    """68 points of every face, as CSV."""
    input:
        f"results/{DATASET}/landmarks.json",


rule masks:
    """14 regions and 40 masks of every face, as a Zarr store."""
    input:
        f"results/{DATASET}/masks.json",


rule compare_models:
    """The models of `train:` beside the majority rule, with intervals."""
    input:
        f"results/{DATASET}/comparisons/models.json",


rule compare_segmentation:
    """What masks are worth: AttParseNet with and without them, several seeds and shares."""
    input:
        f"results/{DATASET}/comparisons/segmentation.json",


# train_attparsenet, train_cnn_rnn, …: one target for each model of the configuration.
for model in config["models"]:

    rule:
        name:
            f"train_{model}"
        input:
            judgements(model),
        localrule: True
