"""Small datasets of drawn images: a bright disc is an effusion, a dark ring a pneumothorax."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from roentgen.data.dataset import DatasetWriter
from roentgen.data.findings import Finding
from roentgen.data.images import encode_png
from roentgen.data.radiograph import Radiograph, Split, Synthesis
from roentgen.data.views import VIEWS
from roentgen.randomness import numpy_generator

SIZE = 32
LICENSE = {"name": "CC0-1.0", "data_use": None, "may_share": True}

Write = Callable[..., Path]


def draw(effusion: bool, ring: bool, view: int, generator: np.random.Generator) -> np.ndarray:
    y, x = np.mgrid[:SIZE, :SIZE] / SIZE
    image = 0.4 + 0.04 * generator.standard_normal((SIZE, SIZE)) + generator.uniform(-0.05, 0.05)
    image += 0.1 * np.sin(20 * (x, y, x + y)[view])
    if effusion:
        centre = generator.uniform(0.3, 0.7, 2)
        image += 0.35 * ((x - centre[0]) ** 2 + (y - centre[1]) ** 2 < 0.03)
    if ring:
        image -= 0.3 * (np.abs(np.hypot(x - 0.5, y - 0.5) - 0.4) < 0.05)
    return (image.clip(0, 1) * 255).astype(np.uint8)


@pytest.fixture(scope="session")
def write_drawn() -> Write:
    """A writer of drawn datasets; `wrong` is the share of images that are not what is said."""

    def write(
        folder: Path,
        counts: dict[Split, int],
        seed: int,
        *,
        wrong: float = 0.0,
        blur: float = 0.0,
        synthetic: bool = False,
        size: int | None = None,
        fit: str = "pad",
        provenance: dict[str, object] | None = None,
    ) -> Path:
        preparation = {"size": size or SIZE, "fit": fit}
        with DatasetWriter(
            folder,
            licenses=[LICENSE],
            provenance=provenance or {"program": "drawn", "made_from": {}},
            preparation=preparation,
        ) as writer:
            for split, count in counts.items():
                for i in range(count):
                    writer.add(_drawn(split, i, seed, wrong, blur, synthetic, size))
        return folder

    return write


def _drawn(
    split: Split, i: int, seed: int, wrong: float, blur: float, synthetic: bool, size: int | None
) -> Radiograph:
    generator = numpy_generator(seed, split, i)
    said = generator.random(2) < 0.5
    view = i % 3
    truth = generator.random(2) < 0.5 if generator.random() < wrong else said
    shown_view = int(generator.integers(3)) if generator.random() < wrong else view
    image = draw(bool(truth[0]), bool(truth[1]), shown_view, generator)
    if blur:
        image = (image * (1 - blur) + image.mean() * blur).astype(np.uint8)
    if size:
        image = np.kron(image, np.ones((size // SIZE, size // SIZE), np.uint8))
    names = ("Pleural Effusion", "Pneumothorax")
    findings = tuple(
        Finding(name=name, state="present" if yes else "absent")  # type: ignore[arg-type]
        for name, yes in zip(names, said, strict=True)
    )
    prompt = f"{VIEWS[view]} {said.tolist()}"
    synthesis = Synthesis(
        prompt=prompt,
        negative_prompt=None,
        seed=i,
        guidance_scale=4.0,
        steps=20,
        scheduler="DDIM",
        model="abcdef",
    )
    return Radiograph(
        id=f"{seed}-{split}-{i}",
        patient_id=f"{seed}-{split}-{i // 2}",
        study_id=f"{seed}-{split}-{i}",
        split=split,
        image=encode_png(image),
        view=VIEWS[view],
        findings=findings,
        source="synthetic" if synthetic else "drawn",
        license="CC0-1.0",
        synthesis=synthesis if synthetic else None,
    )
