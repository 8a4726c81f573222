"""The rooms of the chain, in its order, on one ground floor.

The files here (errors, files, stage, attributes, geometry, partition, provenance, configuration,
model_settings, trained_on, classification) may be used by every room and use none. The rooms are
faces, synthetic, landmarks, masks, networks, training, evaluation, presentation: each may use the
rooms before it, never one after it (tests/core/test_rooms.py).
"""
