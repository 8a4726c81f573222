"""Where faces come from and how they are stored.

Sources, downloads, the verification of files and images, the store ``faces/`` and the checks of
its split belong here. Uses the single modules alone.
"""
