from collections import Counter
from itertools import pairwise

import numpy as np
import torch

from train.draws import Plan, share, validation_draws


def make_plan(**changes: int) -> Plan:
    settings = {"seed": 3, "items": 10, "batch": 8} | changes
    return Plan(
        **settings,
        shape=(4, 2, 2),
        timesteps=1000,
        style_weights=[3, 1],
        caption_dropout=0.1,
    )


def test_slices_and_ranks_draw_what_the_whole_batch_draws() -> None:
    whole = make_plan().draw(5, range(8))
    for ranks, slices in ((1, 1), (2, 1), (1, 4), (2, 2), (4, 2)):
        parts = [
            make_plan().draw(5, places)  # a plan of its own: nothing is carried over
            for rank in range(ranks)
            for places in share(8, rank, ranks, slices)
        ]
        for field in ("items", "styles", "dropped", "timesteps", "posterior_noise", "noise"):
            joined = np.concatenate([np.asarray(getattr(part, field)) for part in parts])
            assert np.array_equal(joined, np.asarray(getattr(whole, field))), field


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
    draws = make_plan(items=4096, batch=4096).draw(0, range(4096))
    # Five standard deviations of each estimate.
    assert abs(draws.dropped.mean() - 0.1) < 5 * (0.1 * 0.9 / 4096) ** 0.5
    assert abs(draws.styles.mean() - 0.25) < 5 * (0.25 * 0.75 / 4096) ** 0.5
    assert abs(draws.timesteps.float().mean() - 499.5) < 5 * 1000 / (12 * 4096) ** 0.5
    assert {int(draws.timesteps.min()) // 10, int(draws.timesteps.max()) // 10} == {0, 99}
    for noise in (draws.noise, draws.posterior_noise):
        assert abs(noise.mean()) < 5 / noise.numel() ** 0.5
        assert abs(noise.square().mean() - 1) < 5 * (2 / noise.numel()) ** 0.5
    both = (draws.noise * draws.posterior_noise).mean()
    assert abs(both) < 5 / draws.noise.numel() ** 0.5


def test_validation_draws_depend_on_the_item_and_spread_over_the_timesteps() -> None:
    draws = validation_draws(0, ["a", "b", "c", "d"], (4, 2, 2), 1000, items=[0, 2, 4, 6])
    assert sorted(draws.timesteps.tolist()) == [125, 375, 625, 875]
    assert draws.items.tolist() == [0, 2, 4, 6]
    other = validation_draws(0, ["x", "b"], (4, 2, 2), 1000, items=[0, 1])
    assert torch.equal(draws.noise[1], other.noise[1])
    assert not torch.equal(draws.noise[0], other.noise[0])
