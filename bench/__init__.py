import pipeline  # noqa: F401  guards the import of torchvision
