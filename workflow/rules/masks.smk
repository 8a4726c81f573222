"""14 regions and 40 masks of every face, from its landmarks and labels."""


rule masks_part:
    """Draw the regions and masks of one part's faces into shards of their own."""
    input:
        faces=ancient("results/{dataset}/faces"),
        landmarks=ancient("results/{dataset}/landmarks.csv"),
        whole=whole("acquire", "landmarks_gather"),
    output:
        shards="results/{dataset}/masks/{scatteritem}.json",
    log:
        "logs/{dataset}/masks/{scatteritem}.log",
    benchmark:
        "benchmarks/{dataset}/masks/{scatteritem}.tsv"
    conda:
        "../../envs/attparse.yaml"
    resources:
        mem_mb=memory,
        runtime=minutes,
    params:
        *code("masks"),
        settings=settings("masks", "shard"),
        store="results/{dataset}/masks.zarr",
    message:
        "Drawing masks for {wildcards.dataset}, part {wildcards.scatteritem}"
    shell:
        "python -m pipeline.masks draw --faces {input.faces} --landmarks {input.landmarks}"
        " --part {wildcards.scatteritem} --settings {params.settings:q} --store {params.store}"
        " --out {output.shards} --log {log}"


checkpoint masks_gather:
    """Check that every shard is in its place; only then does the store open."""
    input:
        faces=ancient("results/{dataset}/faces"),
        whole=whole("acquire", "landmarks_gather"),
        parts=gather.masks("results/{{dataset}}/masks/{scatteritem}.json"),
    output:
        root="results/{dataset}/masks.zarr/zarr.json",
        summary="results/{dataset}/masks.json",
    log:
        "logs/{dataset}/masks.log",
    benchmark:
        "benchmarks/{dataset}/masks_gather.tsv"
    localrule: True
    conda:
        "../../envs/attparse.yaml"
    params:
        *code("masks"),
        settings=settings("masks", "shard", "repair_labels"),
        store="results/{dataset}/masks.zarr",
    message:
        "Checking that the masks of {wildcards.dataset} are whole"
    shell:
        "python -m pipeline.masks gather --store {params.store} --faces {input.faces}"
        " --parts {input.parts} --settings {params.settings:q} --summary {output.summary}"
        " --log {log}"
