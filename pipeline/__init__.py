"""The stages, and in ``core`` the rooms that they use."""

import sys

from pipeline.core import torchvision_on_cpu

if sys.argv[:1] == ["-m"]:  # so it is while Python looks for the stage that it was asked to run
    from pipeline.core import stage

    stage.end_on_interrupt()
torchvision_on_cpu.install()
