"""The stages, and in ``core`` the packages that they use."""

import os
import sys

from pipeline.core import torchvision_on_cpu

os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # read when onnxruntime is imported: docs/licences.md

if sys.argv[:1] == ["-m"]:  # so it is while Python looks for the stage that it was asked to run
    from pipeline.core import stage

    stage.end_on_interrupt()
sys.meta_path.insert(0, torchvision_on_cpu.Finder())
