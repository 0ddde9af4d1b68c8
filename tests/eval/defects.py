"""Defects planted in drawn sets, each at a strength, to try which metric sees which.

Defects of images are the same for an image in every set it is in.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from io import BytesIO
from typing import Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import gaussian_filter, shift

from roentgen.diffusion.backbones.stable_diffusion import load_components
from roentgen.diffusion.vae import reconstruct
from roentgen.randomness import numpy_generator
from roentgen.record.finding import Finding
from roentgen.record.radiograph import Radiograph
from roentgen.vision.image_halves import SIDES
from roentgen.weights import TINY

Defect = Literal[
    "blur",
    "JPEG",
    "noise",
    "ringing",
    "VAE round trip",
    "missing ribs",
    "swapped sides",
    "wrong labels",
    "copies",
    "missing view",
    "one source",
]
DEFECTS: tuple[Defect, ...] = get_args(Defect)
STRENGTHS: Mapping[Defect, tuple[float, ...]] = {  # from weak to strong
    "blur": (0.5, 1, 2),
    "JPEG": (90, 60, 30, 10),
    "noise": (1, 2, 4, 8),
    "ringing": (0.4, 0.3, 0.2, 0.1),
    "VAE round trip": (0.5, 1),
    "missing ribs": (0.5, 1),
    "swapped sides": (0.1, 0.25, 0.5, 1),
    "wrong labels": (0.05, 0.1, 0.2, 0.4),
    "copies": (0.02, 0.05, 0.1),
    "missing view": (0.5, 1),
    "one source": (0.5, 1),
}
UNITS: Mapping[Defect, str] = {
    "blur": "standard deviation of the Gaussian in pixels",
    "JPEG": "quality",
    "noise": "standard deviation in gray levels",
    "ringing": "cycles per pixel above which the spectrum is cut",
    "VAE round trip": "share of the difference to the shipped VAE's reconstruction",
    "missing ribs": "share of each patient's ribs, clavicles and scapulae",
    "swapped sides": "share of the images requested with a finding on one side",
    "wrong labels": "share of images with the findings of others",
    "copies": "share of images copied from the train split, with grain, shift and contrast",
    "missing view": "share of the lateral images replaced by frontal ones",
    "one source": "share of the second source's images replaced by the first's",
}
_COPY_GRAIN, _COPY_SHIFT = 3.0, 1.0  # gray levels, pixels
_SOURCES = ("first hospital", "second hospital")
_SECOND_GAMMA = 0.7  # of the second one's tone curve

Pixels = NDArray[np.uint8]


class Row(NamedTuple):
    """A record and its image."""

    radiograph: Radiograph
    image: Pixels


@dataclass(frozen=True, kw_only=True)
class Donors:
    """Images that replace others."""

    train: Sequence[Row]  # what a model was trained on
    others: Sequence[Row]  # of further patients
    without_bones: Mapping[float, Mapping[str, Pixels]]  # by share of the bones and id


def of_hospital(row: Row, number: int) -> Row:
    """The radiograph as of one of two hospitals, which differ in their tone curves."""
    hospital = number % 2
    image = row.image
    if hospital:
        image = _pixels(255 * (image / 255) ** _SECOND_GAMMA)
    return Row(replace(row.radiograph, source=_SOURCES[hospital]), image)


def planted(
    defect: Defect, strength: float, rows: Sequence[Row], donors: Donors
) -> tuple[Row, ...]:
    """The set with a defect; all else is as in the set."""
    changed = list(rows)
    if defect == "missing ribs":
        without = donors.without_bones[strength]
        return tuple(Row(r, without[r.id]) for r, _ in rows)
    if defect in _OF_IMAGES:
        images = _OF_IMAGES[defect](rows, strength)
        return tuple(Row(r, image) for (r, _), image in zip(rows, images, strict=True))
    generator = numpy_generator(0, "planted", defect)

    def chosen(among: Callable[[Radiograph], bool]) -> list[int]:
        places = [k for k, (radiograph, _) in enumerate(rows) if among(radiograph)]
        count = round(strength * len(places))
        return sorted(generator.permutation(places)[:count].tolist())

    if defect == "swapped sides":
        for k in chosen(lambda r: any(f.side in SIDES for f in r.findings)):
            findings = tuple(_other_side(f) for f in rows[k].radiograph.findings)
            changed[k] = Row(replace(rows[k].radiograph, findings=findings), rows[k].image)
    elif defect == "wrong labels":
        places = chosen(lambda _: True)
        for k, other in zip(places, [*places[1:], *places[:1]], strict=True):
            findings = rows[other].radiograph.findings
            changed[k] = Row(replace(rows[k].radiograph, findings=findings), rows[k].image)
    elif defect == "copies":
        places = chosen(lambda _: True)
        sources = generator.permutation(len(donors.train))[: len(places)]
        for k, source in zip(places, sources.tolist(), strict=True):
            radiograph, image = donors.train[source]
            own = rows[k].radiograph
            copy = replace(radiograph, id=own.id, patient_id=own.patient_id)
            changed[k] = Row(copy, _copied(image, generator))
    else:

        def is_missing(radiograph: Radiograph) -> bool:
            if defect == "missing view":
                return radiograph.view == "LATERAL"
            return radiograph.source == _SOURCES[1]

        present = [row for row in donors.others if not is_missing(row.radiograph)]
        for k, row in zip(chosen(is_missing), present, strict=False):
            changed[k] = row
    return tuple(changed)


def _blurred(rows: Sequence[Row], sigma: float) -> list[Pixels]:
    return [_pixels(gaussian_filter(image.astype(float), sigma)) for _, image in rows]


def _compressed(rows: Sequence[Row], quality: float) -> list[Pixels]:
    result = []
    for _, image in rows:
        buffer = BytesIO()
        Image.fromarray(image).save(buffer, "JPEG", quality=int(quality))
        result.append(np.asarray(Image.open(buffer)))
    return result


def _noisy(rows: Sequence[Row], deviation: float) -> list[Pixels]:
    return [
        _pixels(image + deviation * numpy_generator(0, "noise", r.id).standard_normal(image.shape))
        for r, image in rows
    ]


def _ringing(rows: Sequence[Row], cut: float) -> list[Pixels]:
    """Without the spectrum above `cut`: Gibbs' oscillations beside every edge."""
    side = len(rows[0].image)
    radius = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side))
    return [
        _pixels(np.fft.irfft2(np.fft.rfft2(image) * (radius <= cut), s=image.shape))
        for _, image in rows
    ]


def _reconstructed(rows: Sequence[Row], share: float) -> list[Pixels]:
    images = np.stack([image for _, image in rows])
    vae = load_components(str(TINY)).vae
    return [
        _pixels(image + share * (made - image.astype(float)))
        for image, made in zip(images, reconstruct(vae, images), strict=True)
    ]


_OF_IMAGES: Mapping[Defect, Callable[[Sequence[Row], float], list[Pixels]]] = {
    "blur": _blurred,
    "JPEG": _compressed,
    "noise": _noisy,
    "ringing": _ringing,
    "VAE round trip": _reconstructed,
}


def _copied(image: Pixels, generator: np.random.Generator) -> Pixels:
    moves = generator.uniform(-_COPY_SHIFT, _COPY_SHIFT, 2)
    moved = shift(image.astype(float), moves, mode="nearest") * generator.uniform(0.8, 1.1)
    return _pixels(moved + generator.normal(0, _COPY_GRAIN, moved.shape))


def _other_side(finding: Finding) -> Finding:
    if finding.side not in SIDES:
        return finding
    return replace(finding, side="right" if finding.side == "left" else "left")


def _pixels(values: NDArray[np.floating]) -> Pixels:
    return values.round().clip(0, 255).astype(np.uint8)
