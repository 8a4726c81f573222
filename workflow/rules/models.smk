"""From faces and masks to trained and judged networks."""


rule fetch_imagenet:
    """Fetch a torchvision backbone's ImageNet weights, known by their hash."""

    # No input: other code would bring the same bytes, which are known by their hash.
    output:
        weights=update("downloads/{backbone}-imagenet.pth"),
    log:
        "logs/fetch_imagenet/{backbone}.log",
    conda:
        "../../envs/attparse.yaml"
    params:
        settings=settings("imagenet/{backbone}"),
    message:
        "Fetching ImageNet weights of {wildcards.backbone}"
    shell:
        "python -m pipeline.fetch --settings {params.settings:q} --out {output.weights}"
        " --log {log}"


rule train:
    """Train one model with one seed."""
    input:
        code("train"),
        faces=ancient("results/{dataset}/faces"),
        whole=whole("acquire"),
        masks=branch(with_masks, then=ancient("results/{dataset}/masks.zarr/zarr.json")),
        masks_whole=branch(with_masks, then=whole("landmarks_gather", "masks_gather")),
        initial=initial_weights,
    output:
        weights="results/{dataset}/{model}/seed-{seed}/weights.safetensors",
        history="results/{dataset}/{model}/seed-{seed}/history.csv",
        run="results/{dataset}/{model}/seed-{seed}/run.json",
    log:
        "logs/{dataset}/{model}/seed-{seed}/train.log",
    benchmark:
        "benchmarks/{dataset}/{model}/seed-{seed}/train.tsv"
    conda:
        "../../envs/attparse.yaml"
    threads: 16
    resources:
        mem_mb=memory,
        runtime=training_minutes,
        gpu=gpus,
        nodes=nodes,
        tasks=processes,
        tasks_per_gpu=1,
        mpi=mpi,
        launcher=launcher,
    params:
        decisive=decisive_settings,
        settings=unwatched(settings("models/{model}")),
        imagenet=imagenet_hash,
        checkpoints="results/{dataset}/{model}/seed-{seed}/checkpoints",
        masks=option("--masks", "masks"),
        initial=option("--initial", "initial"),
    message:
        "Training {wildcards.model} on {wildcards.dataset}, seed {wildcards.seed}"
    shell:
        "{resources.launcher} python -m pipeline.train --faces {input.faces} {params.masks} {params.initial}"
        " --seed {wildcards.seed} --threads {threads} --job-minutes {resources.runtime} --settings {params.settings:q}"
        " --checkpoints {params.checkpoints} --weights {output.weights}"
        " --history {output.history} --run {output.run} --log {log}"


rule evaluate:
    """Judge one trained network on the test split of a data set."""
    input:
        code("evaluate"),
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
        gpu=judging_gpus,
    params:
        settings=settings("evaluate"),
        masks=option("--masks", "masks"),
    message:
        "Judging {wildcards.model}, seed {wildcards.seed}, on {wildcards.judged}"
    shell:
        "python -m pipeline.evaluate --weights {input.weights} --faces {input.faces}"
        " --trained-on {input.trained_on} {params.masks} --threads {threads} --settings {params.settings:q}"
        " --predictions {output.predictions} --metrics {output.metrics} --table {output.table}"
        " --log {log}"


rule compare:
    """Set every model of `train:` beside the majority rule, on the same test faces."""
    input:
        code("compare"),
        predictions=[predictions(model) for model in config["train"]],
    output:
        table="results/{dataset}/comparisons/models.csv",
        summary="results/{dataset}/comparisons/models.json",
        figure=report(
            "results/{dataset}/comparisons/models.svg",
            caption="../report/models.rst",
            category="4 Judgement",
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
        settings=settings("evaluate", "draws", "seed", "min_class"),
        predictions=lambda wildcards, input: [
            f"--predictions {Path(file).parts[2]}={file}" for file in input.predictions
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
        code("compare"),
        **{side: compared(side) for side in ("with", "without")},
    output:
        table="results/{dataset}/comparisons/segmentation.csv",
        summary="results/{dataset}/comparisons/segmentation.json",
        figure=report(
            "results/{dataset}/comparisons/segmentation.svg",
            caption="../report/segmentation.rst",
            category="4 Judgement",
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
