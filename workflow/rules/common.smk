"""The configuration, checked once, and what the rules share."""

import json
import os
import shlex
import sys
from importlib.util import find_spec
from pathlib import Path

import yaml
from snakemake.utils import min_version

min_version("9.20")

ROOT = Path(workflow.basedir)
sys.path.insert(0, str(ROOT))

from pipeline.core.provenance import files_of
from pipeline.core.configuration import complete, share_name
from pipeline.core.model_settings import decisive, starts_from_imagenet
from pipeline.core.errors import UserError

# Rules name the code by paths relative to the project, so that results survive its moving.
if not ROOT.samefile(Path.cwd()):
    sys.exit(
        f"attparse: run Snakemake in the project's folder (cd {ROOT}), without --directory; to keep"
        " results elsewhere, make results/ and downloads/ links to folders there."
    )

with open(ROOT / "workflow/schemas/config.schema.yaml") as file:
    SCHEMA = yaml.safe_load(file)
try:
    config = complete(config, SCHEMA)
except UserError as error:
    sys.exit(f"attparse: {error}")

DATASET = config["dataset"]
DETECTOR = "downloads/face_landmarker.task"
# Who finds landmarks, for params: what is fetched is `ancient` and known by its pinned hash; dlib
# is an extra, with which other faces are found.
FINDERS = [config["landmarks"]["model"]["sha256"]]
if all(map(find_spec, ("dlib", "face_recognition_models"))):
    FINDERS.append("dlib")
# In a rule `python` is the interpreter that runs Snakemake, or that of the rule's conda environment.
os.environ.update(
    PATH=os.pathsep.join([str(Path(sys.executable).parent), *os.get_exec_path()])
)


wildcard_constraints:
    dataset="|".join(config["datasets"]),
    judged="|".join(config["datasets"]),
    model="|".join(config["models"]),
    seed=r"\d+",


scattergather:
    landmarks=config["landmarks"]["parts"],
    masks=config["masks"]["parts"],


def code(stage):
    """Every file of code that a stage runs: a change to one of them makes it run again."""
    return files_of(stage, ROOT)


def settings(path, *keys):
    """A stage's own section of the configuration as JSON; `path` may hold wildcards.

    With `keys`, only these of the section: what a stage does not need does not rerun it.
    """

    def section(wildcards):
        value = config
        for key in path.format(**wildcards).split("/"):
            value = value[key]
        return json.dumps(
            {key: value[key] for key in keys} if keys else value, sort_keys=True
        )

    return section


def decisive_settings(wildcards):
    """What of a model's entry makes it train anew."""
    return json.dumps(decisive(config["models"][wildcards.model]), sort_keys=True)


def unwatched(param):
    """The same param, of which a change reruns nothing.

    So Snakemake treats functions of threads, as of all that may differ from machine to machine.
    """
    return lambda wildcards, threads: param(wildcards)


def whole(*stages, dataset="dataset"):
    """The summaries that stages write once their results are whole.

    What comes after a stage asks for its summary and takes the big artifact itself as `ancient`:
    a part that is made again with the same bytes then reruns nothing, in the same call and in
    later ones. For that the stage is a checkpoint: after it the graph is looked at anew.
    """
    return lambda wildcards: [
        getattr(checkpoints, stage).get(dataset=wildcards[dataset]).output.summary
        for stage in stages
    ]


def judgements(model, dataset=DATASET):
    """The metrics of every seed of a model, on its own data set and on those of `judge_on:`."""
    return expand(
        "results/{dataset}/{model}/seed-{seed}/on-{judged}/metrics.json",
        dataset=dataset,
        model=model,
        seed=config["seeds"],
        judged=[dataset, *(name for name in config["judge_on"] if name != dataset)],
    )


def synthesized(wildcards):
    """The drawn faces, where a data set is taken from them."""
    synthetic = config["datasets"][wildcards.dataset]["source"] == "synthetic"
    return f"results/{wildcards.dataset}/drawn" if synthetic else []


def aligned(wildcards):
    """Whether a data set's images are aligned; else the detector finds the faces in them."""
    return config["datasets"][wildcards.dataset]["aligned"]


def names_file(wildcards):
    """The file that lists a data set's images, where its entry names one that is there."""
    names = config["datasets"][wildcards.dataset]["names"]
    return names if isinstance(names, str) and Path(names).is_file() else []


def learns_from_masks(model):
    """Only for such a model are masks made, and read."""
    return config["models"][model]["segmentation_weight"] > 0


def with_masks(wildcards):
    return learns_from_masks(wildcards.model)


def from_imagenet(wildcards):
    """The backbone whose ImageNet weights a model starts from, if it does."""
    model = config["models"][wildcards.model]
    return model["backbone"] if starts_from_imagenet(model) else None


def initial_weights(wildcards):
    """The file that a model starts from: its own, ImageNet's, or none."""
    if backbone := from_imagenet(wildcards):
        return ancient(f"downloads/{backbone}-imagenet.pth")
    return config["models"][wildcards.model]["initial_weights"] or []


def imagenet_hash(wildcards):
    """What ImageNet's weights are known by, where a model starts from them."""
    return config["imagenet"].get(from_imagenet(wildcards), {}).get("sha256", "")


def option(flag, name):
    """`--flag file` where a rule has the input `name`, else nothing; a store by its folder."""

    def written(wildcards, input):
        file = Path(input.get(name) or "")
        folder = file.parent if file.name == "zarr.json" else file
        return f"{flag} {shlex.quote(str(folder))}" if input.get(name) else ""

    return written


def predictions(model):
    """What a model with every seed says of the faces of its own data set."""
    return expand(
        "results/{{dataset}}/{model}/seed-{seed}/on-{{dataset}}/predictions.parquet",
        model=model,
        seed=config["seeds"],
    )


# Every (share of train, seed) that AttParseNet with and without masks is compared at.
COMPARED = [
    (share, seed)
    for share in config["compare"]["shares"]
    for seed in config["compare"]["seeds"]
]


def compared(side):
    """Predictions of the model `with` or `without` masks, one for each of COMPARED."""
    run = "results/{{dataset}}/{model}/seed-{seed}/on-{{dataset}}/predictions.parquet"
    return [
        run.format(model=share_name(config["compare"][side], share), seed=seed)
        for share, seed in COMPARED
    ]
