"""Published tools give our numbers for the same two folders of image files, on the same network.

The folders are exported from a dataset; in one, half of the images are blurred.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import gaussian_filter

from roentgen.comparison import ImageComparison, ImageFiles, compare_images
from roentgen.corpora.phantom import PhantomConfig
from roentgen.metrics.features.frechet import frechet_distance_of_features
from roentgen.metrics.features.kernel_distances import kernel_distance
from roentgen.metrics.features.prdc import prdc
from roentgen.metrics.images.ms_ssim import ms_ssim_pairs
from roentgen.preparation.config import PrepareConfig
from roentgen.prepare import prepare
from roentgen.vision.features.extractor import load_extractor
from sample.export import export
from sample.exports.config import ExportConfig, FolderFormat

pytestmark = pytest.mark.slow
N, SIZE, NEIGHBORS = 160, 64, 5  # more images than the extractor has features
AGREE = 1e-3  # relative

Folders = tuple[Path, Path]  # real and made


def drawn(place: Path, each: int, size: int) -> Folders:
    """Two folders of `each` phantoms as PNG, of the splits train and test."""
    phantom = PhantomConfig(train=each, validate=0, test=each, ap_share=1.0, masks=False)
    prepare(PrepareConfig(output=place / "set", size=size, seed=0, phantom=phantom, workers=1))
    export(ExportConfig(dataset=place / "set", output=place / "files", folder=FolderFormat()))
    real, made = (place / "files/folder" / split for split in ("train", "test"))
    return real, made


def blur(files: Sequence[Path], sigma: float) -> None:
    for file in files:
        Image.fromarray(gaussian_filter(np.asarray(Image.open(file)), sigma)).save(file)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Folders:
    real, made = drawn(tmp_path_factory.mktemp("published"), N, SIZE)
    blur(sorted(made.glob("*.png"))[::2], 1.0)
    return real, made


@pytest.fixture(scope="module")
def ours(folders: Folders) -> ImageComparison:
    found = compare_images(*folders, neighbors=NEIGHBORS, pairs=8)
    print(found)
    assert (found.n_real, found.n_synthetic) == (N, N)
    assert found.fid > 0.1
    assert 0 < found.coverage < 1
    return found


def agree(ours: ImageComparison, theirs: dict[str, float], relative: float = AGREE) -> None:
    print(theirs)
    for name, value in theirs.items():
        assert getattr(ours, name) == pytest.approx(value, rel=relative, abs=1e-6), name


def as_network() -> Callable[[torch.Tensor], torch.Tensor]:
    """Our extractor as the tools take a network: RGB of 0 to 255 to features."""
    extractor = load_extractor("roentgen", None)

    def network(x: torch.Tensor) -> torch.Tensor:
        return torch.from_numpy(extractor(x[:, 0].to(torch.uint8).numpy())).double()

    return network


def test_torch_fidelity(folders: Folders, ours: ImageComparison) -> None:
    from torch_fidelity import calculate_metrics, register_feature_extractor
    from torch_fidelity.feature_extractor_base import FeatureExtractorBase

    network = as_network()

    class Registered(FeatureExtractorBase):  # type: ignore[misc]
        def __init__(self, name: str, features_list: list[str], **_: Any) -> None:
            super().__init__(name, features_list)

        @staticmethod
        def get_provided_features_list() -> tuple[str, ...]:
            return ("128",)

        @staticmethod
        def get_default_feature_layer_for_metric(metric: str) -> str:
            return "128"

        @staticmethod
        def can_be_compiled() -> bool:
            return False

        def forward(self, x: torch.Tensor) -> tuple[torch.Tensor]:
            return (network(x),)

    register_feature_extractor("of roentgen", Registered)
    real, made = map(str, folders)
    found = calculate_metrics(
        input1=made,
        input2=real,
        fid=True,
        kid=True,
        kid_subsets=1,
        kid_subset_size=N,
        prc=True,
        prc_neighborhood=NEIGHBORS,
        feature_extractor="of roentgen",
        cuda=False,
        cache=False,
        verbose=False,
        save_cpu_ram=True,
    )
    theirs = {
        "fid": found["frechet_inception_distance"],
        "kid": found["kernel_inception_distance_mean"],
        "precision": found["precision"],
        "recall": found["recall"],
    }
    agree(ours, theirs)


@pytest.mark.filterwarnings("ignore:The `disp` argument:DeprecationWarning")
def test_clean_fid(folders: Folders, ours: ImageComparison) -> None:
    fid = pytest.importorskip("cleanfid.fid", reason="clean-fid is absent")
    options: dict[str, Any] = {
        "num_workers": 0,
        "device": torch.device("cpu"),
        "verbose": False,
        "custom_fn_resize": lambda x: x,  # the extractor resizes
    }
    real, made = map(str, folders)
    network = as_network()
    distance = fid.compute_fid(real, made, custom_feat_extractor=network, **options)
    a, b = (fid.get_folder_features(folder, network, **options) for folder in (real, made))
    kid = fid.kernel_distance(a, b, num_subsets=1)
    agree(ours, {"fid": distance, "kid": kid})


def test_prdc(folders: Folders, ours: ImageComparison) -> None:
    package = pytest.importorskip("prdc", reason="prdc is absent")
    network = as_network()

    def of_files(folder: Path) -> NDArray[np.float64]:
        images = [np.asarray(Image.open(file)) for file in sorted(folder.glob("*.png"))]
        features: NDArray[np.float64] = network(torch.from_numpy(np.stack(images))[:, None]).numpy()
        return features

    found = package.compute_prdc(*map(of_files, folders), nearest_k=NEIGHBORS)
    agree(ours, {name: float(value) for name, value in found.items()})


def test_pytorch_msssim(tmp_path: Path) -> None:
    """It ignores the border at the coarsest scale, where ours and torchmetrics reflect."""
    package = pytest.importorskip("pytorch_msssim", reason="pytorch-msssim is absent")
    real, made = drawn(tmp_path, 4, 320)
    images = np.concatenate([ImageFiles(folder)[:] for folder in (real, made)])
    pairs = [(i, j) for j in range(8) for i in range(j)]
    found = ms_ssim_pairs(images, pairs)
    x = torch.from_numpy(images).float()[:, None]
    i, j = torch.tensor(pairs).T
    theirs = package.ms_ssim(x[i], x[j], data_range=255, size_average=False).numpy()
    print(np.abs(found - theirs).max(), np.corrcoef(found, theirs)[0, 1], found.min(), found.max())
    np.testing.assert_allclose(found, theirs, atol=0.05)
    assert np.corrcoef(found, theirs)[0, 1] > 0.99


@pytest.mark.filterwarnings("ignore::m3score.M3ScoreWarning")
def test_m3_score(folders: Folders) -> None:
    """Its coverage is ours; its fidelity (a squared MMD) orders blurred sets as our distances do.

    Its encoder's weights are not at hand: a vision transformer with random ones takes their place.
    """
    m3score = pytest.importorskip("m3score", reason="m3-score is absent")
    from m3score.backbone import load_backbone
    from timm import create_model

    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = create_model("vit_tiny_patch16_224", pretrained=False, img_size=SIZE, num_classes=0)
    fidelity, _, coverage = layers = (12, 9, 4)
    metric = m3score.M3Score(backbone=model, layers=layers, device="cpu")
    backbone = load_backbone(model)

    def of_files(folder: Path) -> dict[int, NDArray[np.float32]]:
        pixels = torch.from_numpy(ImageFiles(folder)[:])[:, None].float() / 255
        found = backbone.extract(backbone.prepare(pixels), layers, "cpu")
        return {layer: values.numpy() for layer, values in found.items()}

    real, made = folders
    x = of_files(real)
    rows = []
    for sigma in (0.0, 1.0, 2.0):
        blur(sorted(made.glob("*.png")), sigma)
        theirs = metric.score(str(real), str(made), stats=False)
        y = of_files(made)
        assert prdc(x[coverage], y[coverage], k=5).coverage == pytest.approx(theirs.coverage)
        distances = frechet_distance_of_features, kernel_distance
        rows.append([theirs.fidelity, *(d(x[fidelity], y[fidelity]) for d in distances)])
        print(sigma, theirs.coverage, rows[-1])
    assert (np.diff(rows, axis=0) > 0).all()
