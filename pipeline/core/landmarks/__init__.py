"""The 68 points of a face.

Here belong the table ``landmarks.csv``, the detectors, the map from MediaPipe's mesh to the
points, and finding and aligning faces in photographs. May use faces.
"""
