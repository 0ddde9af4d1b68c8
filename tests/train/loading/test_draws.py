from collections import Counter
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch

from train.loading.draws import DrawPlan, Draws, DrawSettings, share, validation_draws

FIELDS = ("items", "variants", "styles", "timesteps", "posterior_noise", "noise")

STRATIFIED = {"timestep_sampling": "stratified"}


def make_plan(**changes: Any) -> DrawPlan:
    settings = {"seed": 3, "items": 10, "batch_size": 8, "timesteps": 1000} | changes
    return DrawPlan(
        DrawSettings(
            **settings,
            shape=(4, 2, 2),
            style_weights=[3, 1],
            caption_dropout=0.1,
        )
    )


def fields(draws: Draws) -> dict[str, np.ndarray]:
    """The values of all fields, by name."""
    return {f: np.asarray(getattr(draws, f)) for f in FIELDS} | {
        name: drop.numpy() for name, drop in draws.drops.items()
    }


def changed(one: Draws, other: Draws) -> set[str]:
    """The fields in which two draws differ."""
    first, second = fields(one), fields(other)
    return {name for name in first if not np.array_equal(first[name], second[name])}


@pytest.mark.parametrize(
    "settings", [{}, {"timestep_sampling": "stratified", "offset_noise": 0.1, "variants": 4}]
)
def test_slices_and_ranks_draw_what_the_whole_batch_draws(settings: dict[str, Any]) -> None:
    whole = make_plan(**settings).draw(5, range(8))
    for ranks, slices in ((1, 1), (2, 1), (1, 4), (2, 2), (4, 2)):
        parts = [
            make_plan(**settings).draw(5, places)  # a plan of its own: nothing is carried over
            for rank in range(ranks)
            for places in share(8, rank, ranks, slices)
        ]
        for field, expected in fields(whole).items():
            joined = np.concatenate([fields(part)[field] for part in parts])
            assert np.array_equal(joined, expected), field


def test_every_item_is_seen_once_an_epoch_in_changing_order() -> None:
    plan = make_plan()
    seen = [int(item) for step in range(5) for item in plan.draw(step, range(8)).items]
    assert Counter(seen) == dict.fromkeys(range(10), 4)
    epochs = [seen[i : i + 10] for i in range(0, 40, 10)]
    assert all(sorted(epoch) == list(range(10)) for epoch in epochs)
    assert all(a != b for a, b in pairwise(epochs))


def test_a_later_step_needs_no_history() -> None:
    plan = make_plan()
    for step in range(9):
        plan.draw(step, range(8))
    assert torch.equal(plan.draw(9, range(8)).noise, make_plan().draw(9, range(8)).noise)
    assert np.array_equal(plan.draw(9, range(8)).items, make_plan().draw(9, range(8)).items)


def test_steps_places_and_seeds_draw_differently() -> None:
    noise = make_plan().draw(0, range(8)).noise.flatten(1)
    assert len({tuple(row.tolist()) for row in noise}) == 8
    assert not torch.equal(noise, make_plan().draw(1, range(8)).noise.flatten(1))
    assert not torch.equal(noise, make_plan(seed=4).draw(0, range(8)).noise.flatten(1))


def test_draws_have_their_distributions() -> None:
    draws = make_plan(items=4096, batch_size=4096).draw(0, range(4096))
    # Five standard deviations of each estimate.
    assert abs(draws.drops["text"].float().mean() - 0.1) < 5 * (0.1 * 0.9 / 4096) ** 0.5
    assert abs(draws.styles.mean() - 0.25) < 5 * (0.25 * 0.75 / 4096) ** 0.5
    assert abs(draws.timesteps.float().mean() - 499.5) < 5 * 1000 / (12 * 4096) ** 0.5
    assert {int(draws.timesteps.min()) // 10, int(draws.timesteps.max()) // 10} == {0, 99}
    for noise in (draws.noise, draws.posterior_noise):
        assert abs(noise.mean()) < 5 / noise.numel() ** 0.5
        assert abs(noise.square().mean() - 1) < 5 * (2 / noise.numel()) ** 0.5
    both = (draws.noise * draws.posterior_noise).mean()
    assert abs(both) < 5 / draws.noise.numel() ** 0.5


@pytest.mark.parametrize(("batch", "timesteps"), [(8, 1000), (7, 1000), (48, 1000), (5, 3)])
def test_stratified_timesteps_are_one_from_each_equal_share(batch: int, timesteps: int) -> None:
    plan = make_plan(batch_size=batch, timesteps=timesteps, items=batch, **STRATIFIED)
    order = set()
    for step in range(20):
        drawn = plan.draw(step, range(batch)).timesteps.tolist()
        order.add(tuple(np.argsort(drawn, kind="stable").tolist()))
        for stratum, timestep in enumerate(sorted(drawn)):
            first, end = stratum * timesteps / batch, (stratum + 1) * timesteps / batch
            assert int(first) <= timestep < end, (step, stratum)
    assert len(order) > 1  # places change their strata from step to step


def test_a_stratified_timestep_alone_is_uniform_at_every_place() -> None:
    plan, timesteps, steps = make_plan(batch_size=3, timesteps=10, **STRATIFIED), 10, 4000
    drawn = np.stack([plan.draw(step, range(3)).timesteps.numpy() for step in range(steps)])
    for place in range(3):
        counts = np.bincount(drawn[:, place], minlength=timesteps)
        # Five standard deviations of a count.
        assert abs(counts - steps / timesteps).max() < 5 * (steps * 0.1 * 0.9) ** 0.5


def test_offset_noise_shifts_channels_by_their_own_normal_numbers() -> None:
    plain = make_plan(items=512, batch_size=512).draw(0, range(512)).noise
    noise = make_plan(items=512, batch_size=512, offset_noise=0.3).draw(0, range(512)).noise
    shifts = noise - plain
    shared = shifts.mean(dim=(2, 3), keepdim=True)
    torch.testing.assert_close(shifts, shared.expand_as(shifts), rtol=0, atol=1e-6)
    numbers = shared / 0.3
    assert abs(numbers.mean()) < 5 / numbers.numel() ** 0.5
    assert abs(numbers.square().mean() - 1) < 5 * (2 / numbers.numel()) ** 0.5
    assert abs((numbers[:, 0] * numbers[:, 1]).mean()) < 5 / 512**0.5
    assert abs((numbers * plain.mean(dim=(2, 3), keepdim=True)).mean()) < 5 / numbers.numel() ** 0.5


def test_variants_are_drawn_equally_often() -> None:
    variants = make_plan(items=4000, batch_size=4000, variants=4).draw(0, range(4000)).variants
    assert abs(np.bincount(variants, minlength=4) - 1000).max() < 5 * (4000 * 0.25 * 0.75) ** 0.5
    assert set(make_plan().draw(0, range(8)).variants) == {0}


def test_cubic_timesteps_follow_their_law() -> None:
    timesteps = make_plan(timestep_sampling="cubic", timesteps=1000, items=8000, batch_size=8000)
    drawn = timesteps.draw(0, range(8000)).timesteps.numpy()
    assert drawn.min() >= 0
    assert drawn.max() <= 999
    for level in (100, 500, 900):  # P(t < level) = 1 - (1 - level / 1000)^(1/3)
        share = 1 - (1 - level / 1000) ** (1 / 3)
        error = 5 * (share * (1 - share) / 8000) ** 0.5 + 0.001  # and whole numbers
        assert abs((drawn < level).mean() - share) < error


def test_what_is_switched_on_moves_no_other_draw() -> None:
    plain = make_plan().draw(2, range(8))
    for field, name, value in (
        ("timesteps", "timestep_sampling", "stratified"),
        ("timesteps", "timestep_sampling", "cubic"),
        ("noise", "offset_noise", 0.1),
        ("variants", "variants", 4),
    ):
        assert changed(plain, make_plan(**{name: value}).draw(2, range(8))) == {field}
    every = make_plan(offset_noise=0.1, variants=4, **STRATIFIED).draw(2, range(8))
    assert changed(plain, every) == {"timesteps", "noise", "variants"}
    alone = make_plan(variants=4).draw(2, range(8))
    assert np.array_equal(every.variants, alone.variants)


def test_validation_draws_depend_on_the_item_and_spread_over_the_timesteps() -> None:
    draws = validation_draws(0, ["a", "b", "c", "d"], (4, 2, 2), 1000, items=[0, 2, 4, 6])
    assert sorted(draws.timesteps.tolist()) == [125, 375, 625, 875]
    assert draws.items.tolist() == [0, 2, 4, 6]
    other = validation_draws(0, ["x", "b"], (4, 2, 2), 1000, items=[0, 1])
    assert torch.equal(draws.noise[1], other.noise[1])
    assert not torch.equal(draws.noise[0], other.noise[0])
