"""What training reads of a store of masks."""

import numpy as np
from small_training import settings, write_data

from pipeline.core.attributes import CELEBA, REGIONS, AttributeSet
from pipeline.core.faces.store import open_faces
from pipeline.core.training.data import FaceData


def test_training_uses_the_table_that_the_store_holds(tmp_path):
    regions = CELEBA.to_json() | {"Smiling": ["nose"], "Male": ["chin", "neck"]}
    write_data(tmp_path, attributes=AttributeSet.of(regions))
    faces = open_faces(tmp_path / "faces")
    data = FaceData(faces, settings(), seed=0, masks=tmp_path / "masks.zarr")
    shown = [[REGIONS[r] for r in np.flatnonzero(row)] for row in data.table]
    assert shown == [["chin", "neck"], ["nose"], [r for r in REGIONS if r in regions["Eyeglasses"]]]
