"""From 68 points to 14 regions to a mask for each attribute.

``regions`` is geometry and nothing else; ``store`` keeps regions and masks as Zarr. May use
faces and landmarks.
"""
