"""14 regions and 40 masks of every face, from its landmarks and labels."""


rule masks_part:
    """Draw the regions and masks of one part's faces into shards of their own."""
    input:
        faces=ancient("results/{dataset}/faces"),
        landmarks=ancient("results/{dataset}/landmarks.csv"),
        whole=whole("acquire", "landmarks_summary"),
    output:
        shards=directory("results/{dataset}/masks/{scatteritem}"),
        part="results/{dataset}/masks/{scatteritem}.json",
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
    message:
        "Drawing masks for {wildcards.dataset}, part {wildcards.scatteritem}"
    shell:
        "python -m pipeline.masks draw --faces {input.faces} --landmarks {input.landmarks}"
        " --part {wildcards.scatteritem} --settings {params.settings:q}"
        " --shards {output.shards} --out {output.part} --log {log}"


checkpoint masks_gather:
    """Make the store of the parts' shards, by hard links."""
    input:
        faces=ancient("results/{dataset}/faces"),
        whole=whole("acquire", "landmarks_summary"),
        parts=gather.masks("results/{{dataset}}/masks/{scatteritem}.json"),
        shards=ancient(gather.masks("results/{{dataset}}/masks/{scatteritem}")),
    output:
        store=directory("results/{dataset}/masks.zarr"),
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
    message:
        "Gathering the masks of {wildcards.dataset}"
    shell:
        "python -m pipeline.masks gather --store {output.store} --faces {input.faces}"
        " --parts {input.parts} --shards {input.shards} --settings {params.settings:q} --summary {output.summary}"
        " --log {log}"
