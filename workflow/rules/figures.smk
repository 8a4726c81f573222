"""Which figures a model and its data have, and how each appears in Snakemake's report."""

# The figures of the data count landmarks and masks where the experiment makes them.
MASKED = any(map(learns_from_masks, config["train"]))


def shown(model):
    """The figures and the gallery of every evaluation of a model, and those of its data."""
    # One file of each rule: its others are made with it.
    one_each = ["training.svg", "grid.png", "gallery.html"]
    data = ["configuration.html", "counts.svg"]
    if learns_from_masks(model):
        one_each.append("maps.png")
        data += ["landmarks/random.png", "mean_masks.png"]
        if config["datasets"][DATASET]["source"] == "synthetic":
            data.append("true_parts.csv")
    files = []
    for name in one_each:
        files += of_evaluations(model, f"figures/{name}")
    files += [f"results/{DATASET}/figures/{name}" for name in data]
    return [*files, f"results/{DATASET}/{model}/costs.svg"]


def evaluations(wildcards):
    return of_evaluations(wildcards.model, "metrics.json", wildcards.dataset)


def benchmarks(wildcards):
    """RULE=FILE for the benchmark of each job that leads to a model's evaluation."""
    model, dataset = wildcards.model, wildcards.dataset
    folder, jobs = f"benchmarks/{dataset}", ["acquire"]
    if config["datasets"][dataset]["source"] == "synthetic":
        jobs.insert(0, "synthesize")
    files = [f"{job}={folder}/{job}.tsv" for job in jobs]
    if learns_from_masks(model):
        for stage in ("landmarks", "masks"):
            parts = config[stage]["parts"]
            for part in range(1, parts + 1):
                files.append(f"{stage}={folder}/{stage}/{part}-of-{parts}.tsv")
            files.append(f"{stage}_gather={folder}/{stage}_gather.tsv")
        files.append(f"landmarks_summary={folder}/landmarks_summary.tsv")
    made = "retrain" if config["models"][model]["last_layer_of"] else "train"
    for seed in config["seeds"]:
        files.append(f"{made}={folder}/{model}/seed-{seed}/{made}.tsv")
    evaluations = of_evaluations(model, "evaluate.tsv", dataset, "benchmarks")
    return files + [f"evaluate={file}" for file in evaluations]


def figure(path, category, name, **labels):
    """A file for the report; its caption has the file's name."""
    caption = f"../report/{Path(path).stem}.rst"
    return report(
        path, caption=caption, category=category, labels=labels | {"figure": name}
    )


def data_figure(file, name, category="2 Data", folder="figures"):
    """A figure of a data set."""
    path = f"results/{{dataset}}/{folder}/{file}"
    return figure(path, category, name, **{"data set": "{dataset}"})


def model_figure(file, category, name):
    """A figure of one evaluation."""
    labels = {"model": "{model}", "seed": "{seed}", "evaluated on": "{judged}"}
    return figure(f"{EVALUATED}/figures/{file}", category, name, **labels)
