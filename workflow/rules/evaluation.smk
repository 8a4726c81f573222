"""How well models do on the test split, each by itself and side by side."""


rule evaluate:
    """Evaluate one trained network on the test split of a data set."""
    input:
        weights=f"{RUN}/weights.safetensors",
        faces=ancient("results/{judged}/faces"),
        whole=whole("acquire", dataset="judged"),
        trained_on=ancient("results/{dataset}/faces"),
        trained_on_whole=whole("acquire"),
        masks=branch(evaluated_with_masks, then=ancient("results/{judged}/masks.zarr")),
        masks_whole=branch(
            evaluated_with_masks,
            then=whole("landmarks_summary", "masks_gather", dataset="judged"),
        ),
    output:
        predictions=f"{EVALUATED}/predictions.parquet",
        metrics=f"{EVALUATED}/metrics.json",
        table=f"{EVALUATED}/metrics.csv",
        label_issues=f"{EVALUATED}/label_issues.csv",
    log:
        f"logs/{OF_EVALUATION}/evaluate.log",
    benchmark:
        f"benchmarks/{OF_EVALUATION}/evaluate.tsv"
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
        same_as=settings("datasets/{judged}/same_as"),
        trained_same_as=settings("datasets/{dataset}/same_as"),
        masks=option("--masks", "masks"),
    message:
        "Evaluating {wildcards.model}, seed {wildcards.seed}, on {wildcards.judged}"
    shell:
        "python -m pipeline.evaluate --weights {input.weights} --faces {input.faces}"
        " --faces-summary results/{wildcards.judged}/faces.json --trained-on {input.trained_on}"
        " --trained-on-summary results/{wildcards.dataset}/faces.json"
        " {params.masks} --masks-summary results/{wildcards.judged}/masks.json"
        " --threads {threads} --settings {params.settings:q}"
        " --same-as {params.same_as:q} --trained-same-as {params.trained_same_as:q}"
        " --predictions {output.predictions} --metrics {output.metrics} --table {output.table}"
        " --label-issues {output.label_issues} --log {log}"


rule compare:
    """Set every model of `train:` beside the majority rule, on the same test faces."""
    input:
        predictions=[predictions(model) for model in config["train"]],
    output:
        table="results/{dataset}/comparisons/models.csv",
        summary="results/{dataset}/comparisons/models.json",
        figure=data_figure(
            "models.svg", "models side by side", "4 Evaluation", "comparisons"
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
        command="models",
        compared=[
            f"--predictions {model}={file}"
            for model in config["train"]
            for file in predictions(model)
        ],
    message:
        "Comparing the models of {wildcards.dataset}"
    shell:
        "python -m pipeline.compare {params.command} {params.compared} --settings {params.settings:q}"
        " --threads {threads} --out-table {output.table} --out-json {output.summary} --out-figure {output.figure}"
        " --log {log}"


use rule compare as pairs with:
    """Set the models of each of `compare: pairs:` side by side, at each share of train and seed."""
    input:
        predictions=runs_of_pairs("predictions.parquet"),
        metrics=runs_of_pairs("metrics.json"),
    output:
        table="results/{dataset}/comparisons/pairs.csv",
        summary="results/{dataset}/comparisons/pairs.json",
        figure=data_figure(
            "pairs.svg", "pairs of models", "4 Evaluation", "comparisons"
        ),
    log:
        "logs/{dataset}/comparisons/pairs.log",
    benchmark:
        "benchmarks/{dataset}/comparisons/pairs.tsv"
    params:
        *code("compare"),
        settings=settings("evaluate", "draws", "seed", "min_class"),
        command="pairs",
        compared=flags_of_pairs,
    message:
        "Comparing pairs of models on {wildcards.dataset}"
