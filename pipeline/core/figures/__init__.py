"""The figures, by what they show; every one is drawn through ``pipeline.core.style``."""
