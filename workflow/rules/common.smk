"""The configuration, checked once, and what the rules share.

How a change travels from a stage to those after it. A big artifact is written together with a small
summary of it, `faces` with `faces.json`; the rules after it take both:

                  ┌─> faces/ ─ ─ ─ ─ ─ ─ ─ ─ ancient ─ ─ ─ ─ ─ ─┐
    acquire ──────┤                                             ├─> landmarks_part, masks_part,
    (checkpoint)  └─> faces.json ─────────── whole() ───────────┘   train, evaluate, …

  ancient     the artifact has to be there; that it is newer reruns nothing. Snakemake compares only
              small files by what they hold, so equal bytes of a new date would rerun all after them.
  whole()     the summary, in which the artifact's hash is. It is small: made again with the same
              bytes, it reruns nothing in a later call.
  checkpoint  the same within one call: what needs the summary of a stage that runs is planned anew
              once it has run, and then left out if the summary has kept its bytes.
"""

import json
import os
import shlex
import sys
from functools import cache, reduce
from importlib.util import find_spec
from itertools import product
from operator import getitem
from pathlib import Path

import yaml
from snakemake.utils import min_version

min_version("9.20")


def without_braces(what, path):
    """End in a sentence where a path has what Snakemake takes for wildcards."""
    if set("{}") & set(str(path)):
        sys.exit(
            f"attparse: {what} {path}, and Snakemake takes what stands in braces for wildcards;"
            " move it to a folder without { and }, or rename it."
        )


ROOT = Path(workflow.basedir)
without_braces("the project lies in", ROOT)
sys.path.insert(0, str(ROOT))

from pipeline.core.configuration import compared_models, complete, own_share, share_name
from pipeline.core.errors import UserError
from pipeline.core.files import listing_sha256
from pipeline.core.model_settings import (
    backbone_of,
    decisive,
    needs_masks,
    starts_from_imagenet,
)
from pipeline.core.provenance import Code

# In a rule `python` is the interpreter that runs Snakemake, or that of the rule's conda environment,
# and finds the stages whatever the working folder is.
os.environ.update(
    PATH=os.pathsep.join([str(Path(sys.executable).parent), *os.get_exec_path()]),
    PYTHONPATH=os.pathsep.join([str(ROOT), *filter(None, [os.getenv("PYTHONPATH")])]),
)

if "--delete-all-output" in sys.argv:
    sys.exit(
        "attparse: Snakemake's --delete-all-output leaves every folder and takes what was fetched;"
        " to delete the results of a data set, rm -r results/<its name>; logs and benchmarks have"
        " folders of that name too."
    )

with open(ROOT / "workflow/schemas/config.schema.yaml") as file:
    SCHEMA = yaml.load(file, getattr(yaml, "CSafeLoader", yaml.SafeLoader))
try:
    config = complete(config, SCHEMA)
except UserError as error:
    sys.exit(f"attparse: {error}")

without_braces("predict: photographs: is", config["predict"]["photographs"])
for name, entry in config["datasets"].items():
    if not isinstance(entry["names"], list):
        without_braces(f"datasets: {name}: names: is", entry["names"])
    without_braces(
        f"datasets: {name}: labels: corrections: is", entry["labels"]["corrections"]
    )
for name, model in config["models"].items():
    without_braces(f"models: {name}: initial_weights: is", model["initial_weights"])

DATASET = config["dataset"]
# Of a model trained with a seed, and of its evaluation: below results/, logs/ and benchmarks/.
OF_RUN = "{dataset}/{model}/seed-{seed}"
OF_EVALUATION = f"{OF_RUN}/on-{{judged}}"
RUN, EVALUATED = f"results/{OF_RUN}", f"results/{OF_EVALUATION}"
DETECTOR = "downloads/face_landmarker.task"
# Which detectors there are, for params: the model file is `ancient` and known by its pinned hash;
# dlib is optional, and where it is installed it finds other faces.
DETECTORS = [config["landmarks"]["model"]["sha256"]]
if all(map(find_spec, ("dlib", "face_recognition_models"))):
    DETECTORS.append("dlib")


wildcard_constraints:
    dataset="|".join(config["datasets"]),
    judged="|".join(config["datasets"]),
    model="|".join(config["models"]),
    seed=r"\d+",


scattergather:
    landmarks=config["landmarks"]["parts"],
    masks=config["masks"]["parts"],


CODE = Code(ROOT)


def code(stage, network=None):
    """Params that name the files which a stage runs, each with the hash of what it does.

    A param for each file, so that Snakemake's reason for a rerun names those that have changed.
    """
    return [f"{file} {hash}" for file, hash in CODE.of(stage, network).items()]


def network_code(stage):
    """What the network of a rule's model adds to `code`."""

    def added(wildcards):
        network = config["models"][wildcards.model]["network"]
        return sorted({*code(stage, network)} - {*code(stage)})

    return added


# Snakemake's `lookup` does the same in 3 ms each time, as it searches the whole configuration.
def configured(path):
    """What the configuration has at a path of keys, which may hold wildcards."""

    def found(wildcards):
        return reduce(getitem, path.format(**wildcards).split("/"), config)

    return found


source = configured("datasets/{dataset}/source")
# Whether a data set's images are aligned; else the detector finds the faces in them.
aligned = configured("datasets/{dataset}/aligned")


def settings(path, *keys):
    """A stage's own section of the configuration as JSON.

    With `keys`, only these of the section: what a stage does not need does not rerun it.
    """

    def as_json(wildcards):
        section = configured(path)(wildcards)
        chosen = {key: section[key] for key in keys} or section
        return json.dumps(chosen, sort_keys=True)

    return as_json


def decisive_settings(wildcards):
    """The settings of a model that decide on its weights: a change trains it anew."""
    return json.dumps(decisive(config["models"][wildcards.model]), sort_keys=True)


def whole(*stages, dataset="dataset"):
    """The summaries of stages, see above; `dataset` is the wildcard that names the data set.

    A command names them by their paths: in a job of a cluster, whose Snakemake has not seen the
    checkpoints run, such an input has no value yet.
    """

    def summaries(wildcards):
        return [
            getattr(checkpoints, stage).get(dataset=wildcards[dataset]).output.summary
            for stage in stages
        ]

    return summaries


def models_made(retrained):
    """For a rule's wildcard: the models that are made from another's weights, or the others."""
    names = [
        name
        for name, model in config["models"].items()
        if bool(model["last_layer_of"]) == retrained
    ]
    return "|".join(names) or "(?!)"  # which nothing matches


def started_from(wildcards):
    """The results of the model whose last layer is trained again."""
    model = config["models"][wildcards.model]["last_layer_of"]
    folder = f"results/{wildcards.dataset}/{model}/seed-{wildcards.seed}"
    return {
        "weights": f"{folder}/weights.safetensors",
        "history": f"{folder}/history.csv",
        "run": f"{folder}/run.json",
    }


def option(flag, name):
    """`--flag file` where a rule has the input `name`, else nothing."""

    def written(wildcards, input):
        file = input.get(name)
        return shlex.join([flag, file]) if file else ""

    return written


@cache
def listing(folder):
    """For params: a hash of the names, sizes and times of the files in a user's folder.

    Snakemake looks at the time of the folder itself, which a file that is replaced, or added
    further below, leaves as it is.
    """
    try:
        return listing_sha256(Path(folder))
    except OSError as error:  # the stage says what is wrong with the folder
        return error.strerror


def root_listing(wildcards):
    root = config["datasets"][wildcards.dataset]["root"]
    return listing(root) if root else ""


def photographs_listing(wildcards):
    return listing(config["predict"]["photographs"])


def synthesized(wildcards):
    """The drawn faces, where a data set is taken from them."""
    drawn = source(wildcards) == "synthetic"
    return f"results/{wildcards.dataset}/drawn" if drawn else []


def lists(wildcards):
    """The files of image names and of corrections that a data set's entry names, if they exist."""
    dataset = config["datasets"][wildcards.dataset]
    named = [dataset["names"], dataset["labels"]["corrections"]]
    return [file for file in named if isinstance(file, str) and Path(file).is_file()]


def learns_from_masks(model):
    """Only for such a model are masks made, and read."""
    return needs_masks(config["models"][model])


def with_masks(wildcards):
    return learns_from_masks(wildcards.model)


def evaluated_with_masks(wildcards):
    """A model that learns from masks, or one that is compared with such a model."""
    models = {wildcards.model}
    for pair, share in product(config["compare"]["pairs"], config["compare"]["shares"]):
        names = {share_name(name, share) for name in pair}
        if wildcards.model in names:
            models |= names
    return any(map(learns_from_masks, models))


def from_imagenet(wildcards):
    """The backbone whose ImageNet weights a model starts from, if it does."""
    model = config["models"][wildcards.model]
    backbone = backbone_of(model["network"], model["backbone"])
    return backbone if starts_from_imagenet(model) else None


def initial_weights(wildcards):
    """The file that a model starts from: its own, ImageNet's, or none."""
    if backbone := from_imagenet(wildcards):
        return ancient(f"downloads/{backbone}-imagenet.pth")
    return config["models"][wildcards.model]["initial_weights"] or []


def imagenet(key, none):
    """The hash of ImageNet's weights, or their `rename`, where a model starts from them."""

    def found(wildcards):
        value = config["imagenet"].get(from_imagenet(wildcards), {}).get(key, none)
        return value if isinstance(value, str) else json.dumps(value)

    return found


def of_evaluations(model, file, dataset=DATASET, root="results"):
    """A file of every evaluation of a model: each seed, on its own data set and `judge_on:`'s."""
    others = [name for name in config["judge_on"] if name != dataset]
    return [
        f"{root}/{dataset}/{model}/seed-{seed}/on-{other}/{file}"
        for seed in config["seeds"]
        for other in [dataset, *others]
    ]


def predictions(model):
    """The predictions of a model with every seed for the test faces of its own data set."""
    return [
        f"results/{{dataset}}/{model}/seed-{seed}/on-{{dataset}}/predictions.parquet"
        for seed in config["seeds"]
    ]


# Every model, share of train and seed that `compare: pairs:` needs.
RUNS_OF_PAIRS = [
    (model, share, seed)
    for model in compared_models(config)
    for share in config["compare"]["shares"]
    for seed in config["compare"]["seeds"]
]


def runs_of_pairs(result):
    """One of the evaluation's results for each of RUNS_OF_PAIRS."""
    return [
        f"results/{{dataset}}/{share_name(model, share)}/seed-{seed}/on-{{dataset}}/{result}"
        for model, share, seed in RUNS_OF_PAIRS
    ]


def flags_of_pairs(wildcards, input):
    """Each pair, models' own shares of train, and each of RUNS_OF_PAIRS with its two files."""
    shares = [
        (name, own_share(config["models"][name])) for name in compared_models(config)
    ]
    runs = zip(RUNS_OF_PAIRS, input.predictions, input.metrics)
    return [
        *[f"--pair {one},{other}" for one, other in config["compare"]["pairs"]],
        *[f"--own-share {name}={share:g}" for name, share in shares if share != 1],
        *[
            f"--run {model}/{share:g}/{seed}={predictions},{metrics}"
            for (model, share, seed), predictions, metrics in runs
        ],
    ]
