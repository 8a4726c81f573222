"""What workflow/rules/internals.smk knows of Snakemake is still so: tried with Snakemake itself."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import ROOT

pytestmark = pytest.mark.slow

SNAKEFILE = f"""
include: "{ROOT}/workflow/rules/internals.smk"

print(f"on a cluster: {{bool(on_cluster())}}, gpu: {{limit_of('gpu')}}", file=sys.stderr)

def setting(wildcards):
    return config["setting"]

rule watched:
    output: "watched.txt"
    params: setting
    shell: "echo {{params[0]}} > {{output}}"

rule unwatched:
    output: "unwatched.txt"
    params: unwatched(setting)
    shell: "echo {{params[0]}} > {{output}}"

rule where:
    output: "where.txt"
    params: bool(on_cluster())
    shell: "echo {{params[0]}} > {{output}}"
"""
# A cluster of this machine: what is submitted runs at once.
SUBMIT = "#!/bin/sh\nsh $1 >job.log 2>&1\necho 1\n"
CLUSTER = ("--executor", "cluster-generic", "--cluster-generic-submit-cmd", "sh ./submit")


@pytest.fixture
def snakemake(tmp_path: Path) -> Callable[..., str]:
    (tmp_path / "Snakefile").write_text(SNAKEFILE)
    (tmp_path / "submit").write_text(SUBMIT)
    # Snakemake does not quote its Python's path in a job: one without spaces.
    python = tmp_path / "environment/bin/python"
    (tmp_path / "environment").symlink_to(sys.prefix)

    def run(*arguments: str, setting: int = 1) -> str:
        command = [python, "-m", "snakemake", *arguments, "--config", f"setting={setting}"]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    return run


@pytest.mark.parametrize(("limit", "seen"), [((), "None"), (("--resources=gpu=3",), "3")])
def test_the_limit_of_a_resource_is_seen(snakemake, limit, seen):
    output = snakemake("--cores", "1", "--dry-run", *limit, "where.txt")
    why = "Snakemake's workflow.global_resources holds the limits of --resources no more"
    assert f"on a cluster: False, gpu: {seen}\n" in output, why


def test_a_cluster_is_seen_from_the_login_node_and_from_inside_of_a_job(snakemake, tmp_path):
    output = snakemake("--jobs", "1", *CLUSTER, "where.txt")
    assert "on a cluster: True" in output, (
        "Snakemake's workflow.resource_settings.nodes is no more the number of --jobs on a cluster"
    )
    assert (tmp_path / "where.txt").read_text() == "True\n", (
        "Snakemake's workflow.remote_exec is no more true inside of a job: " + output
    )


def test_only_an_unwatched_param_may_change_without_a_rerun(snakemake):
    files = ("watched.txt", "unwatched.txt")
    snakemake("--cores", "1", *files)
    plan = snakemake("--cores", "1", "--dry-run", *files, setting=2)
    assert "rule watched" in plan
    assert "rule unwatched" not in plan, (
        "Snakemake now compares params whose function takes `threads`: settings of how fast a"
        " training runs would train it anew"
    )
