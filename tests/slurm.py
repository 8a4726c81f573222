"""A SLURM of one node on loopback, started for the tests and stopped after them.

It is a real one (munged, slurmctld, slurmd), with a pretend GPU and with memory limits that kill.
A machine that has a SLURM already, configured or running, is refused: nobody's cluster is touched.
"""

import fcntl
import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

# The SLURM executor's job step drops SLURM_CONF, so the files must be at the compiled-in place.
PLACE = Path("/etc/slurm")
FILES = ("slurm.conf", "gres.conf")
PREFIX = "attparse-slurm-"  # of the folder that a cluster lies in
DAEMONS = ("slurmd", "slurmctld", "munged")
PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "scontrol", "squeue", "scancel")
ENVIRONMENT = {**os.environ, "PATH": os.environ["PATH"] + ":/usr/sbin:/sbin"}

CONFIGURATION = """\
ClusterName={name}
SlurmctldHost={host}(127.0.0.1)
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={root}/munge.socket
CredType=cred/munge
StateSaveLocation={root}/state
SlurmdSpoolDir={root}/spool
SlurmctldPidFile={root}/slurmctld.pid
SlurmdPidFile={root}/slurmd.pid
SlurmctldLogFile={root}/slurmctld.log
SlurmdLogFile={root}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
AccountingStorageType=accounting_storage/none
# Processes are looked at every second; a job above its memory is killed.
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=1
JobAcctGatherParams=OverMemoryKill
KillWait=5
MpiDefault=none
MailProg=/bin/true
ReturnToService=2
# More CPUs and memory than there are: what is asked for can be seen without being had.
SlurmdParameters=config_overrides
SchedulerParameters=batch_sched_delay=0,sched_interval=1
MinJobAge=1800
GresTypes=gpu
NodeName={host} NodeAddr=127.0.0.1 CPUs=64 RealMemory=200000 Gres=gpu:2 State=UNKNOWN
PartitionName=cpu Nodes={host} Default=YES MaxTime=INFINITE State=UP
PartitionName=gpu Nodes={host} MaxTime=INFINITE State=UP
"""


def missing() -> str:
    """What this machine lacks to start a SLURM, or nothing."""
    if lacks := [name for name in PROGRAMS if not shutil.which(name, path=ENVIRONMENT["PATH"])]:
        return f"{', '.join(lacks)} not found (apt-get install slurm-wlm munge)"
    return "SLURM's daemons are started by root" if os.geteuid() else ""


def clear_abandoned() -> None:
    """Remove what a test run left that was killed: its daemons, its folder and the links to it."""
    for file in FILES:
        link = PLACE / file
        root = link.readlink().parent if link.is_symlink() else PLACE
        if root.name.startswith(PREFIX) and not _in_use(root):
            _remove(root)


def _in_use(root: Path) -> bool:
    """Whether the test run that started the cluster still holds its lock, which a kill lets go."""
    if not (root / "lock").exists():
        return False
    with (root / "lock").open() as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def _remove(root: Path) -> None:
    """End the daemons of a cluster, and remove its folder and the links to it."""
    for program in DAEMONS:
        _end(program, root / f"{program}.pid")
    for file in FILES:
        link = PLACE / file
        if link.is_symlink() and link.readlink() == root / file:
            link.unlink()
    shutil.rmtree(root, ignore_errors=True)


def taken() -> bool:
    """Whether a SLURM is configured or runs here, which then is somebody's."""
    return (
        "SLURM_CONF" in os.environ
        or any(os.path.lexists(PLACE / file) for file in FILES)
        or any(_output("pgrep", "-x", name, check=False) for name in ("slurmctld", "slurmd"))
        or bool(_output("sinfo", check=False))  # a cluster without files is found by its name
    )


class Cluster:
    """``with Cluster() as cluster:`` its files lie in a folder that goes with it."""

    def __init__(self) -> None:
        # munged wants a folder that all may enter, which pytest's own are not.
        self.root = Path(tempfile.mkdtemp(prefix=PREFIX))
        self.root.chmod(0o755)
        self.lock = (self.root / "lock").open("w")
        fcntl.flock(self.lock, fcntl.LOCK_EX)
        self.name = f"attparse{os.getpid()}"

    def __enter__(self) -> "Cluster":
        if missing() or taken():
            raise RuntimeError(missing() or "a SLURM is configured or runs here")
        for folder in ("state", "spool"):
            (self.root / folder).mkdir(parents=True)
        key = self.root / "munge.key"
        key.touch(mode=0o600)
        key.write_bytes(secrets.token_bytes(64))
        host = socket.gethostname().split(".")[0]
        conf = CONFIGURATION.format(name=self.name, host=host, root=self.root)
        (self.root / "slurm.conf").write_text(conf)
        (self.root / "gres.conf").write_text(
            f"NodeName={host} Name=gpu File=/dev/null\nNodeName={host} Name=gpu File=/dev/zero\n"
        )
        PLACE.mkdir(exist_ok=True)
        try:
            for file in FILES:
                (PLACE / file).symlink_to(self.root / file)
            munge = {"pid-file": "munged.pid", "log-file": "munged.log", "seed-file": "munged.seed"}
            munge |= {"key-file": "munge.key", "socket": "munge.socket"}
            _output("munged", *(f"--{flag}={self.root / file}" for flag, file in munge.items()))
            _output("slurmctld", "-c")
            _output("slurmd")
            self._wait_until_idle()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if f"= {self.name}" in _output("scontrol", "show", "config", check=False):
            self.cancel(*_output("squeue", "--noheader", "--format=%A", check=False).split())
        _remove(self.root)
        self.lock.close()

    def _wait_until_idle(self) -> None:
        for _ in range(100):
            if "idle" in _output("sinfo", "--noheader", "--format=%T", check=False):
                return
            time.sleep(0.1)
        logs = [path.read_text()[-2000:] for path in sorted(self.root.glob("*.log"))]
        raise RuntimeError("SLURM did not start:\n" + "\n".join(logs))

    def jobs(self) -> list[dict[str, str]]:
        """What ``scontrol`` knows of every job so far, oldest first."""
        lines = _output("scontrol", "show", "job", "--oneliner").splitlines()
        jobs = [
            dict(word.split("=", 1) for word in line.split() if "=" in word)
            for line in lines
            if line.startswith("JobId=")
        ]
        return sorted(jobs, key=lambda job: int(job["JobId"]))

    def jobs_of(self, rule: str, *wildcards: str) -> list[dict[str, str]]:
        """The jobs that the SLURM executor submitted for a rule; it names them in the comment."""
        comment = "_".join(["rule", rule, "wildcards", *wildcards])
        return [job for job in self.jobs() if job.get("Comment", "").startswith(comment)]

    def cancel(self, *ids: str) -> None:
        if ids:
            _output("scancel", *ids, check=False)


def _output(*command: str, check: bool = True) -> str:
    run = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True)
    if check and run.returncode:
        raise RuntimeError(f"{' '.join(command)}: {run.stderr}")
    return run.stdout


def _end(program: str, pid_file: Path) -> None:
    """End the daemon that wrote this file, and wait for it; not what has its number since."""
    if not pid_file.exists() or not (pid := pid_file.read_text().strip()):
        return
    for number in [signal.SIGTERM] + [0] * 150:
        try:
            if Path(f"/proc/{pid}/comm").read_text().strip() != program:
                return
            os.kill(int(pid), number)
        except (FileNotFoundError, ProcessLookupError):
            return
        time.sleep(0.1)
