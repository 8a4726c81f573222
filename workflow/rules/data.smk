"""From a source to faces, their landmarks and their masks."""


rule synthesize:
    """Draw synthetic faces, with their labels and the truth about their parts."""
    input:
        code("synthesize"),
    output:
        drawn=directory("results/{dataset}/drawn"),
    log:
        "logs/{dataset}/synthesize.log",
    benchmark:
        "benchmarks/{dataset}/synthesize.tsv"
    conda:
        "../../envs/attparse.yaml"
    threads: 16
    resources:
        mem_mb=memory,
        runtime=minutes,
    params:
        settings=settings("datasets/{dataset}", "images", "seed"),
    message:
        "Drawing the faces of {wildcards.dataset}"
    shell:
        "python -m pipeline.synthesize --threads {threads} --settings {params.settings:q}"
        " --out {output.drawn} --log {log}"


checkpoint acquire:
    """Take the faces from their source, verify each one, and store them in one form."""
    input:
        code("acquire"),
        drawn=synthesized,
        names=names_file,
        model=branch(aligned, otherwise=ancient(DETECTOR)),
    output:
        faces=directory("results/{dataset}/faces"),
        manifest="results/{dataset}/manifest.csv",
        rejected="results/{dataset}/rejected.csv",
        terms="results/{dataset}/TERMS.txt",
        summary="results/{dataset}/faces.json",
    log:
        "logs/{dataset}/acquire.log",
    benchmark:
        "benchmarks/{dataset}/acquire.tsv"
    conda:
        "../../envs/attparse.yaml"
    threads: 16
    params:
        settings=settings("datasets/{dataset}"),
        finders=branch(aligned, then="", otherwise=FINDERS),
        drawn=option("--drawn", "drawn"),
        model=option("--model", "model"),
    message:
        "Taking and verifying the faces of {wildcards.dataset}"
    shell:
        "python -m pipeline.acquire --settings {params.settings:q} {params.drawn}"
        " {params.model} --threads {threads}"
        " --downloads downloads/{wildcards.dataset} --out {output.faces}"
        " --manifest {output.manifest} --rejected {output.rejected} --terms {output.terms}"
        " --summary {output.summary} --log {log}"


rule fetch_detector:
    """Fetch the face detector's model from the first mirror that has the right bytes."""

    # No input: other code would bring the same bytes, which are known by their hash.
    output:
        # A right file that is there is kept: an output would be removed before the job.
        model=update(DETECTOR),
    log:
        "logs/fetch_detector.log",
    conda:
        "../../envs/attparse.yaml"
    params:
        settings=settings("landmarks/model"),
    message:
        "Fetching the face detector's model"
    shell:
        "python -m pipeline.fetch --settings {params.settings:q} --out {output.model} --log {log}"


rule landmarks_part:
    """Find the 68 points of one part's faces."""
    input:
        code("landmarks"),
        faces=ancient("results/{dataset}/faces"),
        whole=whole("acquire"),
        model=ancient(DETECTOR),
    output:
        table="results/{dataset}/landmarks/{scatteritem}.csv",
    log:
        "logs/{dataset}/landmarks/{scatteritem}.log",
    benchmark:
        "benchmarks/{dataset}/landmarks/{scatteritem}.tsv"
    conda:
        "../../envs/attparse.yaml"
    resources:
        mem_mb=memory,
        runtime=minutes,
    params:
        settings=settings("landmarks", "detectors", "map"),
        finders=FINDERS,
    message:
        "Finding landmarks in {wildcards.dataset}, part {wildcards.scatteritem}"
    shell:
        "python -m pipeline.landmarks find --faces {input.faces} --model {input.model}"
        " --part {wildcards.scatteritem} --settings {params.settings:q} --out {output.table}"
        " --log {log}"


checkpoint landmarks_gather:
    """Put the parts into one table, in the order of the faces, and count what was found."""
    input:
        code("landmarks"),
        faces=ancient("results/{dataset}/faces"),
        whole=whole("acquire"),
        parts=gather.landmarks("results/{{dataset}}/landmarks/{scatteritem}.csv"),
    output:
        table="results/{dataset}/landmarks.csv",
        summary="results/{dataset}/landmarks.json",
    log:
        "logs/{dataset}/landmarks.log",
    benchmark:
        "benchmarks/{dataset}/landmarks_gather.tsv"
    conda:
        "../../envs/attparse.yaml"
    params:
        settings=settings("landmarks", "detectors"),
    message:
        "Gathering the landmarks of {wildcards.dataset}"
    shell:
        "python -m pipeline.landmarks gather --faces {input.faces} --parts {input.parts}"
        " --settings {params.settings:q} --out {output.table} --summary {output.summary}"
        " --log {log}"


rule masks_part:
    """Draw the regions and masks of one part's faces into shards of their own."""
    input:
        code("masks"),
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
        code("masks"),
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
    conda:
        "../../envs/attparse.yaml"
    params:
        settings=settings("masks", "shard", "repair_labels"),
        store="results/{dataset}/masks.zarr",
    message:
        "Checking that the masks of {wildcards.dataset} are whole"
    shell:
        "python -m pipeline.masks gather --store {params.store} --faces {input.faces}"
        " --parts {input.parts} --settings {params.settings:q} --summary {output.summary}"
        " --log {log}"
