"""Where faces come from and how they are stored.

Here belong sources, downloads, the verification of files and images, the store ``faces/`` and
checks of its split. Uses the ground floor alone.
"""
