"""Where faces come from: drawn, or taken from their source; verified and stored in one form."""


rule synthesize:
    """Draw synthetic faces, with their labels and the truth about their parts."""
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
        *code("synthesize"),
        settings=settings("datasets/{dataset}", "images", "seed"),
    message:
        "Drawing the faces of {wildcards.dataset}"
    shell:
        "python -m pipeline.synthesize --threads {threads} --settings {params.settings:q}"
        " --out {output.drawn} --log {log}"


checkpoint acquire:
    """Take the faces from their source, verify each one, and store them in one form."""
    input:
        drawn=synthesized,
        lists=lists,
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
    localrule: not acquired_by_jobs()
    conda:
        "../../envs/attparse.yaml"
    threads: 16
    resources:
        mem_mb=memory,
        runtime=minutes,
    params:
        *code("acquire"),
        settings=settings("datasets/{dataset}"),
        listing=root_listing,
        detectors=branch(aligned, then="", otherwise=DETECTORS),
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
