"""FairFace: age, gender and race in words (Kärkkäinen and Joo, WACV 2021).

``fairface_label_train.csv`` and ``fairface_label_val.csv`` have the columns ``file`` (such as
``train/1.jpg``), ``age``, ``gender``, ``race`` and ``service_test``. Labels of its test faces are
not published: ``val`` is the split test here, and every tenth face of ``train`` is valid.
"""

from typing import Any

import pandas as pd

from pipeline.core.faces.sources.folder import open_words, read_cells
from pipeline.core.faces.sources.images import LabelledImages
from pipeline.core.faces.sources.layout import Layout, required_root

FILES = {"train": "fairface_label_train.csv", "test": "fairface_label_val.csv"}
COLUMNS = ["age", "gender", "race"]
TERMS = """FairFace (Kärkkäinen and Joo; WACV 2021).

Its authors publish it under CC BY 4.0: name them when you hand it on. The photographs are from
Flickr (YFCC-100M) and have licences of their own. https://github.com/joojs/fairface
"""


def open_fairface(settings: dict[str, Any]) -> LabelledImages:
    """The faces below ``settings["root"]``: both CSVs, and the folders ``train`` and ``val``."""
    root = required_root(settings["root"], f"{' and '.join(FILES.values())}, train/ and val/")
    layout = Layout(root, set(FILES.values()))
    tables = []
    for split, name in FILES.items():
        table = read_cells(layout.require(name), "file", *COLUMNS)
        tables.append(table.rename(columns={"file": "image_name"}).assign(split=split))
    tables[0].loc[9::10, "split"] = "valid"
    return open_words(root, pd.concat(tables, ignore_index=True), COLUMNS, settings, TERMS)
