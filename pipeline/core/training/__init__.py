"""From faces, labels and masks to weights.

Here belong transforms, the data and its loaders, the learner, checkpoints and the loop. May
use every package before it: faces, landmarks, masks, networks.
"""
