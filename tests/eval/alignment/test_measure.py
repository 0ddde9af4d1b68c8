"""Alignment of drawn images whose findings have a side, and whose patients a sex and an age."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import open_clip
import pytest
from safetensors.torch import save_file

from eval.alignment.clip_agreement import prompted_sets
from eval.alignment.measure import Alignment
from eval.config import AlignmentConfig, ClipConfig, EvaluateConfig, ReferenceSetConfig
from eval.evaluation import domains_of
from eval.report.section import PageSection
from eval.sets import Sets, read_sets
from roentgen.dataset.dataset import DatasetWriter
from roentgen.errors import InputError
from roentgen.imaging.images import encode_png
from roentgen.prompts.grammar import PromptStyle, prompt_of
from roentgen.randomness import numpy_generator
from roentgen.record.finding import Finding
from roentgen.record.radiograph import VIEW_TOKENS, Radiograph, Split
from roentgen.vision.clip import ClipModel
from roentgen.vision.network_settings import ClassifierConfig
from tests.conftest import SYNTHESIS

SIZE = 32
LICENSE = {"name": "CC0-1.0", "data_use": None, "may_share": True}
Fault = Literal["none", "mirrored", "other patients"]


def drawn(split: Split, i: int, seed: int, fault: Fault, prompt_from: str | None) -> Radiograph:
    """A disc on one side is an effusion, a bright border a woman, the ground grows with age."""
    generator = numpy_generator(seed, split, i)
    y, x = np.mgrid[:SIZE, :SIZE] / SIZE
    effusion, right, woman = generator.random(3) < 0.5
    age = float(generator.integers(20, 90))
    shown_age, shown_woman = age, woman
    if fault == "other patients":
        shown_age, shown_woman = float(generator.integers(20, 90)), generator.random() < 0.5
    shown_right = right != (fault == "mirrored")
    image = 0.2 + 0.004 * shown_age + 0.02 * generator.standard_normal((SIZE, SIZE))
    image[:, : SIZE // 8] += 0.1  # what tells left from right, as the heart does
    if effusion:
        centre = 0.3 if shown_right else 0.75  # the patient's right is on the image's left
        image += 0.35 * ((x - centre) ** 2 + (y - 0.5) ** 2 < 0.02)
    if shown_woman:
        image[:3] += 0.2
    record = Radiograph(
        id=f"{seed}-{split}-{i}",
        patient_id=f"{seed}-{split}-{i}",
        study_id=f"{seed}-{split}-{i}",
        split=split,
        image=encode_png((image.clip(0, 1) * 255).astype(np.uint8)),
        view="PA",
        findings=(
            Finding(
                name="Pleural Effusion",
                state="present" if effusion else "absent",
                side=("right" if right else "left") if effusion else None,
            ),
        ),
        age=age,
        sex="F" if woman else "M",
        source="drawn",
        license="CC0-1.0",
    )
    if prompt_from is None:
        return record
    prompt = prompt_of(record, PromptStyle(demographics=True))
    synthesis = SYNTHESIS(prompt=prompt, seed=i, from_radiograph=prompt_from)
    return Radiograph(**{**vars(record), "synthesis": synthesis, "id": f"{fault}-{i}"})


def write(folder: Path, counts: dict[Split, int], seed: int, fault: Fault | None = None) -> Path:
    with DatasetWriter(
        folder, licenses=[LICENSE], provenance={"program": "drawn", "made_from": {}}
    ) as writer:
        for split, count in counts.items():
            for i in range(count):
                source = f"{seed}-{split}-{i}" if fault else None
                writer.add(drawn(split, i, seed, fault or "none", source))
    return folder


def write_clip(folder: Path) -> Path:
    told = {
        "embed_dim": 16,
        "vision_cfg": {
            "image_size": 32,
            "layers": 1,
            "width": 32,
            "head_width": 16,
            "patch_size": 8,
        },
        "text_cfg": {
            "context_length": 14,
            "vocab_size": 49408,
            "width": 32,
            "heads": 2,
            "layers": 1,
        },
    }
    folder.mkdir()
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": told}))
    state = open_clip.CLIP(**told).state_dict()
    save_file({k: v.clone().contiguous() for k, v in state.items()}, folder / "clip.safetensors")
    return folder


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> EvaluateConfig:
    place = tmp_path_factory.mktemp("sided")
    return EvaluateConfig(
        reference=ReferenceSetConfig.of(write(place / "real", {"train": 400, "test": 120}, 1)),
        # Made with the prompts of the held-out films: the same draws, so the same findings.
        synthetic={
            "mirrored": write(place / "mirrored", {"test": 120}, 1, "mirrored"),
            "strangers": write(place / "strangers", {"test": 120}, 1, "other patients"),
            "right": write(place / "right", {"test": 120}, 1, "none"),
        },
        allow_reference_images=True,  # the same draws: images as in the test split
        findings=("Pleural Effusion", "Pneumothorax"),
        output=place / "results",
        bootstrap=100,
        classifier=ClassifierConfig(steps=250, widths=(8, 16, 32)),
        alignment=AlignmentConfig(
            clip=(ClipConfig(name="CLIP", model=str(write_clip(place / "clip"))),)
        ),
    )


@pytest.fixture(scope="module")
def sets(config: EvaluateConfig) -> Sets:
    return read_sets(config)


@pytest.fixture(scope="module")
def part(config: EvaluateConfig, sets: Sets) -> PageSection:
    domains_of(config, sets)["alignment"].check()
    domains_of(config, sets)["alignment"].precompute()
    return domains_of(config, sets)["alignment"].measure()


def test_mirrored_findings_are_on_the_wrong_side_and_else_as_asked(part: PageSection) -> None:
    numbers = part.numbers
    for name in ("right", "ceiling", "strangers"):
        assert numbers[name]["laterality_accuracy"]["Pleural Effusion"].value > 0.9
    assert numbers["mirrored"]["laterality_accuracy"]["all findings"].value < 0.1
    assert numbers["mirrored"]["auroc"]["Pleural Effusion"].value > 0.95
    assert numbers["mirrored"]["f1"]["Pleural Effusion"].value > 0.85
    never = numbers["right"]["laterality_accuracy"]["Pneumothorax"]
    assert never.note.startswith("not measured: only 0 patients with it on the left")


def test_images_of_other_patients_are_told(part: PageSection) -> None:
    numbers = part.numbers
    for name in ("right", "ceiling", "mirrored"):
        assert numbers[name]["sex_accuracy"].value > 0.95
        assert numbers[name]["age_error"].high < numbers[name]["age_floor"].low / 2
    # Drawn anew: sex is right by chance, and ages differ by 70/3 years on average.
    strangers = numbers["strangers"]
    assert strangers["sex_accuracy"].low < 0.5 < strangers["sex_accuracy"].high
    assert strangers["age_error"].value == pytest.approx(70 / 3, rel=0.2)


def test_networks_are_trained_on_some_patients_and_thresholds_set_on_others(
    config: EvaluateConfig, sets: Sets, part: PageSection
) -> None:
    assert config.alignment is not None
    learnt, validation = Alignment(config.alignment, config, sets).split
    assert (len(learnt), len(validation)) == (320, 80)
    assert not set(learnt.patients) & set(validation.patients)
    assert any("trained on 320 radiographs" in line for line in part.methods)
    assert any(
        "The validation set is 80 radiographs of other patients" in line for line in part.methods
    )


def test_clip_says_what_was_compared_and_what_was_cut(part: PageSection, sets: Sets) -> None:
    told = part.numbers["clip"]["CLIP"]
    prompts = {r.synthesis.prompt for r in sets.synthetic["right"].radiographs if r.synthesis}
    assert told["pool"] == len(prompts)
    assert 0 < told["too_long"] <= 2 * len(prompts)
    line = next(x for x in part.methods if x.startswith("CLIP ("))
    assert f"{told['too_long']} of " in line
    assert f"by chance recall@k is k / {len(prompts)}" in line
    for name in ("right", "ceiling"):  # the same pixels with the same prompts
        assert told["sets"][name]["score"].n == 120
    assert told["sets"]["right"]["score"].value == told["sets"]["ceiling"]["score"].value


def test_embeddings_and_networks_are_kept(
    config: EvaluateConfig, sets: Sets, part: PageSection, monkeypatch: pytest.MonkeyPatch
) -> None:
    def again(*_: Any, **__: Any) -> None:
        pytest.fail("made again")

    monkeypatch.setattr(ClipModel, "encode_images", again)
    monkeypatch.setattr("roentgen.vision.network_cache.train_classifier", again)
    domains_of(config, sets)["alignment"].precompute()
    assert domains_of(config, sets)["alignment"].measure().numbers == part.numbers


def test_view_tokens_are_read_as_words(part: PageSection, sets: Sets) -> None:
    prompts = [p for _, of in prompted_sets(sets).values() for p in of]
    assert not any(token in p for p in prompts for token in VIEW_TOKENS.values())
    assert all(p.startswith("frontal chest x-ray standing, ") for p in prompts)


def test_an_absent_clip_model_is_told_before_any_work(config: EvaluateConfig, sets: Sets) -> None:
    absent = AlignmentConfig(clip=(ClipConfig(name="BiomedCLIP", model="biomedclip"),))
    with pytest.raises(InputError, match=r"no CLIP model in biomedclip .*hf download microsoft"):
        domains_of(replace(config, alignment=absent), sets)["alignment"].check()
    with pytest.raises(InputError, match="give each model its own"):
        AlignmentConfig(clip=(ClipConfig(name="a", model="b"), ClipConfig(name="a", model="c")))


def test_every_number_stands_in_a_table(part: PageSection) -> None:
    cells = [cell for table in part.tables for row in table.rows for cell in row]
    for name in ("right", "strangers", "mirrored", "ceiling"):
        judged = part.numbers[name]
        for key in ("view_accuracy", "sex_accuracy", "sex_floor", "age_error", "age_floor"):
            assert judged[key] in cells
        for metric in ("auroc", "auprc", "f1"):
            assert judged[f"mean_{metric}"] in cells
            assert all(estimate in cells for estimate in judged[metric].values())
        of_clip = part.numbers["clip"]["CLIP"]["sets"][name]
        assert all(estimate in cells for estimate in of_clip.values())
