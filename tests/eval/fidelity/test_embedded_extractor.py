"""The shipped extractor sees corruptions: distances rise with the strength of each.

Corrupted images are of other patients than those they are compared with.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from eval.fidelity.two_sample import two_sample_auroc
from roentgen.config import load_config
from roentgen.corpora.phantom import PhantomConfig, PhantomReader
from roentgen.dataset.dataset import open_dataset
from roentgen.dataset.image_set import ImageSet
from roentgen.diffusion.backbones.stable_diffusion import load_components
from roentgen.diffusion.vae import reconstruct
from roentgen.generation.generator import Generator
from roentgen.imaging.images import decode
from roentgen.metrics.features.feature_set import FeatureSet
from roentgen.metrics.features.frechet import frechet_distance_of_features
from roentgen.metrics.features.kernel_distances import kernel_distance
from roentgen.preparation.config import PrepareConfig
from roentgen.prepare import prepare
from roentgen.vision.features.corruptions import Corruption, apply
from roentgen.vision.features.extractor import load_extractor

Images = NDArray[np.uint8]
ROOT = Path(__file__).parents[3]
RADIOGRAPHS = ROOT / "../shared/cxr/films"
# Amounts in the units of `corruptions.RANGES`.
AMOUNTS: Mapping[Corruption, Sequence[float]] = {
    "blur": (0.5, 1, 2, 4),
    "noise": (4, 8, 16, 32),
    "ringing": (0.7, 0.5, 0.35, 0.25),
    "jpeg": (30, 15, 7),
    "erasure": (0.1, 0.25, 0.5, 1),
    "texture": (0.1, 0.25, 0.5, 1),
    "shuffle": (0.7, 1.4, 2.8, 5),
}


def phantoms(seed: int, studies: int, missing_bones: float = 0.0) -> Images:
    """PA and lateral images of some patients, AP images of others."""
    drawn = PhantomConfig(
        train=0, validate=0, test=studies, masks=False, missing_bones=missing_bones
    )
    reader = PhantomReader(drawn, 128, seed)
    return np.stack([decode(r.image) for item in reader.plan().items for r in reader.read(item)])


def corrupted(images: Images, kind: Corruption, amount: float) -> Images:
    generator = np.random.default_rng(0)
    return np.stack([apply(image, kind, amount, generator) for image in images])


def round_trips(images: Images, numbers: Sequence[int]) -> list[Images]:
    """The images after these numbers of passes through the shipped VAE."""
    vae = load_components("tiny").vae
    passes = [images]
    for _ in range(max(numbers)):
        passes.append(np.stack(list(reconstruct(vae, passes[-1]))))
    return [passes[number] for number in numbers]


def assert_rising(sets: Sequence[Images], real: Images) -> None:
    """FID and KID to `real` are larger for each set than for the one before it."""
    extractor = load_extractor("roentgen")
    reference = extractor(real)
    features = [extractor(images) for images in sets]
    for distance in (frechet_distance_of_features, kernel_distance):
        values = [distance(x, reference) for x in features]
        assert values == sorted(values), (distance.__name__, values)
        assert len(set(values)) == len(values)


@pytest.fixture(scope="module")
def few() -> tuple[Images, Images]:
    return phantoms(11, 24), phantoms(12, 24)


@pytest.mark.parametrize("kind", AMOUNTS)
def test_distances_rise_with_a_corruption(few: tuple[Images, Images], kind: Corruption) -> None:
    real, others = few
    assert_rising([others, *(corrupted(others, kind, a) for a in AMOUNTS[kind])], real)


def test_distances_rise_with_missing_bones(few: tuple[Images, Images]) -> None:
    real, others = few
    assert_rising([others, *(phantoms(12, 24, share) for share in (0.25, 0.5, 1.0))], real)


@pytest.mark.slow
def test_distances_rise_with_a_pass_through_the_vae(few: tuple[Images, Images]) -> None:
    """Further passes change phantoms, on which the VAE was trained, too little."""
    real, others = few
    assert_rising(round_trips(others, (0, 1)), real)


@pytest.fixture(scope="module")
def radiographs(tmp_path_factory: pytest.TempPathFactory) -> ImageSet:
    """The test split of open radiographs, of which the extractor saw the train split alone."""
    if not RADIOGRAPHS.exists():
        pytest.skip("needs ../shared/cxr")
    folder = tmp_path_factory.mktemp("radiographs") / "dataset"
    arguments = [
        str(ROOT / "configs/data/open_radiographs.yaml"),
        f"--table.root={RADIOGRAPHS}",
        "--table.masks=null",
        f"--output={folder}",
        "--workers=1",
    ]
    prepare(load_config(PrepareConfig, arguments))
    return ImageSet.of(open_dataset(folder).split("test"))


@pytest.fixture(scope="module")
def halves(radiographs: ImageSet) -> tuple[Images, Images]:
    """Radiographs of half of the patients, and of the others."""
    names, member = np.unique(radiographs.patients, return_inverse=True)
    is_first = np.random.default_rng(0).permutation(len(names))[member] < len(names) / 2
    images = radiographs.images[:]
    return images[is_first], images[~is_first]


@pytest.mark.slow
@pytest.mark.parametrize("kind", AMOUNTS)
def test_distances_rise_with_a_corruption_of_real_radiographs(
    halves: tuple[Images, Images], kind: Corruption
) -> None:
    real, others = halves
    assert_rising([others, *(corrupted(others, kind, a) for a in AMOUNTS[kind])], real)


@pytest.mark.slow
def test_distances_rise_with_passes_of_real_radiographs_through_the_vae(
    halves: tuple[Images, Images],
) -> None:
    real, others = halves
    assert_rising(round_trips(others, (0, 1, 2, 4)), real)


@pytest.mark.slow
@pytest.mark.filterwarnings(  # of diffusers' schedulers
    "ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"
)
def test_images_drawn_by_the_base_are_told_from_radiographs(radiographs: ImageSet) -> None:
    extractor = load_extractor("roentgen")
    drawn = list(Generator("tiny")("cardiomegaly", "small left pleural effusion", count=30))
    made = FeatureSet(
        features=extractor(np.stack([decode(r.image) for r in drawn])),
        patients=[r.id for r in drawn],
    )
    real = FeatureSet(features=extractor(radiographs.images[:]), patients=radiographs.patients)
    found = two_sample_auroc(made, real, samples=100, seed=0, name="drawn")
    assert found.low is not None
    assert found.low > 0.98
