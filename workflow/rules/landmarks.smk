"""68 points on every face."""


rule fetch_detector:
    """Fetch the face detector's model from the first mirror that has the right bytes."""

    # No input and no code: other code would fetch the same bytes, which are known by their hash.
    output:
        # A right file that is there is kept: an output would be removed before the job.
        model=update(DETECTOR),
    log:
        "logs/fetch_detector.log",
    localrule: True
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
        *code("landmarks"),
        settings=settings("landmarks", "detectors", "map"),
        detectors=DETECTORS,
    message:
        "Finding landmarks in {wildcards.dataset}, part {wildcards.scatteritem}"
    shell:
        "python -m pipeline.landmarks find --faces {input.faces} --model {input.model}"
        " --part {wildcards.scatteritem} --settings {params.settings:q} --out {output.table}"
        " --log {log}"


checkpoint landmarks_gather:
    """Put the parts into one table, in the order of the faces, and count what was found."""
    input:
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
    localrule: True
    conda:
        "../../envs/attparse.yaml"
    params:
        *code("landmarks"),
        settings=settings("landmarks", "detectors"),
    message:
        "Gathering the landmarks of {wildcards.dataset}"
    shell:
        "python -m pipeline.landmarks gather --faces {input.faces} --parts {input.parts}"
        " --settings {params.settings:q} --out {output.table} --summary {output.summary}"
        " --log {log}"
