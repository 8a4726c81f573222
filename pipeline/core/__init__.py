"""The packages of the chain, in its order, and single modules.

The modules here (errors, files, stage, attributes, geometry, partition, provenance, configuration,
model_settings, trained_on, torchvision_on_cpu, classification) may be used by every package and use
none. The packages are faces, synthetic, landmarks, masks, networks, training, evaluation,
presentation: each may use those before it, never one after it (tests/core/test_packages.py).
"""
