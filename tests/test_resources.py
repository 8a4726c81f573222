"""What rules request of a cluster follows from the number of faces, the attempt and the model."""

import re
import runpy
from collections.abc import Callable
from dataclasses import make_dataclass
from typing import Any

import pytest
import yaml
from conftest import ROOT, schema

from pipeline.core.configuration import complete
from pipeline.train import in_time


def rules(config: dict[str, Any], cluster: bool = True, gpus: int = 1) -> dict[str, Any]:
    """The functions of resources.smk for a configuration, on a cluster or with ``gpus`` here."""
    published = yaml.safe_load((ROOT / "config.yaml").read_text())
    merged = merge(published, config)
    names = {
        "config": complete(merged, schema()),
        "on_cluster": lambda: cluster,
        "limit_of": {"gpu": gpus}.get,
    }
    return runpy.run_path(str(ROOT / "workflow/rules/resources.smk"), init_globals=names)


def merge(below: Any, above: Any) -> Any:
    """As Snakemake lays a --configfile over config.yaml."""
    if not isinstance(below, dict) or not isinstance(above, dict):
        return above
    return below | {key: merge(below.get(key), value) for key, value in above.items()}


def asked(config: dict[str, Any], attempt: int = 1) -> Callable[[str], tuple[int, int]]:
    """MB and minutes of a rule's job, for the data set and the model attparsenet."""

    def of(rule: str) -> tuple[int, int]:
        functions = rules(config)
        names = Names(dataset=functions["config"]["dataset"], model="attparsenet")
        minutes = (
            functions["training_minutes"](names)
            if rule == "train"
            else functions["minutes"](names, attempt, rule)
        )
        return functions["memory"](names, attempt, rule), minutes

    return of


class Names(dict):  # type: ignore[type-arg]
    """Wildcards: read as attributes too."""

    __getattr__ = dict.__getitem__


CELEBA: dict[str, Any] = {"dataset": "celeba"}
RULES = ("synthesize", "landmarks_part", "masks_part", "train", "evaluate")


def of(faces: int) -> dict[str, Any]:
    return {"dataset": "drawn", "datasets": {"drawn": {"source": "synthetic", "images": faces}}}


@pytest.mark.parametrize("rule", RULES)
def test_more_faces_ask_for_more(rule):
    few, many = asked(of(100))(rule), asked(of(1_000_000))(rule)
    assert many[0] > few[0] or rule == "synthesize"
    assert many[1] > few[1]


def test_all_of_celeba_is_taken_where_no_number_is_configured():
    assert asked(CELEBA)("train") == asked(of(202_599))("train")
    limited = {"datasets": {"celeba": {"limit": 100}}}
    assert asked(merge(CELEBA, limited))("train") == asked(of(300))("train")


def test_parts_share_the_faces():
    assert asked({"landmarks": {"parts": 160}})("landmarks_part") == asked(
        merge(of(-(-202_599 // 10)), {"landmarks": {"parts": 16}})
    )("landmarks_part")


@pytest.mark.parametrize("rule", RULES)
def test_a_retry_asks_for_more_memory_up_to_three_times(rule):
    megabytes = [asked(CELEBA, attempt)(rule)[0] for attempt in (1, 2, 3, 4)]
    assert megabytes == [megabytes[0] * times for times in (1, 2, 3, 3)]


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ({}, False),
        ({"aligned": False}, True),
        ({"aligned": False, "download": True}, False),
        ({"aligned": False, "root": None}, False),
    ],
)
def test_photographs_are_aligned_in_a_job_unless_they_must_be_fetched(entry, expected):
    functions = rules(merge(CELEBA, {"datasets": {"celeba": entry}}))
    assert functions["acquired_by_jobs"]() is expected


def test_a_training_has_no_time_limit_on_a_users_own_machine():
    names = Names(dataset="celeba", model="attparsenet")
    assert rules(CELEBA, cluster=False)["training_minutes"](names) == 0


@pytest.mark.parametrize(("devices", "nodes"), [(1, 1), (4, 1), (2, 3)])
def test_a_training_asks_for_a_gpu_and_a_task_for_each_process(devices, nodes):
    model = {"devices": devices, "nodes": nodes, "batch_size": 48}
    functions = rules({"models": {"attparsenet": model}})
    names = Names(dataset="celeba", model="attparsenet")
    processes = devices * nodes
    assert functions["gpus"](names) == functions["processes"](names) == processes
    launcher = functions["launcher"](names, threads=16)
    assert (functions["mpi"](names) is None) == (launcher == "") == (processes == 1)
    if processes > 1:
        assert f"--nodes={nodes} --ntasks={processes} --ntasks-per-node={devices} " in launcher


@pytest.mark.parametrize(("devices", "there", "expected"), [(1, 1, 1), (2, 1, 1), (2, 4, 2)])
def test_on_a_users_own_machine_a_training_asks_for_no_more_gpus_than_there_are(
    devices, there, expected
):
    model = {"devices": devices, "batch_size": 48}
    functions = rules({"models": {"attparsenet": model}}, cluster=False, gpus=there)
    assert functions["gpus"](Names(model="attparsenet")) == expected


def test_a_model_that_does_without_a_gpu_asks_for_none():
    functions = rules({"models": {"attparsenet": {"accelerator": "cpu"}}})
    assert functions["gpus"](Names(model="attparsenet")) == 0


@pytest.mark.parametrize(
    ("job", "own", "expected"),
    [(0, None, None), (0, 7, 7), (480, None, 465), (10, None, 5), (480, 60, 60), (60, 480, 45)],
)
def test_training_ends_itself_before_its_job_is_ended(job, own, expected):
    settings = make_dataclass("Settings", ["max_minutes"])(own)
    assert in_time(settings, job).max_minutes == expected


def test_every_rule_that_needs_a_gpu_goes_to_the_partition_with_gpus():
    text = "".join(file.read_text() for file in sorted((ROOT / "workflow/rules").glob("*.smk")))
    bodies = re.split(r"^(?:rule|checkpoint) (\w+):$", text, flags=re.MULTILINE)
    named = zip(bodies[1::2], bodies[2::2], strict=True)
    need_gpu = {name for name, body in named if re.search(r"^ +gpu=", body, re.MULTILINE)}
    assert "train" in need_gpu
    profile = yaml.safe_load((ROOT / "profiles/slurm/config.yaml").read_text())
    with_gpu = {name for name, of in profile["set-resources"].items() if "slurm_partition" in of}
    assert with_gpu == need_gpu
