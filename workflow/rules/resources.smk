"""What each rule requests of a cluster, from the number of faces and from measured rates.

docs/cluster.md says how they were measured. A retry requests more memory and more time. Under plain
--cores nothing is requested: there --cores itself and the one GPU of profiles/default are the limits.
"""

from dataclasses import dataclass

CELEBA = 202_599
SPLITS = 3
EPOCH_RATE = 300  # faces a second in training, of a GPU of some years ago


@dataclass(frozen=True)
class Need:
    """A rule's memory in MB, plus that of each face of its job, and its faces a second."""

    megabytes: int
    per_face: float = 0
    rate: float = 1000


NEEDS = {
    "synthesize": Need(3000, rate=37),
    # Aligned after detection, which is one thread.
    "acquire": Need(2000, per_face=0.01, rate=30),
    "landmarks_part": Need(1500, per_face=0.01, rate=76),
    "masks_part": Need(1000, per_face=0.01, rate=1000),
    "train": Need(8000, per_face=0.02),
    "retrain": Need(6000, per_face=0.02, rate=200),
    "evaluate": Need(6000, per_face=0.02, rate=200),
    "compare": Need(4000, per_face=0.02),
    "pairs": Need(4000, per_face=0.05),
}
# Of what draws, predicts or exports: minutes for CelebA's 20,000 test faces, without a GPU.
LIGHT = {"mem_mb": 6000, "runtime": 120}


def faces_of(wildcards, rulename):
    """Faces that one job of a rule works on; CelebA's number where none is configured."""
    dataset = config["datasets"][wildcards.get("judged", wildcards.dataset)]
    if dataset["source"] == "synthetic":
        faces = dataset["images"]
    else:
        faces = min(CELEBA, SPLITS * (dataset["limit"] or CELEBA))
    stage, _, scattered = rulename.partition("_")
    return -(-faces // config[stage]["parts"]) if scattered == "part" else faces


def memory(wildcards, attempt, rulename):
    """MB of main memory; a retry gets as much again, up to three times."""
    need = NEEDS[rulename]
    once = need.megabytes + need.per_face * faces_of(wildcards, rulename)
    return round(once) * min(attempt, 3)


def minutes(wildcards, attempt, rulename):
    """The job's time limit: three times what was measured, and ten minutes to start in."""
    faces = faces_of(wildcards, rulename)
    return round(10 + 3 * faces / NEEDS[rulename].rate / 60) * min(attempt, 3)


def acquired_by_jobs():
    """Whether `acquire` is worth a job of a cluster: it aligns photographs and fetches none.

    What needs the network runs on the login node.
    """
    entries = [
        config["datasets"][name] for name in (config["dataset"], *config["judge_on"])
    ]
    fetched = any(entry["root"] is None or entry["download"] for entry in entries)
    return not fetched and not all(entry["aligned"] for entry in entries)


def training_minutes(wildcards):
    """The time limit of a training, 0 for none. A retry needs no more: it resumes."""
    if not on_cluster():
        return 0
    model = config["models"][wildcards.model]
    faces = faces_of(wildcards, "train") * model["share"] * model["epochs"]
    return round(30 + faces / EPOCH_RATE / 60)


def processes(wildcards):
    """Processes of one training, one a device."""
    model = config["models"][wildcards.model]
    return model["devices"] * model["nodes"]


def nodes(wildcards):
    return config["models"][wildcards.model]["nodes"]


def gpus(wildcards):
    """GPUs of one training, on all its nodes; none where the model is set to use the CPU.

    On a user's own machine no more than `--resources gpu=` allows: a training takes all of these,
    and Lightning says if a device is not there.
    """
    if config["models"][wildcards.model]["accelerator"] == "cpu":
        return 0
    limit = None if on_cluster() else limit_of("gpu")
    return processes(wildcards) if limit is None else min(processes(wildcards), limit)


def evaluation_gpus(wildcards):
    return 0 if config["evaluate"]["accelerator"] == "cpu" else 1


def mpi(wildcards):
    """What makes the SLURM executor start a job of several tasks; left out for one."""
    return "srun" if on_cluster() and processes(wildcards) > 1 else None


def launcher(wildcards, threads):
    """What starts a training's processes on a cluster; Lightning itself does so elsewhere.

    The SLURM executor hides the job's own shape from what runs in it, so it is repeated here.
    """
    if not mpi(wildcards):
        return ""
    return (
        f"srun --nodes={nodes(wildcards)} --ntasks={processes(wildcards)}"
        f" --ntasks-per-node={processes(wildcards) // nodes(wildcards)}"
        f" --cpus-per-task={threads} --kill-on-bad-exit"
    )
