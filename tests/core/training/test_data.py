"""What training reads of a store of masks."""

import numpy as np
from small_training import settings, write_data

from pipeline.core.faces.store import open_faces
from pipeline.core.masks import store as mask_store
from pipeline.core.masks.regions import ATTRIBUTE_REGIONS, REGIONS
from pipeline.core.training.data import FaceData


def test_training_uses_the_table_that_the_store_holds(tmp_path, monkeypatch):
    table = ATTRIBUTE_REGIONS | {"Smiling": ("nose",), "Male": ("chin", "neck")}
    monkeypatch.setattr(mask_store, "ATTRIBUTE_REGIONS", table)
    write_data(tmp_path)
    faces = open_faces(tmp_path / "faces")
    data = FaceData(faces, settings(), seed=0, masks=tmp_path / "masks.zarr")
    shown = [[REGIONS[r] for r in np.flatnonzero(row)] for row in data.table]
    assert shown == [
        ["chin", "neck"],
        ["nose"],
        [r for r in REGIONS if r in ATTRIBUTE_REGIONS["Eyeglasses"]],
    ]
