"""What is installed has the licences that docs/licences.md states, and reports nothing home."""

import os
import subprocess
import sys

from conftest import ROOT

from docs import licences


def test_the_page_has_the_licence_of_every_package_that_is_installed():
    page = (ROOT / "docs/licences.md").read_text(encoding="utf-8")
    stated = dict(line.split(": ", 1) for line in page.splitlines() if ": " in line)
    for name in licences.pinned():
        if found := licences.licence(name):
            assert name in stated.get(found, "").split(", "), (
                f"{name} is under {found}: run python -m docs.refill docs/licences.md"
            )


def test_onnxruntime_keeps_no_identifier_and_no_events(tmp_path):
    """It would make its files below the cache when a session is opened."""
    program = """
import pipeline, onnx, onnxruntime
from onnx import TensorProto, helper
ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in "xy"]
graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "g", ends[:1], ends[1:])
opset = [helper.make_opsetid("", 18)]
model = helper.make_model(graph, opset_imports=opset, ir_version=10)
onnxruntime.InferenceSession(model.SerializeToString())
"""
    environment = {k: v for k, v in os.environ.items() if k != "ORT_DISABLE_TELEMETRY"}
    environment |= {"HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache")}
    environment["PYTHONPATH"] = str(ROOT)
    subprocess.run([sys.executable, "-c", program], env=environment, check=True)
    assert not [path for path in tmp_path.rglob("*") if "icrosoft" in path.name]
