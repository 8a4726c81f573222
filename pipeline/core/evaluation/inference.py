"""A trained network applied to images, for evaluation, figures, the gallery and predict."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from lightning import Fabric
from lightning.fabric.plugins.environments import LightningEnvironment
from lightning.fabric.utilities.exceptions import MisconfigurationException

from pipeline.core import stage
from pipeline.core.errors import UserError
from pipeline.core.evaluation.class_activation import class_activation_maps, last_features
from pipeline.core.faces.store import Faces
from pipeline.core.networks import Output
from pipeline.core.networks.weights import load_network, read_metadata
from pipeline.core.trained_on import read_trained_on
from pipeline.core.training.transforms import prepare

FULL_ATTENTION = 4  # times an even share: shown as 1, so that even attention is shown as 1/4


class Inference:
    """A network from its weights file, on a GPU where there is one.

    ``settings`` are those it was trained with, ``trained_on`` names the faces (None where an old
    file does not), ``attributes`` its A attributes, ``size`` (height, width) that of the faces it
    was trained on, and ``has_attention`` says whether it can show its attention. With
    ``attributes`` only the logits and maps of these are in its outputs, in their order.
    """

    def __init__(
        self,
        weights: Path,
        accelerator: str = "auto",
        precision: str = "32-true",
        batch_size: int = 16,
        attributes: Sequence[str] | None = None,
    ) -> None:
        network, self.settings = load_network(weights)
        self.trained_on = read_trained_on(read_metadata(weights))
        self.keep(attributes or self.settings.attributes)
        self.size = self.settings.faces_size
        self.has_attention = self.settings.network == "cnn_rnn"
        self.batch_size = batch_size
        try:
            self.fabric = Fabric(
                accelerator=accelerator,
                devices=1,
                precision=precision,  # type: ignore[arg-type]  # the configuration has checked it
                plugins=LightningEnvironment(),  # one process, inside a SLURM job too
            )
        except (MisconfigurationException, ValueError, RuntimeError) as error:
            raise UserError(
                f"Lightning cannot evaluate with accelerator {accelerator!r} and precision"
                f" {precision!r} ({error}): change them in the section evaluate; accelerator auto"
                " takes what there is."
            ) from None
        self.network = self.fabric.setup_module(network).eval()

    def keep(self, attributes: Sequence[str]) -> None:
        """Have only the outputs of some of the network's attributes from now on."""
        self.attributes = list(attributes)
        self._columns = [self.settings.attributes.index(name) for name in attributes]

    @torch.inference_mode()
    def predict(self, images: np.ndarray, attention: bool = False) -> Output:
        """The output for a batch of images (B, H, W, 3) uint8 RGB, float32 on the device."""
        asked = {"attention": True} if attention and self.has_attention else {}
        output: Output = self.network(self._prepared(images), **asked)
        maps = None if output.maps is None else output.maps[:, self._columns]
        output = output._replace(logits=output.logits[:, self._columns], maps=maps)
        values = output._asdict().items()
        return Output(**{name: value.float() for name, value in values if value is not None})

    def class_activation(self, images: np.ndarray) -> torch.Tensor:
        """(B, A, h, w) float32 from 0, for a network without maps; see ``class_activation``."""
        features = last_features(self.network.module)
        maps = class_activation_maps(self.network, features, self._prepared(images))
        return maps[:, self._columns].float()

    def _prepared(self, images: np.ndarray) -> torch.Tensor:
        batch = np.ascontiguousarray(images.transpose(0, 3, 1, 2))
        return prepare(self.fabric.to_device(torch.from_numpy(batch)), self.settings)

    def over(
        self, faces: Faces, rows: np.ndarray, title: str, threads: int = 1, attention: bool = False
    ) -> Iterator[tuple[np.ndarray, np.ndarray, Output]]:
        """Rows of ``faces/`` in batches, each with its images and the output for them.

        ``threads`` decode images; ``title`` names the progress.
        """
        batches = [rows[at : at + self.batch_size] for at in range(0, len(rows), self.batch_size)]
        with ThreadPoolExecutor(threads) as pool:
            for batch in stage.progress(batches, len(batches), title, "batch"):
                images = np.stack(list(pool.map(faces.image, batch.tolist())))
                yield batch, images, self.predict(images, attention)


def heat_maps(output: Output) -> np.ndarray | None:
    """Where the network saw each attribute, (B, A, h, w) from 0 to 1; None if it does not show it.

    The maps cover the whole image, whatever their size. Attention is the same for all attributes;
    1 is ``FULL_ATTENTION`` times an even share.
    """
    if output.maps is not None:
        maps: np.ndarray = output.maps.clamp(0, 1).cpu().numpy()
        return maps
    if output.attention is None:
        return None
    even = 1 / output.attention[0].numel()
    attention = (output.attention / (FULL_ATTENTION * even)).clamp(0, 1)
    shared: np.ndarray = attention[:, None].expand(-1, output.logits.shape[1], -1, -1).cpu().numpy()
    return shared
