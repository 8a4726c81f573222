"""Make .venv if there is none, and install requirement files into it, pinned by constraints.txt.

Run by make in the project's folder, under the system's own Python: `envs/install.py FILE …`.
Of what a shell or a pip.conf sets, only how to reach a package index counts here; PYTHONPATH,
PIP_TARGET, `user = true` and their like are meant for other projects.
"""

import ast
import os
import shutil
import subprocess
import sys
from pathlib import Path

ENVIRONMENT = Path(".venv")
PYTHON = ENVIRONMENT / "bin/python"
LOG = ENVIRONMENT / "install.log"
SOURCES = ("index-url", "extra-index-url", "find-links")
REACH = (
    *SOURCES,
    *("no-index", "proxy", "cert", "client-cert", "trusted-host", "keyring-provider"),
    *("timeout", "default-timeout", "retries", "cache-dir", "no-cache-dir"),
)
# GB on .venv's disk while it is made: the packages, and the wheels that they come from.
SPACE, SPACE_WITHOUT_CUDA = 10, 3.5
# What pip says of a package that gives no trouble.
PROGRESS = ("Collecting", "Looking in", "Requirement already", "Downloading", "Using cached")


def variable(option: str) -> str:
    """The environment variable of one of pip's options."""
    return "PIP_" + option.upper().replace("-", "_")


def reach(environment: dict[str, str]) -> dict[str, str]:
    """How pip is to reach an index, from its variables and its files, all as variables."""
    kept = {"PIP_CONFIG_FILE", *map(variable, REACH)}
    given = {k: v for k, v in environment.items() if not k.startswith("PIP_") or k in kept}
    # `pip config` has options --user, --global and --site, and a file's `user = true` sets one
    given |= {"PIP_USER": "0", "PIP_GLOBAL": "0", "PIP_SITE": "0"}
    pip = [PYTHON, "-m", "pip", "config", "list"]
    run = subprocess.run(pip, env=given, capture_output=True, text=True)
    if run.returncode != 0:
        sys.exit(f"attparse: pip cannot read its configuration: {run.stderr.strip()}")
    lines = (line.partition("=") for line in run.stdout.splitlines())
    values = {key: ast.literal_eval(value) for key, _, value in lines}
    return {
        variable(option): values[f"{section}.{option}"]
        for section in ("global", "install", ":env:")  # the last one wins, as with pip itself
        for option in REACH
        if f"{section}.{option}" in values
    }


def check_space(settings: dict[str, str]) -> None:
    """End in a sentence if .venv's disk cannot hold it; a source of the user's own may be small."""
    own = any(variable(source) in settings for source in SOURCES)
    needed = SPACE_WITHOUT_CUDA if own or sys.platform != "linux" else SPACE
    free = shutil.disk_usage(ENVIRONMENT).free / 1e9
    if free < needed:
        sys.exit(
            f"attparse: the installation needs {needed} GB of disk space at {ENVIRONMENT.resolve()}"
            f" and {free:.1f} GB are free: make room there, or make .venv a link to a folder on a"
            " larger disk; without CUDA it needs less (README.md, Two commands)."
        )


def install(files: list[str], environment: dict[str, str]) -> None:
    """Install what the files name; if that fails, show why and end."""
    command = [PYTHON, "-m", "pip", "install", "--disable-pip-version-check", "--no-input"]
    command += ["--progress-bar", "off", "--constraint", "envs/constraints.txt"]
    command += [word for file in files for word in ("--requirement", file)]
    with LOG.open("w") as log:
        run = subprocess.run(
            command, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
    if run.returncode != 0:
        lines = LOG.read_text(errors="replace").splitlines()
        telling = [line for line in lines if not line.lstrip().startswith(PROGRESS)]
        sys.exit(
            "\n".join(telling[-30:])
            + f"\nattparse: pip failed for {' '.join(files)}: its last lines stand above, all"
            f" of them in {LOG}. Mend the cause and give the same command again."
        )


def starts(environment: dict[str, str]) -> bool:
    """Whether .venv is whole: one that was cut off while it was made has no pip."""
    pip = [PYTHON, "-m", "pip", "--version"]
    return (
        PYTHON.exists() and not subprocess.run(pip, env=environment, capture_output=True).returncode
    )


def main() -> None:
    clean = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
    if not starts(clean):
        venv = [sys.executable, "-m", "venv", "--clear", str(ENVIRONMENT)]
        if subprocess.run(venv, env=clean).returncode != 0:
            sys.exit(f"attparse: {' '.join(venv)} failed, for the reason above.")
    settings = reach(clean)
    if not (ENVIRONMENT / "ready").exists():
        check_space(settings)
    # pip unpacks beside what it installs: /tmp may be small
    scratch = (ENVIRONMENT / "tmp").absolute()
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir()
    own = {k: v for k, v in clean.items() if not k.startswith("PIP_")}
    own |= settings | {"PIP_CONFIG_FILE": os.devnull, "TMPDIR": str(scratch)}
    install(sys.argv[1:], own)
    shutil.rmtree(scratch)


if __name__ == "__main__":
    main()
