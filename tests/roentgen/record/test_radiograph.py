import itertools

import pytest

from roentgen.errors import InputError
from roentgen.record.finding import FINDING_NAMES, STATES, Finding, State, states
from roentgen.record.radiograph import VIEW_TOKENS, VIEW_WORDS, VIEWS, parse_view

# The header of CheXpert's train.csv (Irvin et al. 2019), alphabetically.
CHEXPERT = (
    "Atelectasis,Cardiomegaly,Consolidation,Edema,Enlarged Cardiomediastinum,Fracture,Lung Lesion,"
    "Lung Opacity,No Finding,Pleural Effusion,Pleural Other,Pneumonia,Pneumothorax,Support Devices"
)


def test_the_names_are_chexperts() -> None:
    assert ",".join(FINDING_NAMES) == CHEXPERT


@pytest.mark.parametrize(
    ("field", "value", "allowed"),
    [
        ("name", "Cardiomegalie", "Cardiomegaly"),
        ("state", "maybe", "uncertain"),
        ("side", "Left", "left"),
        ("severity", "huge", "large"),
    ],
)
def test_an_unknown_word_is_named_with_the_choices(field: str, value: str, allowed: str) -> None:
    with pytest.raises(InputError) as error:
        Finding(**({"name": "Edema"} | {field: value}))  # type: ignore[arg-type]
    assert value in str(error.value)
    assert allowed in str(error.value)
    assert "\n" not in str(error.value)


def finding(state: State) -> Finding:
    return Finding(name="Edema", state=state)


def test_what_is_not_mentioned_has_no_state() -> None:
    assert states(()) == {}
    assert states((finding("absent"),)) == {"Edema": "absent"}


@pytest.mark.parametrize("pair", [*itertools.product(STATES, repeat=2)])
def test_the_stronger_of_two_states_counts_in_either_order(pair: tuple[State, State]) -> None:
    strength = {"absent": 0, "uncertain": 1, "present": 2}
    expected = pair[0] if strength[pair[0]] >= strength[pair[1]] else pair[1]
    assert states((finding(pair[0]), finding(pair[1]))) == {"Edema": expected}


def test_findings_do_not_mix() -> None:
    both = (finding("present"), Finding(name="Fracture", state="absent"))
    assert states(both) == {"Edema": "present", "Fracture": "absent"}


def test_every_view_has_its_own_token_and_words() -> None:
    assert set(VIEW_TOKENS) == set(VIEW_WORDS) == set(VIEWS) == {"PA", "AP", "LATERAL"}
    assert len(set(VIEW_TOKENS.values())) == len(set(VIEW_WORDS.values())) == len(VIEWS)


@pytest.mark.parametrize(("text", "view"), [("pa", "PA"), (" Lateral ", "LATERAL"), ("AP", "AP")])
def test_a_view_is_read_whatever_its_case(text: str, view: str) -> None:
    assert parse_view(text) == view


@pytest.mark.parametrize("text", ["", "P", "oblique", "PA,AP"])
def test_an_unknown_view_is_named_with_the_choices(text: str) -> None:
    with pytest.raises(InputError, match="PA, AP, LATERAL"):
        parse_view(text)
