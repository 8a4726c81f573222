"""The stages, and in ``core`` the rooms that they use."""

from pipeline.core import torchvision_on_cpu

torchvision_on_cpu.install()
