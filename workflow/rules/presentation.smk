"""Figures, the gallery, predictions for photographs, exported models.

`snakemake --report report.html` gathers all that is marked report() into one file.
"""


rule draw_configuration:
    """Show the configuration in force, with every default."""
    output:
        data_figure("configuration.html", "configuration", "1 Configuration"),
    log:
        "logs/{dataset}/figures/configuration.log",
    conda:
        "../../envs/attparse.yaml"
    resources:
        **LIGHT,
    params:
        *code("figures"),
        settings=json.dumps(config),
        out=subpath(output[0], parent=True),
    message:
        "Writing the configuration as a page"
    shell:
        "python -m pipeline.figures configuration --settings {params.settings:q}"
        " --out {params.out} --log {log}"


rule draw_data:
    """Count the faces at each step, and how common each attribute is."""
    input:
        faces=ancient("results/{dataset}/faces"),
        whole=whole("acquire"),
        rejected="results/{dataset}/rejected.csv",
        landmarks="results/{dataset}/landmarks.json" if MASKED else [],
        masks="results/{dataset}/masks.json" if MASKED else [],
    output:
        counts=data_figure("counts.svg", "faces at each step"),
        balance=data_figure("balance.svg", "attributes"),
    log:
        "logs/{dataset}/figures/data.log",
    conda:
        "../../envs/attparse.yaml"
    resources:
        **LIGHT,
    params:
        *code("figures"),
        landmarks=option("--landmarks", "landmarks"),
        masks=option("--masks", "masks"),
        out=subpath(output.counts, parent=True),
    message:
        "Drawing the figures of {wildcards.dataset}"
    shell:
        "python -m pipeline.figures data --faces {input.faces} --rejected {input.rejected}"
        " {params.landmarks} {params.masks} --out {params.out} --log {log}"


rule draw_landmarks:
    """Draw contact sheets of faces with their 68 points."""
    input:
        faces=ancient("results/{dataset}/faces"),
        landmarks=ancient("results/{dataset}/landmarks.csv"),
        whole=whole("acquire", "landmarks_summary"),
    output:
        random=data_figure("landmarks/random.png", "points, any faces"),
        odd=data_figure("landmarks/least_plausible.png", "points, least plausible"),
    log:
        "logs/{dataset}/figures/landmarks.log",
    conda:
        "../../envs/attparse.yaml"
    resources:
        **LIGHT,
    params:
        *code("data_figures"),
        out=subpath(output.random, parent=True),
    message:
        "Drawing contact sheets of the landmarks of {wildcards.dataset}"
    shell:
        "python -m pipeline.data_figures landmarks --faces {input.faces}"
        " --landmarks {input.landmarks} --count 24 --out {params.out} --log {log}"


rule draw_masks:
    """Draw mean masks, a face with its masks, and faces with the masks of one attribute."""
    input:
        faces=ancient("results/{dataset}/faces"),
        store=ancient("results/{dataset}/masks.zarr"),
        whole=whole("acquire", "masks_gather"),
    output:
        mean=data_figure("mean_masks.png", "masks, means"),
        face=data_figure("face_masks.png", "masks, one face"),
        sheet=data_figure("sheet_masks.png", "masks, many faces"),
    log:
        "logs/{dataset}/figures/masks.log",
    conda:
        "../../envs/attparse.yaml"
    resources:
        **LIGHT,
    params:
        *code("data_figures"),
    message:
        "Drawing the masks of {wildcards.dataset}"
    shell:
        "python -m pipeline.data_figures mean_masks --store {input.store} --out {output.mean}"
        " --log {log} && "
        "python -m pipeline.data_figures face_masks --store {input.store}"
        " --faces {input.faces} --out {output.face} --log {log} && "
        "python -m pipeline.data_figures sheet_masks --store {input.store}"
        " --faces {input.faces} --out {output.sheet} --log {log}"


rule draw_true_parts:
    """Compare the regions of drawn faces with the parts that they were drawn with."""
    input:
        parts="results/{dataset}/drawn",
        store=ancient("results/{dataset}/masks.zarr"),
        whole=whole("masks_gather"),
    output:
        data_figure("true_parts.csv", "masks, true parts"),
    log:
        "logs/{dataset}/figures/true_parts.log",
    conda:
        "../../envs/attparse.yaml"
    resources:
        **LIGHT,
    params:
        *code("data_figures"),
    message:
        "Comparing the regions of {wildcards.dataset} with the true parts"
    shell:
        "python -m pipeline.data_figures true_parts --store {input.store} --drawn {input.parts}"
        " --out {output} --log {log}"


rule draw_numbers:
    """Draw a model's learning curves and metrics."""
    input:
        run=f"{RUN}/run.json",
        history=f"{RUN}/history.csv",
        predictions=f"{EVALUATED}/predictions.parquet",
        metrics=f"{EVALUATED}/metrics.json",
        table=f"{EVALUATED}/metrics.csv",
    output:
        training=model_figure("training.svg", "3 Learning", "learning curves"),
        attributes=model_figure("attributes.svg", "4 Evaluation", "attributes"),
        reliability=model_figure("reliability.svg", "4 Evaluation", "reliability"),
        curves=model_figure(
            "precision_recall.svg", "4 Evaluation", "precision and recall"
        ),
        confusion=model_figure("confusion.svg", "4 Evaluation", "confusion"),
        groups=model_figure("groups.svg", "4 Evaluation", "groups"),
    log:
        f"logs/{OF_EVALUATION}/figures/numbers.log",
    conda:
        "../../envs/attparse.yaml"
    resources:
        **LIGHT,
    params:
        *code("figures"),
        out=subpath(output.training, parent=True),
    message:
        "Drawing the metrics of {wildcards.model}, seed {wildcards.seed}, on {wildcards.judged}"
    shell:
        "python -m pipeline.figures numbers --run {input.run} --history {input.history}"
        " --predictions {input.predictions} --metrics {input.metrics} --table {input.table}"
        " --out {params.out} --log {log}"


rule draw_where:
    """Draw test faces with labels and predictions, and the maps or the attention of the network."""
    input:
        weights=f"{RUN}/weights.safetensors",
        faces=ancient("results/{judged}/faces"),
        whole=whole("acquire", dataset="judged"),
        predictions=f"{EVALUATED}/predictions.parquet",
    output:
        grid=model_figure("grid.png", "5 Faces", "eight faces"),
        examples=model_figure("examples.png", "5 Faces", "right and wrong"),
    log:
        f"logs/{OF_EVALUATION}/figures/where.log",
    conda:
        "../../envs/attparse.yaml"
    resources:
        **LIGHT,
    params:
        *code("figures"),
        network=network_code("figures"),
        out=subpath(output.grid, parent=True),
    message:
        "Drawing maps or attention of {wildcards.model}, seed {wildcards.seed}"
    shell:
        "python -m pipeline.figures where --weights {input.weights} --faces {input.faces}"
        " --predictions {input.predictions} --out {params.out} --log {log}"


rule draw_maps:
    """Draw the maps of a model that learnt from masks, beside the masks."""
    input:
        weights=f"{RUN}/weights.safetensors",
        faces=ancient("results/{judged}/faces"),
        masks=ancient("results/{judged}/masks.zarr"),
        whole=whole("acquire", "masks_gather", dataset="judged"),
        predictions=f"{EVALUATED}/predictions.parquet",
    output:
        maps=model_figure("maps.png", "5 Faces", "maps and masks"),
        both=model_figure(
            "positives_negatives.png", "5 Faces", "maps, positives and negatives"
        ),
        panel=model_figure("panel.png", "5 Faces", "one face, all attributes"),
    log:
        f"logs/{OF_EVALUATION}/figures/maps.log",
    conda:
        "../../envs/attparse.yaml"
    resources:
        **LIGHT,
    params:
        *code("figures"),
        network=network_code("figures"),
        out=subpath(output.maps, parent=True),
        images=config["figures"]["images"],
    message:
        "Drawing the maps of {wildcards.model}, seed {wildcards.seed}, on {wildcards.judged}"
    shell:
        "python -m pipeline.figures maps --weights {input.weights} --faces {input.faces}"
        " --predictions {input.predictions} --masks {input.masks} --images {params.images}"
        " --out {params.out} --log {log}"


rule gallery_page:
    """Make the page of right and wrong faces for each attribute."""
    input:
        weights=f"{RUN}/weights.safetensors",
        faces=ancient("results/{judged}/faces"),
        whole=whole("acquire", dataset="judged"),
        predictions=f"{EVALUATED}/predictions.parquet",
    output:
        page=model_figure("gallery.html", "5 Faces", "gallery"),
    log:
        f"logs/{OF_EVALUATION}/figures/gallery.log",
    conda:
        "../../envs/attparse.yaml"
    resources:
        **LIGHT,
    params:
        *code("gallery"),
        network=network_code("gallery"),
        each=config["figures"]["each"],
        title="{model}, seed {seed}, on {judged}: right and wrong",
    message:
        "Making the gallery of {wildcards.model}, seed {wildcards.seed}, on {wildcards.judged}"
    shell:
        "python -m pipeline.gallery --weights {input.weights} --faces {input.faces}"
        " --predictions {input.predictions} --each {params.each} --title {params.title:q}"
        " --out {output.page} --log {log}"


rule draw_costs:
    """Draw the running time and memory of the rules that led to a model's evaluation."""
    input:
        metrics=evaluations,
    output:
        figure(
            "results/{dataset}/{model}/costs.svg",
            "6 Costs",
            "time and memory",
            model="{model}",
        ),
    log:
        "logs/{dataset}/{model}/costs.log",
    conda:
        "../../envs/attparse.yaml"
    resources:
        **LIGHT,
    params:
        *code("figures"),
        benchmarks=benchmarks,
        out=subpath(output[0], parent=True),
    message:
        "Drawing the time and memory of the work on {wildcards.dataset}"
    shell:
        "python -m pipeline.figures costs --benchmarks {params.benchmarks} --out {params.out}"
        " --log {log}"


rule predict_photographs:
    """Predict the attributes of the faces in a user's photographs."""
    input:
        weights=f"{RUN}/weights.safetensors",
        metrics=f"{RUN}/on-{{dataset}}/metrics.json",
        photographs=config["predict"]["photographs"],
        model=ancient(DETECTOR) if config["predict"]["align"] else [],
    output:
        table=f"{RUN}/predict/faces.csv",
        page=f"{RUN}/predict/index.html",
    log:
        f"logs/{OF_RUN}/predict.log",
    conda:
        "../../envs/attparse.yaml"
    resources:
        **LIGHT,
    params:
        *code("predict"),
        network=network_code("predict"),
        listing=photographs_listing,
        out=subpath(output.table, parent=True),
        align="--align" if config["predict"]["align"] else "",
        detectors=DETECTORS if config["predict"]["align"] else "",
        model=option("--model", "model"),
        faces=config["predict"]["faces"],
    message:
        "Predicting the attributes of the faces in {input.photographs}"
    shell:
        "python -m pipeline.predict --weights {input.weights} --metrics {input.metrics}"
        " --photographs {input.photographs:q} {params.model} {params.align}"
        " --faces {params.faces} --out {params.out} --log {log}"


rule export_model:
    """Export a trained model as ONNX, with a model card."""
    input:
        weights=f"{RUN}/weights.safetensors",
        run=f"{RUN}/run.json",
        metrics=f"{RUN}/on-{{dataset}}/metrics.json",
        table=f"{RUN}/on-{{dataset}}/metrics.csv",
        terms="results/{dataset}/TERMS.txt",
    output:
        model=f"{RUN}/export/model.onnx",
        card=f"{RUN}/export/model_card.md",
    log:
        f"logs/{OF_RUN}/export.log",
    conda:
        "../../envs/attparse.yaml"
    resources:
        **LIGHT,
    params:
        *code("export"),
        network=network_code("export"),
        out=subpath(output.model, parent=True),
    message:
        "Exporting {wildcards.model}, seed {wildcards.seed}"
    shell:
        "python -m pipeline.export --weights {input.weights} --run {input.run}"
        " --metrics {input.metrics} --table {input.table} --terms {input.terms}"
        " --out {params.out} --log {log}"
