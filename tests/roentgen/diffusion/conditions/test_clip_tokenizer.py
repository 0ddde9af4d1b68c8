import open_clip
import pytest

from roentgen.diffusion.conditions.clip_tokenizer import clip_tokenizer

TEXTS = [
    "cardiomegaly, small left pleural effusion, no pneumothorax",
    "",
    "63 year old F. Impression: 1.2cm nodule (R upper lobe); doesn't change",
    "Ø ünïcode — dash",
]


def test_it_encodes_as_open_clip_does() -> None:
    tokenizer = clip_tokenizer()
    for text in TEXTS:
        ids = tokenizer(text).input_ids
        reference = open_clip.tokenize([text])[0].tolist()
        assert ids == reference[: len(ids)]
        assert not any(reference[len(ids) :])


def test_it_pads_to_77_with_the_end_token() -> None:
    tokenizer = clip_tokenizer()
    ids = tokenizer("edema", padding="max_length").input_ids
    assert len(tokenizer) == 49408
    assert len(ids) == 77
    assert ids[0] == 49406
    assert set(ids[3:]) == {49407}


def test_the_vocabulary_survives_saving(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("tokenizer")
    tokenizer = clip_tokenizer()
    tokenizer.save_pretrained(folder)
    again = type(tokenizer).from_pretrained(folder)
    assert again.model_max_length == 77
    assert again(TEXTS).input_ids == tokenizer(TEXTS).input_ids
