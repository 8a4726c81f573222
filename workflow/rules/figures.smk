"""Which figures a model and its data have, and how each appears in Snakemake's report."""

RUN = "results/{dataset}/{model}/seed-{seed}"
EVALUATED = "results/{dataset}/{model}/seed-{seed}/on-{judged}"
# What a figure requests of a cluster: minutes for CelebA's 20,000 test faces, without a GPU.
LIGHT = {"mem_mb": 6000, "runtime": 120}

# The figures of the data count landmarks and masks where the experiment makes them.
MASKED = any(map(learns_from_masks, config["train"]))


def shown(model, dataset=DATASET):
    """The figures and the gallery of every evaluation of a model, and those of its data."""
    # One file of each rule: its others are made with it.
    one_each = ["training.svg", "grid.png", "gallery.html"]
    data = ["configuration.html", "counts.svg"]
    if learns_from_masks(model):
        one_each.append("maps.png")
        data += ["landmarks/random.png", "mean_masks.png"]
        if config["datasets"][dataset]["source"] == "synthetic":
            data.append("true_parts.csv")
    return [
        *[
            metrics.replace("metrics.json", f"figures/{name}")
            for metrics in metrics_of(model, dataset)
            for name in one_each
        ],
        *[f"results/{dataset}/figures/{name}" for name in data],
        f"results/{dataset}/{model}/costs.svg",
    ]


def evaluations(wildcards):
    return metrics_of(wildcards.model, wildcards.dataset)


def benchmarks(wildcards):
    """The benchmark files of the jobs that lead to a model's evaluation."""
    model, dataset = wildcards.model, wildcards.dataset
    steps = ["acquire"]
    if config["datasets"][dataset]["source"] == "synthetic":
        steps.insert(0, "synthesize")
    if learns_from_masks(model):
        for stage in ("landmarks", "masks"):
            parts = config[stage]["parts"]
            steps += [f"{stage}/{part}-of-{parts}" for part in range(1, parts + 1)]
            steps.append(f"{stage}_gather")
        steps.append("landmarks_summary")
    for metrics in metrics_of(model, dataset):
        evaluated = Path(metrics).parent.relative_to(f"results/{dataset}")
        steps += [evaluated.parent / "train", evaluated / "evaluate"]
    return [f"benchmarks/{dataset}/{step}.tsv" for step in dict.fromkeys(steps)]


def data_figure(name, caption, category, **labels):
    """A figure of a data set for the report, under a category and with a caption."""
    return report(
        f"results/{{dataset}}/figures/{name}",
        caption=f"../report/{caption}.rst",
        category=category,
        labels={"data set": "{dataset}", **labels},
    )


def model_figure(name, category, figure):
    """A figure of one evaluation for the report; its caption has the figure's name."""
    return report(
        f"{EVALUATED}/figures/{name}",
        caption=f"../report/{Path(name).stem}.rst",
        category=category,
        labels={
            "model": "{model}",
            "seed": "{seed}",
            "evaluated on": "{judged}",
            "figure": figure,
        },
    )
