import numpy as np
import pytest
from scipy.ndimage import center_of_mass

from train.config_sections import AugmentConfig
from train.loading.augment import Augmenter, Change, expose, move

STILL = {"angle": 0.0, "shift": (0.0, 0.0), "scale": 1.0, "gain": 1.0, "gamma": 1.0}


def changed(**what: object) -> Change:
    return Change(**(STILL | what))  # type: ignore[arg-type]


def spot(row: int, column: int) -> np.ndarray:
    """A bright square of 4 pixels around a place, on the level 10; 64 pixels a side."""
    image = np.full((64, 64), 10, np.uint8)
    image[row - 2 : row + 2, column - 2 : column + 2] = 210
    return image


def found(image: np.ndarray) -> tuple[float, float]:
    """Where the spot is, in pixels from the top left corner of the image."""
    row, column = center_of_mass(image.astype(float) - 10)
    return row + 0.5, column + 0.5


@pytest.mark.parametrize(
    ("change", "place"),
    [
        (changed(), (20, 44)),
        (changed(shift=(0.125, 0.0)), (20, 52)),  # to the right
        (changed(shift=(0.0, 0.125)), (28, 44)),  # down
        (changed(scale=1.5), (14, 50)),  # away from the center at (32, 32)
        (changed(angle=90.0), (20, 20)),  # counterclockwise: from top right to top left
        (changed(angle=90.0, scale=1.5, shift=(0.125, 0.0)), (14, 22)),  # shifted last
    ],
)
def test_things_move_as_told(change: Change, place: tuple[float, float]) -> None:
    assert found(move(spot(20, 44), change)) == pytest.approx(place, abs=0.05)


def test_nothing_is_mirrored() -> None:
    augmenter = Augmenter(config=AugmentConfig(variants=50, rotation=30, shift=0.2), seed=0)

    def turn(change: Change) -> float:
        """The signed area of a triangle of three spots, which a mirror would negate."""
        a, b, c = (
            np.array(found(move(spot(*at), change))) for at in ((26, 28), (26, 38), (38, 28))
        )
        return float(np.linalg.det(np.stack([b - a, c - a])))

    assert turn(changed()) == pytest.approx(-120, abs=1)
    for variant in range(1, 50):
        change = augmenter.change("x", variant)
        assert turn(change) == pytest.approx(-120 * change.scale**2, rel=0.02)


def test_what_comes_in_is_background() -> None:
    image = np.full((64, 64), 120, np.uint8)
    image[:, :6] = 7  # a tenth of the border is air
    assert move(image, changed(angle=20.0))[0, 0] == 7
    assert (move(np.full((64, 64), 90, np.uint8), changed(angle=20.0)) == 90).all()


def test_exposure_keeps_black() -> None:
    levels = np.arange(256, dtype=np.uint8).reshape(16, 16)
    assert (expose(levels, changed()) == levels).all()
    brighter = expose(levels, changed(gain=1.1)).ravel()
    assert (brighter[0], brighter[100], brighter[255]) == (0, 110, 255)
    darker = expose(levels, changed(gamma=2.0)).ravel()
    assert (darker[0], darker[128], darker[255]) == (0, round(128**2 / 255), 255)


def test_variants_are_a_function_of_seed_radiograph_and_number() -> None:
    image = spot(20, 44)
    config = AugmentConfig(variants=4)
    one = Augmenter(config=config, seed=3)
    assert one.variant(image, "a", 0) is image
    drawn = {
        (seed, name, variant): Augmenter(config=config, seed=seed).change(name, variant)
        for seed in (3, 4)
        for name in ("a", "b")
        for variant in (1, 2, 3)
    }
    assert len(set(drawn.values())) == 12
    assert one.change("b", 2) == drawn[3, "b", 2]


def test_changes_fill_their_limits_and_no_more() -> None:
    config = AugmentConfig(variants=2000, rotation=5, shift=0.03, scale=0.05, contrast=0.1)
    augmenter = Augmenter(config=config, seed=0)
    changes = [augmenter.change("x", variant) for variant in range(1, 2000)]
    for values, low, high in (
        ([c.angle for c in changes], -5, 5),
        ([c.shift[0] for c in changes], -0.03, 0.03),
        ([c.shift[1] for c in changes], -0.03, 0.03),
        ([c.scale for c in changes], 1 / 1.05, 1.05),
        ([c.gain for c in changes], 0.9, 1.1),
        ([c.gamma for c in changes], 1 / 1.1, 1.1),
    ):
        assert low <= min(values) < low + 0.01 * (high - low)
        assert high - 0.01 * (high - low) < max(values) <= high
