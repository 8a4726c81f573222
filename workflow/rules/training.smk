"""From faces and masks to the weights of a model."""


rule fetch_imagenet:
    """Fetch a backbone's ImageNet weights, known by their hash."""

    # No input and no code: other code would fetch the same bytes, which are known by their hash.
    output:
        weights=update("downloads/{backbone}-imagenet.pth"),
    log:
        "logs/fetch_imagenet/{backbone}.log",
    localrule: True
    conda:
        "../../envs/attparse.yaml"
    params:
        settings=settings("imagenet/{backbone}", "sha256", "mirrors"),
    message:
        "Fetching ImageNet weights of {wildcards.backbone}"
    shell:
        "python -m pipeline.fetch --settings {params.settings:q} --out {output.weights}"
        " --log {log}"


rule train:
    """Train one model with one seed."""
    input:
        faces=ancient("results/{dataset}/faces"),
        whole=whole("acquire"),
        masks=branch(with_masks, then=ancient("results/{dataset}/masks.zarr")),
        landmarks_whole=branch(with_masks, then=whole("landmarks_summary")),
        masks_whole=branch(with_masks, then=whole("masks_gather")),
        initial=initial_weights,
    output:
        weights=f"{RUN}/weights.safetensors",
        history=f"{RUN}/history.csv",
        run=f"{RUN}/run.json",
    log:
        f"logs/{OF_RUN}/train.log",
    benchmark:
        f"benchmarks/{OF_RUN}/train.tsv"
    wildcard_constraints:
        model=models_made(retrained=False),
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
        *code("train"),
        network=network_code("train"),
        decisive=decisive_settings,
        settings=unwatched(settings("models/{model}")),
        # The same faces from another source train nothing anew.
        source=unwatched(source),
        imagenet=imagenet("sha256", ""),
        rename=imagenet("rename", []),
        checkpoints=f"{RUN}/checkpoints",
        masks=option("--masks", "masks"),
        initial=option("--initial", "initial"),
    message:
        "Training {wildcards.model} on {wildcards.dataset}, seed {wildcards.seed}"
    shell:
        "{resources.launcher} python -m pipeline.train --faces {input.faces} --faces-summary results/{wildcards.dataset}/faces.json"
        " --data-set {wildcards.dataset} --source {params.source}"
        " {params.masks} --masks-summary results/{wildcards.dataset}/masks.json"
        " {params.initial} --rename {params.rename:q}"
        " --seed {wildcards.seed} --threads {threads} --job-minutes {resources.runtime} --settings {params.settings:q}"
        " --checkpoints {params.checkpoints} --weights {output.weights}"
        " --history {output.history} --run {output.run} --log {log}"


rule retrain:
    """Train a model's last layer again, on valid faces of which every group has as many."""
    input:
        unpack(started_from),
        faces=ancient("results/{dataset}/faces"),
        whole=whole("acquire"),
    output:
        weights=f"{RUN}/weights.safetensors",
        history=f"{RUN}/history.csv",
        run=f"{RUN}/run.json",
    log:
        f"logs/{OF_RUN}/retrain.log",
    benchmark:
        f"benchmarks/{OF_RUN}/retrain.tsv"
    wildcard_constraints:
        model=models_made(retrained=True),
    conda:
        "../../envs/attparse.yaml"
    threads: 16
    resources:
        mem_mb=memory,
        runtime=minutes,
        gpu=evaluation_gpus,
    params:
        *code("retrain"),
        network=network_code("retrain"),
        settings=settings("models/{model}", "groups", "last_layer_of"),
        out=RUN,
    message:
        "Training the last layer of {wildcards.model} on {wildcards.dataset}, seed {wildcards.seed}"
    shell:
        "python -m pipeline.retrain --weights {input.weights} --history {input.history} --run {input.run}"
        " --faces {input.faces} --faces-summary results/{wildcards.dataset}/faces.json"
        " --seed {wildcards.seed} --threads {threads} --settings {params.settings:q} --out {params.out} --log {log}"
