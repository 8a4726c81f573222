"""The command line of every stage: flags, log, progress and errors."""

import argparse
import re
from pathlib import Path

import pytest
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


def test_a_fault_of_ours_keeps_its_traceback(tmp_path):
    with pytest.raises(ZeroDivisionError), stage.running(tmp_path / "log"):
        _ = 1 / 0


@pytest.mark.parametrize(("text", "says"), [("{", "is not JSON"), ("[1]", "must be a JSON object")])
def test_settings_must_be_a_json_object(text, says):
    with pytest.raises(argparse.ArgumentTypeError, match=says):
        stage.settings(text)


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
