"""The networks are the published ones, and their files alone suffice to use them."""

import json
import pickle

import pytest
import safetensors
import safetensors.torch
import torch
import torchvision
from small_training import Harmful, settings
from torch import nn

from bench import training as benchmark
from pipeline.core.attributes import ATTRIBUTES
from pipeline.core.errors import UserError
from pipeline.core.model_settings import decisive
from pipeline.core.networks import build
from pipeline.core.networks.weights import load_network, save_weights, start_from

ALL = list(ATTRIBUTES)
PUBLISHED = {"network": "attparsenet", "width": 1.0, "attributes": ALL, "input_size": [218, 178]}
CNN_RNN = {
    "network": "cnn_rnn",
    "attributes": ["Male"],
    "input_size": [224, 224],
    "segmentation_weight": 0,
}


def parameters(module: nn.Module) -> int:
    return sum(weight.numel() for weight in module.parameters())


def test_attparsenet_at_width_1_is_the_published_network():
    with torch.device("meta"):
        network = build(settings(**PUBLISHED))
        output = network(torch.empty(2, 3, 218, 178))
    kernels = [(3, 75, 7), (75, 200, 3), (200, 300, 3), (300, 512, 3), (512, 512, 3), (512, 40, 3)]
    convolutions = sum(a * b * k * k + b for a, b, k in kernels)
    norms = 2 * sum(b for _, b, _ in kernels)
    maps = 40 * 96 * 76
    assert parameters(network) == convolutions + norms + maps * 40 + 40 == 16_290_598
    assert output.maps.shape == (2, 40, 96, 76)
    assert output.logits.shape == (2, 40)


def test_attparsenet_reads_the_attributes_off_its_maps_and_nothing_else():
    network = build(settings(input_size=[44, 40])).eval()
    with torch.inference_mode():
        output = network(torch.rand(2, 3, 44, 40))
        again = network.attributes(output.maps.flatten(1))
    assert torch.equal(output.logits, again)


def test_attparsenets_map_logits_begin_at_rare_white_pixels():
    torch.manual_seed(3)
    network = build(settings(input_size=[44, 40], mask_loss="bce_dice")).train()
    output = network(torch.rand(8, 3, 44, 40))
    assert torch.equal(output.maps, output.mask_logits.sigmoid())
    assert 0.01 < output.maps.mean() < 0.1
    assert (output.maps > 0.5).float().mean() < 0.02


def test_width_scales_every_channel_of_attparsenet():
    with torch.device("meta"):
        network = build(settings(**{**PUBLISHED, "width": 0.5}))
    channels = [layer.out_channels for layer in network.modules() if isinstance(layer, nn.Conv2d)]
    assert channels == [38, 100, 150, 256, 256, 40]


def test_cnn_rnn_is_the_published_network():
    network = build(settings(**CNN_RNN))
    resnet = torchvision.models.resnet18(weights=None)
    kept = parameters(resnet) - parameters(resnet.layer4) - parameters(resnet.fc)
    lstm = 2 * (4 * 128 * (256 + 128) + 2 * 4 * 128)
    attention = 4 * (256 * 256 + 256)
    head = 256 * 64 + 64 + 64 + 1
    assert parameters(network) == kept + lstm + attention + head
    with torch.inference_mode():
        output = network.eval()(torch.rand(2, 3, 224, 224))
    assert output.logits.shape == (2, 1)
    assert output.maps is None


def test_cnn_rnn_reads_the_196_places_in_order_each_with_its_own_channels():
    network = build(settings(**CNN_RNN)).eval()
    seen = {}
    network.body.register_forward_hook(lambda _m, _i, out: seen.update(features=out))
    network.sequence.register_forward_hook(lambda _m, given, _o: seen.update(sequence=given[0]))
    with torch.inference_mode():
        network(torch.rand(1, 3, 224, 224))
    assert seen["sequence"].shape == (1, 196, 256)
    for place in (0, 1, 14, 100, 195):
        row, column = divmod(place, 14)
        assert torch.equal(seen["sequence"][0, place], seen["features"][0, :, row, column])


def test_attention_is_a_share_for_each_place_and_does_not_change_the_answer():
    network = build(settings(**CNN_RNN)).eval()
    images = torch.rand(2, 3, 112, 112)
    with torch.inference_mode():
        plain, asked = network(images), network(images, attention=True)
    assert plain.attention is None
    assert asked.attention.shape == (2, 14, 14)
    torch.testing.assert_close(asked.attention.sum((1, 2)), torch.ones(2))
    torch.testing.assert_close(plain.logits, asked.logits)


def test_frozen_layers_keep_weights_and_batch_statistics_while_training():
    network = build(settings(**CNN_RNN, pretrained=True)).train()
    before = {name: tensor.clone() for name, tensor in network.body.state_dict().items()}
    optimizer = torch.optim.SGD([w for w in network.parameters() if w.requires_grad], 0.1)
    network(torch.rand(2, 3, 64, 64)).logits.sum().backward()
    optimizer.step()
    changed = {
        name.split(".")[0]
        for name, tensor in network.body.state_dict().items()
        if not torch.equal(tensor, before[name])
    }
    assert changed == {"layer2", "layer3"}


def test_layers_that_start_at_random_are_not_frozen():
    network = build(settings(**CNN_RNN))
    assert all(weight.requires_grad for weight in network.parameters())


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"network": "backbone", "backbone": "resnet81"}, "such as resnet18"),
        ({"network": "backbone", "backbone": "vit_tiny_patch16_224"}, "convolutional"),
        ({"network": "backbone", "backbone": "mixer_s32_224"}, "hierarchical"),
        ({"network": "backbone", "backbone": "convnext_atto", "map_stride": 2}, "none at 2"),
        ({"network": "attparsenet", "input_size": [20, 20]}, "input_size"),
    ],
)
def test_settings_that_fit_no_network_are_refused_in_one_sentence(wrong, says):
    with pytest.raises(UserError, match=says):
        build(settings(**{"input_size": [64, 64], **wrong}))


def test_a_weights_file_alone_gives_the_network_and_its_settings_back(tmp_path):
    chosen = settings(input_size=[44, 40])
    network, images = build(chosen).eval(), torch.rand(3, 3, 44, 40)
    save_weights(tmp_path / "a.safetensors", network, chosen)
    save_weights(tmp_path / "b.safetensors", network, chosen)
    again, found = load_network(tmp_path / "a.safetensors")
    assert found.to_dict() == decisive(chosen.to_dict())
    assert not again.training
    with torch.inference_mode():
        assert torch.equal(again(images).logits, network(images).logits)
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()


def test_weights_from_before_the_size_of_faces_was_kept_saw_celebas(tmp_path):
    chosen, path = settings(), tmp_path / "weights.safetensors"
    save_weights(path, build(chosen), chosen)
    with safetensors.safe_open(path, "pt") as file:
        kept = json.loads(file.metadata()["attparse"])
    del kept["faces_size"], kept["sha256"]
    state = safetensors.torch.load_file(path)
    safetensors.torch.save_file(state, path, metadata={"attparse": json.dumps(kept)})
    assert load_network(path)[1].faces_size == (218, 178)


def test_weights_that_need_code_to_be_read_are_refused_and_run_nothing(tmp_path):
    network, trap = build(settings(input_size=[44, 40])), tmp_path / "sprung"
    torch.save({"weight": torch.zeros(1), "more": Harmful(trap)}, tmp_path / "bad.pth")
    (tmp_path / "plain.pth").write_bytes(pickle.dumps(Harmful(trap), protocol=2))
    for name in ("bad.pth", "plain.pth"):
        with pytest.raises(UserError, match=f"{name} was refused"):
            start_from(network, tmp_path / name)
    assert not trap.exists()


@pytest.mark.parametrize("content", [b"", b"<html>quota</html>"])
def test_what_is_no_weights_file_is_named_in_one_sentence(tmp_path, content):
    path = tmp_path / "weights.safetensors"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"weights\.safetensors is no weights file"):
        load_network(path)
    with pytest.raises(UserError, match="is no weights file"):
        load_network(tmp_path / "none.safetensors")


@pytest.mark.parametrize("kind", ["cnn_rnn", "backbone"])
def test_a_torchvision_state_dict_fills_the_body_and_leaves_the_heads(tmp_path, kind):
    resnet = torchvision.models.resnet18(weights=None)
    torch.save(resnet.state_dict(), tmp_path / "resnet18.pth")
    network = build(settings(network=kind, segmentation_weight=0, input_size=[64, 64]))
    start_from(network, tmp_path / "resnet18.pth")
    given = resnet.state_dict()
    assert network.body.state_dict()
    assert all(torch.equal(t, given[name]) for name, t in network.body.state_dict().items())


def test_weights_of_another_network_are_refused(tmp_path):
    torch.save(torchvision.models.resnet50(weights=None).state_dict(), tmp_path / "resnet50.pth")
    other = settings(input_size=[64, 64])
    save_weights(tmp_path / "other.safetensors", build(other), other)
    network = build(settings(**CNN_RNN))
    for name in ("resnet50.pth", "other.safetensors"):
        with pytest.raises(UserError, match="do not fit this network"):
            start_from(network, tmp_path / name)


def test_the_benchmark_of_training_takes_a_network_without_masks(monkeypatch, capsys):
    few = "--size 64 64 --batch 2 --workers 0 --threads 1 --warmup 1 --steps 1 --repeats 1"
    monkeypatch.setattr("sys.argv", ["bench.training", "--network", "cnn_rnn", *few.split()])
    benchmark.main()
    assert json.loads(capsys.readouterr().out)["settings"]["segmentation"] is False


def test_the_benchmark_counts_a_mask_head_once_forwards_and_twice_backwards():
    few = "--network backbone --size 64 64"
    with_masks, without = (
        benchmark.flops_an_image(benchmark.make_parser().parse_args([*few.split(), masks]))
        for masks in ("--segmentation", "--no-segmentation")
    )
    head = 2 * 512 * 40 * (64 // 32) ** 2
    assert with_masks - without == 3 * head
