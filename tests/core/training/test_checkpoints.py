"""What a kill between a checkpoint and the rest of its epoch leaves is put right on resuming."""

from types import SimpleNamespace
from typing import Any

import pandas as pd
import torch
from small_training import settings

from pipeline.core.training.checkpoints import Checkpoints, epoch_file, read_checkpoint


def test_on_resuming_the_history_is_whole_and_only_the_best_weights_are_left(tmp_path):
    losses = {1: 0.5, 2: 0.3, 3: 0.4}
    history = [{"epoch": epoch, "valid_loss": loss} for epoch, loss in losses.items()]
    torch.save({"epoch": 3, "batch": 0, "history": history}, tmp_path / "last.ckpt")
    for epoch in losses:
        epoch_file(tmp_path, epoch).touch()
    (tmp_path / ".history.csv.partial").write_text("epo")

    loaded: list[dict[str, Any]] = []
    chosen = settings(keep=1, select_by="valid_loss")
    zero = SimpleNamespace(is_global_zero=True)
    learner: Any = SimpleNamespace(settings=chosen, load_state_dict=loaded.append, fabric=zero)
    checkpoints = Checkpoints(tmp_path, read_checkpoint(tmp_path, may_write=True), trained_on=None)
    checkpoints.restore(learner)

    assert [state["epoch"] for state in loaded] == [3]
    assert pd.read_csv(tmp_path / "history.csv")["valid_loss"].tolist() == list(losses.values())
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"last.ckpt", "history.csv", epoch_file(tmp_path, 2).name}
