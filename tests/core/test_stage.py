"""The command line of every stage: flags, log, progress and errors."""

import argparse
import errno
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT
from torch.utils.data import DataLoader, Dataset

from pipeline.core import stage
from pipeline.core.errors import UserError


def test_a_users_mistake_is_one_sentence_with_status_1_and_in_the_log(tmp_path):
    with pytest.raises(SystemExit) as end, stage.running(tmp_path / "a/log"):
        raise UserError("the file is not there.")
    assert end.value.code == "attparse: the file is not there."
    assert "stopped: the file is not there." in (tmp_path / "a/log").read_text()


class Unreadable(Dataset):
    def __len__(self) -> int:
        return 1

    def __getitem__(self, row: int) -> int:
        raise UserError("the shard is damaged: make it anew.")


def test_a_users_mistake_in_a_loaders_worker_is_one_sentence_too():
    with pytest.raises(SystemExit) as end, stage.running():
        next(iter(DataLoader(Unreadable(), num_workers=1)))
    assert end.value.code == "attparse: the shard is damaged: make it anew."


def test_a_log_goes_on_where_the_last_start_left_it(tmp_path):
    for text in ("why it stopped.", "what came next."):
        with pytest.raises(SystemExit), stage.running(None, tmp_path / "log", tmp_path / "other"):
            raise UserError(text)
    for name in ("log", "other"):
        log = (tmp_path / name).read_text()
        assert re.findall("started|why it|what came", log) == [
            "started", "why it", "started", "what came",
        ]  # fmt: skip


def test_the_log_of_a_command_is_named_after_it_and_no_flag_is_cut_short():
    parser, command = stage.commands("What it does.")
    command("draw", "draws").add_argument("--store")
    assert parser.parse_args(["draw", "--log", "a", "--store", "b"]).log == Path("a")
    for wrong in (["--log", "a", "draw"], ["draw", "--lo", "a"], ["draw", "--sto", "b"]):
        with pytest.raises(SystemExit):
            parser.parse_args(wrong)


class WrappedError(Exception):
    """As a library of Rust raises it."""


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "a/b"), "a/b could not be written: the"),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), "a result could not be written: your quota"),
        (OSError(errno.EROFS, "Read-only file system", "a"), "the disk is read-only"),
        (PermissionError(errno.EACCES, "Permission denied", "a"), "a may not be read or written"),
        (WrappedError("I/O error: No space left on device (os error 28)"), "the disk is full"),
    ],
)
def test_a_disk_that_takes_no_more_is_one_sentence_with_the_details_in_the_log(
    tmp_path, error, says
):
    def save():
        with stage.running(tmp_path / "log"):
            try:
                raise error
            except Exception as cause:
                raise RuntimeError("while saving") from cause

    with pytest.raises(SystemExit, match=says) as end:
        save()
    assert end.value.code.endswith("run the same command again.")
    assert "Traceback" in (tmp_path / "log").read_text()


def test_a_file_that_outgrows_a_limit_leaves_the_earlier_result_and_one_sentence(tmp_path):
    program = (
        "import resource; from pathlib import Path; from pipeline.core import files, stage\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "with stage.running(): files.write_text(Path('result'), 'x' * 2000)"
    )
    (tmp_path / "result").write_text("earlier")
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    run = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert run.returncode == 1
    assert run.stderr.startswith("attparse: a result could not be written: it is larger")
    assert run.stderr.count("\n") == 1
    assert [(file.name, file.read_text()) for file in tmp_path.iterdir()] == [("result", "earlier")]


def test_a_log_that_cannot_be_opened_is_one_sentence(tmp_path):
    (tmp_path / "logs").write_text("no folder")
    with pytest.raises(SystemExit, match=r"attparse: .*logs"), stage.running(tmp_path / "logs/log"):
        pass


def test_a_log_that_takes_no_more_is_named_once_and_ends_nothing(capsys):
    with stage.running(Path("/dev/full")):
        stage.log.info("one line")
        stage.log.info("another")
    said = capsys.readouterr().err
    assert said.startswith("WARNING: /dev/full lacks lines: [Errno 28]")
    assert said.count("\n") == 1


def test_an_interrupt_is_one_sentence_with_status_130(tmp_path, capsys):
    with pytest.raises(SystemExit) as end, stage.running(tmp_path / "log"):
        raise KeyboardInterrupt
    assert end.value.code == 130
    assert capsys.readouterr().err == "attparse: interrupted; run the same command again.\n"
    assert "interrupted" in (tmp_path / "log").read_text()


def test_an_interrupt_while_a_stage_imports_its_libraries_is_one_sentence_too(tmp_path):
    """The library that is slow to import here is torch, of which only the name is needed."""
    (tmp_path / "torch.py").write_text(
        "import time; print('importing', flush=True); time.sleep(60)"
    )
    (tmp_path / "pipeline").symlink_to(ROOT / "pipeline")
    run = subprocess.Popen(
        [sys.executable, "-m", "pipeline.train"],
        cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert run.stdout.readline() == "importing\n"
    run.send_signal(signal.SIGINT)
    assert run.communicate(timeout=30)[1] == "attparse: interrupted; run the same command again.\n"
    assert run.returncode == 130


def test_a_fault_of_ours_keeps_its_traceback(tmp_path):
    with pytest.raises(ZeroDivisionError), stage.running(tmp_path / "log"):
        _ = 1 / 0


@pytest.mark.parametrize(("text", "says"), [("{", "is not JSON"), ("[1]", "must be a JSON object")])
def test_settings_must_be_a_json_object(text, says):
    with pytest.raises(argparse.ArgumentTypeError, match=says):
        stage.settings(text)


def test_a_key_that_settings_lack_ends_in_one_sentence(tmp_path):
    given = stage.settings('{"threshold": 0.5, "groups": {"first": []}}')
    says = "--settings has no key 'draws': give the whole section"
    with pytest.raises(SystemExit, match=says), stage.running(tmp_path / "log"):
        _ = given["threshold"] + given["draws"]
    with pytest.raises(UserError):
        _ = given["groups"]["second"]


def test_progress_passes_everything_on_and_tells_the_log_once_a_minute(monkeypatch, caplog):
    now = iter(range(0, 10_000, 25))  # each look at the clock is 25 s later
    monkeypatch.setattr(stage.time, "monotonic", lambda: float(next(now)))
    with caplog.at_level("INFO"):
        assert list(stage.progress(range(6), 6, "Counting", "number")) == list(range(6))
    lines = [record.getMessage() for record in caplog.records]
    assert lines[0] == "Counting: 3 of 6, 0.04 number/s, 1 min left"
    assert len(lines) == 3


@pytest.mark.parametrize("text", ["0", "-1", "2.5", "many", ""])
def test_a_flag_that_counts_takes_whole_numbers_from_its_least_on(text, capsys):
    parser = stage.parser(None)
    parser.add_argument("--count", type=stage.at_least(1))
    assert parser.parse_args(["--count", "1"]).count == 1
    with pytest.raises(SystemExit):
        parser.parse_args(["--count", text])
    assert "must be a whole number from 1" in capsys.readouterr().err
