from collections.abc import Callable

import pytest
import torch

from roentgen.diffusion.components import Components
from roentgen.diffusion.conditions.conditions import Conditions
from roentgen.diffusion.conditions.supported import check_supported
from roentgen.errors import InputError


def some(items: int = 3) -> Conditions:
    """Conditions of every kind, all different."""
    generator = torch.Generator().manual_seed(0)
    return Conditions(
        text=torch.randn(items, 5, 4, generator=generator),
        text_mask=torch.rand(items, 5, generator=generator) < 0.5,
        pooled_text=torch.randn(items, 4, generator=generator),
        masks=torch.randn(items, 2, 6, 6, generator=generator),
        reference=torch.randn(items, 1, 6, 6, generator=generator),
        added={"age": torch.rand(items, generator=generator)},
    )


def same(one: Conditions, other: Conditions) -> bool:
    first, second = one.given(), other.given()
    return first.keys() == second.keys() and all(first[k].equal(second[k]) for k in first)


def test_given_are_the_tensors_by_name() -> None:
    assert Conditions().given() == {}
    assert list(some().given()) == [
        *("text", "text_mask", "pooled_text", "masks", "reference"),
        "age",
    ]


def test_parts_joined_are_the_whole() -> None:
    whole = some()
    assert same(Conditions.joined([whole[:1], whole[1:]]), whole)
    assert same(whole[[2, 0]], Conditions.joined([whole[2:], whole[:1]]))
    assert same(Conditions.joined([Conditions(), Conditions()]), Conditions())
    with pytest.raises(InputError, match=r"some images of a batch are given age and others are no"):
        Conditions.joined([whole, whole.without("age")])


def test_others_take_precedence() -> None:
    text, masks = torch.zeros(3, 5, 4), torch.ones(3, 2, 6, 6)
    changed = some() | Conditions(text=text)
    assert changed.text is text
    assert same(changed.without("text"), some().without("text"))
    assert same(Conditions(text=text) | Conditions(masks=masks), Conditions(text=text, masks=masks))


def test_only_floating_point_changes_its_type() -> None:
    moved = (some() | Conditions(text=torch.arange(15).view(3, 5))).to(
        torch.device("meta"), torch.bfloat16
    )
    kinds = {name: tensor.dtype for name, tensor in moved.given().items()}
    assert kinds == dict.fromkeys(kinds, torch.bfloat16) | {
        "text": torch.int64,
        "text_mask": torch.bool,
    }
    assert all(tensor.is_meta for tensor in moved.given().values())


def test_dropped_text_is_the_empty_prompts_and_all_else_is_zero() -> None:
    given = some()
    empty = Conditions(
        text=torch.full((1, 5, 4), 7.0),
        text_mask=torch.ones(1, 5, dtype=torch.bool),
        pooled_text=torch.full((1, 4), 8.0),
    )
    drops = {
        "text": torch.tensor([True, False, False]),
        "masks": torch.tensor([[False, True], [True, True], [False, False]]),
        "age": torch.tensor([False, False, True]),
    }
    left = given.dropped(drops, empty)
    for name, tensor in empty.given().items():
        assert left.given()[name][0].equal(tensor[0])
        assert left.given()[name][1:].equal(given.given()[name][1:])
    assert left.masks is not None
    assert given.masks is not None
    assert left.masks[0, 0].equal(given.masks[0, 0])
    assert left.masks[2].equal(given.masks[2])
    assert not left.masks[0, 1].any()
    assert not left.masks[1].any()
    assert left.added["age"].tolist() == [*given.added["age"][:2].tolist(), 0.0]
    assert left.reference is given.reference  # nothing is said of it
    assert same(given.dropped({}, Conditions()), given)


def test_conditions_that_the_model_does_not_take_are_refused(
    make_small_components: Callable[..., Components],
) -> None:
    components, text = make_small_components(), torch.zeros(3, 77, dtype=torch.int64)
    check_supported(Conditions(text=text), components, 3)
    given = Conditions(text=text, added={"age": torch.zeros(3)})
    with pytest.raises(InputError, match="age is given, but the model is not conditioned on it"):
        check_supported(given, components, 3)
    components.condition_networks = {"age": torch.nn.Identity()}
    check_supported(given, components, 3)


def test_guidance_has_unconditional_before_conditional() -> None:
    given, other = some(), Conditions(text=torch.zeros(3, 5, 4))
    doubled = given.doubled(other)
    assert same(doubled[:3], given | other)
    assert same(doubled[3:], given)
