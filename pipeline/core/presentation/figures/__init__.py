"""The figures, by what they show; every one is drawn through ``presentation.style``."""
