"""The model card: what a network is, what it learnt from, how good it is, what it is not for."""

from pathlib import Path
from typing import Any

import pandas as pd

from pipeline.core.model_settings import ModelSettings
from pipeline.core.presentation import pages
from pipeline.core.presentation.metric_names import MAIN, NAMES, number
from pipeline.core.trained_on import TrainedOn, faces_of, meaning


def model_card(
    settings: ModelSettings,
    trained_on: TrainedOn | None,
    digest: str,
    difference: float,
    run: dict[str, Any] | None,
    metrics: dict[str, Any] | None,
    table: pd.DataFrame | None,
    terms: str | None,
) -> str:
    """Markdown, from ``model_card.md``; what is not given is written as not known.

    ``trained_on`` is what the weights say.
    ``run``, ``metrics`` and ``table`` are what run.json, metrics.json and metrics.csv hold; the
    first line of ``terms`` names the data set.
    """
    card = pages.fill(
        Path(__file__).with_suffix(".md"),
        settings=settings,
        masks=settings.segmentation_weight > 0,
        trained_on=faces_of(trained_on),
        meaning=meaning(trained_on),
        of_celeba=trained_on is not None and trained_on.source in ("celeba", "huggingface"),
        digest=digest,
        difference=difference,
        run=run,
        split=_split(run["settings"]) if run else "",
        metrics=metrics,
        table=None if table is None else table.to_dict("records"),
        terms=(terms or "Not known: none were given.").splitlines(),
        names=NAMES,
        main=MAIN,
        number=number,
    )
    return card + "\n"


def _split(settings: dict[str, Any]) -> str:
    """Where train and valid came from: the source's own split, or what the seed drew of it."""
    if settings["stratified_subset"]:
        part = f"{100 * settings['stratified_subset']:g} % of the data set's own train split"
        return f"{part}, cut 80/20 into train and valid by the seed"
    part = f", {100 * settings['share']:g} % of its train, drawn by the seed"
    return "the one that the data set came with" + part * (settings["share"] < 1)
