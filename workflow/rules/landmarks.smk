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


rule landmarks_gather:
    """Put the parts into one table, in the order of the faces."""
    input:
        faces=ancient("results/{dataset}/faces"),
        whole=whole("acquire"),
        parts=gather.landmarks("results/{{dataset}}/landmarks/{scatteritem}.csv"),
    output:
        # Not deleted before the job, which keeps a table that a person has corrected. Should it fail,
        # Snakemake restores the old table with a new time: that `done` lacks shows it to be stale.
        table=update("results/{dataset}/landmarks.csv"),
        done="results/{dataset}/landmarks/done",
    log:
        "logs/{dataset}/landmarks_gather.log",
    benchmark:
        "benchmarks/{dataset}/landmarks_gather.tsv"
    localrule: True
    conda:
        "../../envs/attparse.yaml"
    params:
        *code("landmarks"),
        settings=settings("landmarks", "detectors"),
        written="results/{dataset}/landmarks/written.txt",
    message:
        "Gathering the landmarks of {wildcards.dataset}"
    shell:
        "python -m pipeline.landmarks gather --faces {input.faces} --parts {input.parts}"
        " --settings {params.settings:q} --out {output.table} --written {params.written}"
        " --done {output.done} --log {log}"


checkpoint landmarks_summary:
    """Describe the table as it is: points that a person corrects in it are used from here on."""
    input:
        faces=ancient("results/{dataset}/faces"),
        whole=whole("acquire"),
        table="results/{dataset}/landmarks.csv",
        done=ancient("results/{dataset}/landmarks/done"),
    output:
        summary="results/{dataset}/landmarks.json",
    log:
        "logs/{dataset}/landmarks_summary.log",
    benchmark:
        "benchmarks/{dataset}/landmarks_summary.tsv"
    localrule: True
    conda:
        "../../envs/attparse.yaml"
    params:
        *code("landmarks"),
    message:
        "Counting the landmarks of {wildcards.dataset}"
    shell:
        "python -m pipeline.landmarks summarise --faces {input.faces} --landmarks {input.table}"
        " --out {output.summary} --log {log}"
