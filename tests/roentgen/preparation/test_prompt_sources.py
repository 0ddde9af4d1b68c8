"""A dataset without the reports that prompts need is refused at once, with the way to get them."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from roentgen.config import config_from_dict
from roentgen.dataset.dataset import DatasetWriter, RadiographSplit, open_dataset
from roentgen.errors import InputError
from roentgen.imaging.images import encode_png
from roentgen.preparation.config import CORPORA, PrepareConfig
from roentgen.preparation.prompt_sources import check_prompt_sources
from roentgen.prompts.filters import RadiographFilter
from roentgen.prompts.grammar import PromptStyle, PromptText
from roentgen.record.radiograph import Radiograph, Report
from roentgen.record.statement import Statement

NO_REPORTS = (
    "no radiograph of split 'train' of .* has the section 'impression': prepare it again with "
    r"mimic_cxr_jpg.reports \(as configs/data/mimic_cxr_jpg.yaml does\)"
)


@pytest.fixture(scope="module")
def write(
    tmp_path_factory: pytest.TempPathFactory,
) -> Callable[..., Path]:
    """A writer of datasets of three blank images with these reports."""
    blank = encode_png(np.zeros((8, 8), np.uint8))
    film = Radiograph(
        id="", patient_id="p", study_id="s", split="train", image=blank, source="a", license="CC0"
    )

    def make(*reports: Report | None, corpus: str = "mimic_cxr_jpg", **known: Any) -> Path:
        folder = tmp_path_factory.mktemp("dataset") / "data"
        terms = {"name": "CC0", "data_use": None, "may_share": True}
        config: dict[str, Any] = {name: {} if name == corpus else None for name in CORPORA}
        made = {"program": "roentgen.prepare", "config": config}
        with DatasetWriter(folder, licenses=[terms], provenance=made) as writer:
            for number, report in enumerate(reports):
                writer.add(replace(film, id=str(number), report=report, **known))
        return folder

    return make


def check(folder: Path, *texts: PromptText, rules: RadiographFilter | None = None) -> None:
    dataset = open_dataset(folder)
    styles = [PromptStyle(text=text) for text in texts]
    check_prompt_sources(dataset, dataset.split("train"), styles, rules)


def test_a_preset_needs_impressions(
    write: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    without, other = write(None, None), write(Report(findings="Clear."), None)

    def read(*_: object) -> None:
        raise AssertionError("more than a column is read")

    for name in ("without_images", "images", "__getitem__"):
        monkeypatch.setattr(RadiographSplit, name, read)
    for folder in (without, other):
        with pytest.raises(InputError, match=f"data.filter.preset roentgen needs .*{NO_REPORTS}"):
            check(folder, "impression", rules=RadiographFilter(preset="roentgen"))
        with pytest.raises(InputError, match=f"^data.filter needs reports, but {NO_REPORTS}"):
            check(folder, "findings", rules=RadiographFilter(section="impression"))
        check(folder, "findings", rules=RadiographFilter(views=("PA",)))
    one = write(None, None, Report(impression="No acute process."))
    check(one, "impression", rules=RadiographFilter(preset="roentgen"))


@pytest.mark.parametrize(
    ("text", "section"),
    [
        ("impression", "'impression'"),
        ("report_findings", "'findings'"),
        ("last_paragraph", "'last_paragraph'"),
        ("entities", "'findings' or 'impression' or 'last_paragraph'"),
        ("facts", "'findings' or 'impression' or 'last_paragraph'"),
    ],
)
def test_prompts_of_a_report_need_its_section(
    write: Callable[..., Path], text: PromptText, section: str
) -> None:
    with pytest.raises(InputError, match=f"prompts of {text} need reports.* section {section}"):
        check(write(None, Report(indication="Cough.")), "findings", text)
    full = Report(findings="Clear.", impression="Normal.", last_paragraph="Normal.")
    check(write(None, full), text)


@pytest.mark.parametrize("text", ["entities", "facts"])
def test_facts_are_of_any_text_or_of_statements(
    write: Callable[..., Path], text: PromptText
) -> None:
    for section in ("findings", "impression", "last_paragraph"):
        check(write(None, Report(**{section: "Edema."})), text)
    check(write(None, statements=(Statement(finding="edema"),)), text)
    with pytest.raises(InputError, match="prompts of impression need reports"):
        check(write(None, statements=(Statement(finding="edema"),)), "impression")


def test_texts_that_need_no_report_pass(write: Callable[..., Path]) -> None:
    check(write(None), "findings", "none")


def test_a_preset_needs_the_patients_data(write: Callable[..., Path]) -> None:
    report, rules = Report(impression="Normal."), RadiographFilter(preset="roentgen_v2")
    told = "filter.preset roentgen_v2 needs the patient's race, but .* mimic_cxr_jpg.admissions"
    with pytest.raises(InputError, match=told):
        check(write(report, age=60.0, sex="F"), "impression", rules=rules)
    check(write(report, age=60.0, sex="F", race="white"), "impression", rules=rules)


@pytest.mark.parametrize(
    ("corpus", "way"),
    [
        ("chexpert", "prepare it again with chexpert.plus"),
        ("nih", "nih has no reports, so use a corpus that has"),
        ("unknown", "use a dataset that was prepared with reports"),
    ],
)
def test_the_remedy_is_that_of_the_corpus(
    write: Callable[..., Path], corpus: str, way: str
) -> None:
    with pytest.raises(InputError, match=way):
        check(write(None, corpus=corpus), "impression")


MIMIC = {"root": "x", "reports": "y", "patients": "p", "admissions": "a"}


def prepare_config(corpus: str, settings: dict[str, Any], **rules: Any) -> PrepareConfig:
    split = {"fractions": {"train": 1, "validate": 0, "test": 0}}
    values = {"output": "out", "size": 8, "split": split, "filter": rules}
    return config_from_dict(PrepareConfig, {**values, corpus: settings})


@pytest.mark.parametrize(
    ("corpus", "settings", "rules", "told"),
    [
        ("mimic_cxr_jpg", {"root": "x"}, {"preset": "roentgen"}, "mimic_cxr_jpg.reports"),
        ("chexpert", {"root": "x"}, {"section": "findings"}, "chexpert.plus"),
        ("nih", {"root": "x"}, {"preset": "roentgen"}, "nih has no reports"),
        ("padchest", {"root": "x"}, {"section": "impression"}, "padchest.reports"),
        (
            "mimic_cxr_jpg",
            MIMIC | {"admissions": None},
            {"preset": "roentgen_v2"},
            "the patient's race.* mimic_cxr_jpg.admissions",
        ),
        ("mimic_cxr", {"root": "x"}, {"known": ["age"]}, "patient's age.* mimic_cxr.patients"),
    ],
)
def test_a_preparation_that_would_keep_nothing_is_refused(
    corpus: str, settings: dict[str, Any], rules: dict[str, Any], told: str
) -> None:
    with pytest.raises(InputError, match=f"^filter.* needs .*{told}"):
        prepare_config(corpus, settings, **rules)


def test_a_preparation_with_what_it_keeps_passes() -> None:
    prepare_config("mimic_cxr_jpg", MIMIC, preset="roentgen_v2")
    prepare_config("mimic_cxr", {"root": "x"}, preset="roentgen")
    prepare_config("padchest", {"root": "x"}, section="findings")
    prepare_config("nih", {"root": "x"}, known=["age", "sex"], views=["PA"])
