"""From MediaPipe's mesh of 478 points to the 68 points of iBUG's order."""

import numpy as np

MESH_POINTS = 478

# One entry a landmark: a mesh point, or two whose mean it is.
JAW = "127 234 93 132+58 58+172 136 150 176 152 400 379 365 397+288 361 323 454 356"
BROWS = "70 63 105 66 107 336 296 334 293 300"
NOSE = "168+6 197+195 5 4 75 97 2 326 305"
EYES = "33 160 158 133 153 144 362 385 387 263 373 380"
LIPS = "61 39 37 0 267 269 291 321 314 17 84 91 78 82 13 312 308 317 14 87"
HAND_PICKED = [
    [int(index) for index in entry.split("+")]
    for entry in " ".join([JAW, BROWS, NOSE, EYES, LIPS]).split()
]


def hand_picked(mesh: np.ndarray) -> np.ndarray:
    """Mesh (478, 2 or 3) in pixels -> (68, 2): the mesh points nearest in meaning."""
    return np.stack([mesh[entry, :2].mean(axis=0) for entry in HAND_PICKED])


MAPS = {"hand_picked": hand_picked, "fitted": hand_picked}  # the fitted one is still to come
