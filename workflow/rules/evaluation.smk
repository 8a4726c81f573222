"""How well models do on the test split, each by itself and side by side."""


rule evaluate:
    """Evaluate one trained network on the test split of a data set."""
    input:
        weights="results/{dataset}/{model}/seed-{seed}/weights.safetensors",
        faces=ancient("results/{judged}/faces"),
        whole=whole("acquire", dataset="judged"),
        trained_on=ancient("results/{dataset}/faces"),
        trained_on_whole=whole("acquire"),
        masks=branch(with_masks, then=ancient("results/{judged}/masks.zarr/zarr.json")),
        masks_whole=branch(
            with_masks,
            then=whole("landmarks_gather", "masks_gather", dataset="judged"),
        ),
    output:
        predictions="results/{dataset}/{model}/seed-{seed}/on-{judged}/predictions.parquet",
        metrics="results/{dataset}/{model}/seed-{seed}/on-{judged}/metrics.json",
        table="results/{dataset}/{model}/seed-{seed}/on-{judged}/metrics.csv",
    log:
        "logs/{dataset}/{model}/seed-{seed}/on-{judged}/evaluate.log",
    benchmark:
        "benchmarks/{dataset}/{model}/seed-{seed}/on-{judged}/evaluate.tsv"
    conda:
        "../../envs/attparse.yaml"
    threads: 16
    resources:
        mem_mb=memory,
        runtime=minutes,
        gpu=evaluation_gpus,
    params:
        *code("evaluate"),
        network=network_code("evaluate"),
        settings=settings("evaluate"),
        masks=option("--masks", "masks"),
    message:
        "Evaluating {wildcards.model}, seed {wildcards.seed}, on {wildcards.judged}"
    shell:
        "python -m pipeline.evaluate --weights {input.weights} --faces {input.faces}"
        " --trained-on {input.trained_on} {params.masks} --threads {threads} --settings {params.settings:q}"
        " --predictions {output.predictions} --metrics {output.metrics} --table {output.table}"
        " --log {log}"


rule compare:
    """Set every model of `train:` beside the majority rule, on the same test faces."""
    input:
        predictions=[predictions(model) for model in config["train"]],
    output:
        table="results/{dataset}/comparisons/models.csv",
        summary="results/{dataset}/comparisons/models.json",
        figure=report(
            "results/{dataset}/comparisons/models.svg",
            caption="../report/models.rst",
            category="4 Evaluation",
            labels={"data set": "{dataset}", "figure": "models side by side"},
        ),
    log:
        "logs/{dataset}/comparisons/models.log",
    benchmark:
        "benchmarks/{dataset}/comparisons/models.tsv"
    conda:
        "../../envs/attparse.yaml"
    threads: 16
    resources:
        mem_mb=memory,
        runtime=minutes,
    params:
        *code("compare"),
        settings=settings("evaluate", "draws", "seed", "min_class"),
        predictions=[
            f"--predictions {model}={file}"
            for model in config["train"]
            for file in predictions(model)
        ],
    message:
        "Comparing the models of {wildcards.dataset}"
    shell:
        "python -m pipeline.compare models {params.predictions} --settings {params.settings:q}"
        " --threads {threads} --out-table {output.table} --out-json {output.summary} --out-figure {output.figure}"
        " --log {log}"


rule compare_masks:
    """Set AttParseNet with masks beside the same without, at each share of train and seed."""
    input:
        **{side: compared(side) for side in ("with", "without")},
    output:
        table="results/{dataset}/comparisons/segmentation.csv",
        summary="results/{dataset}/comparisons/segmentation.json",
        figure=report(
            "results/{dataset}/comparisons/segmentation.svg",
            caption="../report/segmentation.rst",
            category="4 Evaluation",
            labels={"data set": "{dataset}", "figure": "with and without masks"},
        ),
    log:
        "logs/{dataset}/comparisons/segmentation.log",
    benchmark:
        "benchmarks/{dataset}/comparisons/segmentation.tsv"
    conda:
        "../../envs/attparse.yaml"
    threads: 16
    resources:
        mem_mb=memory,
        runtime=minutes,
    params:
        *code("compare"),
        settings=settings("evaluate", "draws", "seed", "min_class"),
        sides=lambda wildcards, input: [
            f"--{side} {share:g}/{seed}={file}"
            for side in ("with", "without")
            for (share, seed), file in zip(COMPARED, input[side])
        ],
    message:
        "Comparing training with and without masks on {wildcards.dataset}"
    shell:
        "python -m pipeline.compare segmentation {params.sides} --settings {params.settings:q}"
        " --threads {threads} --out-table {output.table} --out-json {output.summary} --out-figure {output.figure}"
        " --log {log}"
