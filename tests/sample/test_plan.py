from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from roentgen.dataset.dataset import DatasetWriter
from roentgen.diffusion.backbones.stable_diffusion import load_components
from roentgen.diffusion.conditions.prompt_encoding import token_counts
from roentgen.diffusion.sampling.settings import SamplerSettings
from roentgen.errors import InputError
from roentgen.generation.planned_images import PlannedImage
from roentgen.generation.prompt_rows import requested_findings
from roentgen.imaging.images import encode_png
from roentgen.prompts.grammar import PromptStyle, prompt_of
from roentgen.record.context import ContextValue
from roentgen.record.finding import Finding
from roentgen.record.radiograph import Radiograph, Report
from sample.plan import PlanFile, part_size, plan_images, write_plan
from sample.prompts.config import DatasetPrompts, LabelPrompts, PromptsConfig, TablePrompts

STYLE = PromptStyle()


def plan_of(
    prompts: PromptsConfig, style: PromptStyle = STYLE, seed: int = 0
) -> list[PlannedImage]:
    return list(plan_images(prompts, style, SamplerSettings(), seed))


def by_hand(*findings: str, count: int = 2) -> PromptsConfig:
    return PromptsConfig(findings=findings, views=("PA", "AP"), count=count)


@pytest.fixture(scope="module")
def radiographs() -> list[Radiograph]:
    pixels = np.arange(64, dtype=np.uint8).reshape(8, 8)
    return [
        Radiograph(
            id=f"r{number}",
            patient_id=f"p{number}",
            study_id=f"s{number}",
            split="test",
            image=encode_png(pixels + number),
            view=("PA", "AP", "LATERAL", None)[number % 4],
            findings=(Finding(name="Edema"), Finding(name="Pneumothorax", state="absent")),
            report=Report(impression="Edema.") if number else None,
            age=50.0 + number,
            sex="F",
            source="made",
            license="CC0-1.0",
        )
        for number in range(12)
    ]


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory, radiographs: list[Radiograph]) -> Path:
    folder = tmp_path_factory.mktemp("data") / "set"
    license_ = {"name": "CC0-1.0", "data_use": None, "may_share": True}
    with DatasetWriter(folder, licenses=[license_], provenance={}) as writer:
        for radiograph in radiographs:
            writer.add(radiograph)
    return folder


def test_findings_by_hand_give_a_row_an_image() -> None:
    plan = plan_of(by_hand("small LEFT effusion and cardiomegaly", "no pneumothorax"))
    assert [image.prompt for image in plan[::2]] == [
        "<view-pa> cardiomegaly, small left pleural effusion",
        "<view-ap> cardiomegaly, small left pleural effusion",
        "<view-pa> no pneumothorax",
        "<view-ap> no pneumothorax",
    ]
    assert [image.view for image in plan] == ["PA", "PA", "AP", "AP"] * 2
    assert plan[0].findings == (
        Finding(name="Pleural Effusion", side="left", severity="small"),
        Finding(name="Cardiomegaly"),
    )
    assert len({image.seed for image in plan}) == len({image.id for image in plan}) == 8
    assert all(image.id.startswith(image.patient_id) for image in plan)
    assert len({image.patient_id for image in plan}) == 4


def test_typed_findings_are_stated_in_any_style() -> None:
    style = PromptStyle(mention_absent=False, mention_uncertain=False)
    (image,) = plan_of(PromptsConfig(findings=("<view-ap> 60 year old man, no edema",)), style)
    assert image.prompt == "<view-ap> 60 year old man, no edema"
    assert (image.view, image.age, image.sex) == ("AP", 60, "M")


def test_an_image_has_the_same_seed_in_any_plan() -> None:
    few = {(i.prompt, i.id): i.seed for i in plan_of(by_hand("edema"))}
    more = {(i.prompt, i.id): i.seed for i in plan_of(by_hand("nodule", "edema", count=3))}
    assert few.items() < more.items()
    assert few != {(i.prompt, i.id): i.seed for i in plan_of(by_hand("edema"), seed=1)}


def test_equal_prompts_give_different_images() -> None:
    plan = plan_of(by_hand("edema", "pulmonary edema"))
    assert len({image.prompt for image in plan}) == 2
    assert len({image.seed for image in plan}) == len({image.id for image in plan}) == 8


def test_texts_are_used_as_they_are() -> None:
    prompts = PromptsConfig(
        texts=("Clear  lungs.", "<view-lateral> Clear lungs."),
        views=("PA",),
        negative_prompt="noise",
    )
    plan = plan_of(prompts)
    assert [image.prompt for image in plan] == [
        "<view-pa> Clear lungs.",
        "<view-lateral> Clear lungs.",
    ]
    assert [image.view for image in plan] == ["PA", "LATERAL"]
    assert {image.negative_prompt for image in plan} == {"noise"}
    assert plan_of(replace(prompts, texts=("lungs",), views=()))[0].prompt == "lungs"


def test_a_dataset_gives_its_own_prompts(dataset: Path, radiographs: list[Radiograph]) -> None:
    style = PromptStyle(demographics=True)
    plan = plan_of(PromptsConfig(dataset=DatasetPrompts(folder=dataset), count=2), style)
    assert [image.prompt for image in plan[::2]] == [prompt_of(r, style) for r in radiographs]
    for image, radiograph in zip(plan[1::2], radiographs, strict=True):
        assert (image.from_radiograph, image.from_patient) == (
            radiograph.id,
            radiograph.patient_id,
        )
        assert (image.view, image.age, image.sex, image.findings) == (
            radiograph.view,
            radiograph.age,
            radiograph.sex,
            radiograph.findings,
        )
    assert len({image.patient_id for image in plan}) == len(radiographs)


def test_only_findings_in_the_prompt_are_requested(dataset: Path, tmp_path: Path) -> None:
    source = PromptsConfig(dataset=DatasetPrompts(folder=dataset, limit=1))
    untold = plan_of(source, PromptStyle(text="none", view_token=False))[0]
    assert (untold.prompt, untold.view, untold.findings) == ("", None, ())
    assert (untold.age, untold.sex) == (None, None)
    findings = (
        Finding(name="Edema", state="uncertain"),
        Finding(name="Pneumothorax", state="absent"),
        Finding(name="Cardiomegaly"),
    )
    certain = PromptStyle(mention_uncertain=False, mention_absent=False)
    assert requested_findings(findings, certain) == findings[1:]  # what is not named is absent
    assert requested_findings(findings, PromptStyle()) == findings
    assert requested_findings(findings, PromptStyle(text="impression")) == findings
    with pytest.raises(InputError, match=r"prompts\.views is set, but prompts include no view"):
        plan_of(by_hand("edema"), PromptStyle(view_token=False))
    (typed,) = plan_of(PromptsConfig(findings=("<view-ap> edema",)), PromptStyle(view_token=False))
    assert (typed.prompt, typed.view) == ("<view-ap> edema", "AP")


def test_a_dataset_is_filtered_by_view_and_sampled(dataset: Path) -> None:
    def ids(seed: int, limit: int | None) -> list[str | None]:
        source = DatasetPrompts(folder=dataset, views=("PA", "AP"), limit=limit)
        return [
            image.from_radiograph for image in plan_of(PromptsConfig(dataset=source), seed=seed)
        ]

    assert ids(0, None) == ["r0", "r1", "r4", "r5", "r8", "r9"]
    assert len(ids(0, 3)) == 3
    assert ids(0, 3) == ids(0, 3)
    assert set(ids(0, 3)) < set(ids(0, None))
    assert len({tuple(ids(seed, 3)) for seed in range(5)}) > 1


def test_a_table_gives_prompts_views_and_counts(tmp_path: Path) -> None:
    file = tmp_path / "prompts.csv"
    file.write_text('\ufefftext,view,n\n"Edema, left effusion",PA,2\nnodule,lateral,0\nmass,AP,1\n')
    table = TablePrompts(
        file=file, column="text", kind="findings", view_column="view", count_column="n"
    )
    assert [image.prompt for image in plan_of(PromptsConfig(table=table))] == [
        "<view-pa> edema, left pleural effusion",
        "<view-pa> edema, left pleural effusion",
        "<view-ap> mass",
    ]
    table = TablePrompts(file=file, column="text")
    plan = plan_of(PromptsConfig(table=table, views=("PA",), count=2))
    assert len(plan) == 6
    assert plan[0].prompt == "<view-pa> Edema, left effusion"
    assert plan[0].findings == ()


@pytest.mark.parametrize(
    ("content", "options", "message"),
    [
        ("text\nedema\n", {"column": "report"}, "has no column 'report'; it has: text"),
        ("text\nedema\n", {"view_column": "view"}, "has no column 'view'"),
        ("text,view\nedema,oblique\n", {"view_column": "view"}, "row 1: unknown view 'oblique'"),
        ("text,n\nedema,two\n", {"count_column": "n"}, "row 1: n is 'two', not a whole number"),
        ("text,n\nedema,0\n", {"count_column": "n"}, "every count is 0"),
        ("text\nedema\nfever\n", {"kind": "findings"}, "row 2: unknown word 'fever'"),
        ("text,n\n,1\n", {}, "row 1 is empty"),
        ("text,n\nedema,1,2\n", {}, "row 1 has more or fewer fields"),
        ("text\n", {}, "no row below its header"),
        ("", {}, "has no column 'text'"),
        ('text\n"edema\n', {}, "table .* cannot be read: unexpected end of data"),
        (None, {}, "no such table: .*prompts.csv"),
    ],
)
def test_a_bad_table_is_reported_by_row(
    tmp_path: Path, content: str | None, options: dict[str, str], message: str
) -> None:
    file = tmp_path / "prompts.csv"
    if content is not None:
        file.write_text(content)
    table = TablePrompts(**({"file": file, "column": "text"} | options))  # type: ignore[arg-type]
    with pytest.raises(InputError, match=message) as caught:
        plan_of(PromptsConfig(table=table))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: PromptsConfig(), "dataset, table, labels, masks; given: none"),
        (lambda: PromptsConfig(findings=("edema",), texts=("a",)), "given: findings, texts"),
        (lambda: PromptsConfig(findings=()), "prompts.findings is empty"),
        (lambda: PromptsConfig(texts=()), "prompts.texts is empty"),
        (lambda: PromptsConfig(texts=("a",), count=0), "prompts.count is 0"),
        (
            lambda: plan_of(by_hand("edema", "fever")),
            r"prompts.findings\[1\]: unknown word 'fever'",
        ),
        (lambda: plan_of(by_hand("")), r"prompts.findings\[0\] names no finding"),
        (lambda: plan_of(PromptsConfig(texts=(" ",))), r"prompts.texts\[0\] is empty"),
        (
            lambda: plan_of(PromptsConfig(texts=("<view-swimmer> lungs",))),
            r"prompts.texts\[0\]: unknown view token '<view-swimmer>'",
        ),
        (lambda: DatasetPrompts(folder=Path("x"), limit=0), "limit is 0"),
    ],
)
def test_bad_prompts_are_refused(make: Callable[[], object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        make()


def test_a_bad_dataset_is_refused(dataset: Path, tmp_path: Path) -> None:
    def plan(source: DatasetPrompts, style: PromptStyle = STYLE) -> None:
        plan_of(PromptsConfig(dataset=source), style)

    with pytest.raises(InputError, match="no such folder"):
        plan(DatasetPrompts(folder=tmp_path / "none"))
    with pytest.raises(InputError, match="no split 'train'; it has: test"):
        plan(DatasetPrompts(folder=dataset, split="train"))
    with pytest.raises(InputError, match=r"1 of 12 .* the first 'r0': exclude"):
        plan(DatasetPrompts(folder=dataset), PromptStyle(text="impression"))


def test_the_plan_is_written_as_a_table(tmp_path: Path) -> None:
    plan = plan_of(by_hand("left nodule"))
    write_plan(tmp_path / "plan.parquet", plan)
    rows = pq.read_table(tmp_path / "plan.parquet").to_pylist()
    assert [row["seed"] for row in rows] == [image.seed for image in plan]
    assert rows[0]["prompt"] == "<view-pa> left nodule"
    assert (rows[0]["scheduler"], rows[0]["steps"]) == (plan[0].scheduler, plan[0].steps)
    assert rows[0]["findings"][0]["detail"] == "nodule"
    assert rows[0]["from_radiograph"] is None


def test_rows_of_a_plan_are_read_on_demand(tmp_path: Path) -> None:
    words = [f"{place} nodule, no edema, emphysema" for place in ("left", "right")]
    prompts = by_hand(*words, count=700)
    plan = plan_of(prompts)
    path = tmp_path / "plan.parquet"
    fingerprint = write_plan(path, iter(plan))
    file = PlanFile(path)
    assert len(file) == 2800
    assert list(file) == plan
    for rows in (range(0, 1), range(1000, 1100), range(2040, 2060), range(2700, 2800)):
        assert file.read(rows) == plan[rows.start : rows.stop]
    assert file.starts().tolist() == [0, 700, 1400, 2100]
    assert write_plan(path, plan_of(prompts)) == fingerprint
    assert write_plan(path, plan_of(prompts, seed=1)) != fingerprint


@pytest.mark.parametrize(
    ("images", "batch", "size"),
    [(300, 30, 30), (2000, 16, 16), (50_000, 16, 208), (10**6, 48, 1056)],
)
def test_parts_are_whole_batches(images: int, batch: int, size: int) -> None:
    assert part_size(images, batch) == size


def test_words_apart_take_no_fewer_tokens_than_their_text() -> None:
    # What a plan's check relies on where it counts by words.
    tokenizer = load_components("tiny").tokenizer
    words = [
        "<view-pa>",
        "Small,",
        "LEFT",
        "effusion:",
        "3.5cm",
        "(stable);",
        "no",
        "'acute'",
        "café",
        "findings",
        "—",
        "x2",
        "T12/L1",
    ]
    generator = np.random.default_rng(0)
    frame, *alone = token_counts(tokenizer, ["", *words])
    for _ in range(200):
        chosen = generator.integers(0, len(words), generator.integers(1, 30))
        (together,) = token_counts(tokenizer, [" ".join(words[i] for i in chosen)])
        assert together <= frame + sum(alone[i] - frame for i in chosen)


CONTEXT = PromptStyle(context=True)
FEBRILE = ContextValue(name="febrile", value=1)


@pytest.mark.parametrize("source", ["findings", "texts", "dataset", "table", "labels"])
def test_the_same_images_are_planned_in_any_context(
    source: str, dataset: Path, tmp_path: Path
) -> None:
    (tmp_path / "table.csv").write_text("text\nedema\n", encoding="utf-8")
    every: dict[str, dict[str, Any]] = {
        "findings": {"findings": ("edema", "febrile on oxygen, nodule")},
        "texts": {"texts": ("Edema is seen.",)},
        "dataset": {"dataset": DatasetPrompts(folder=dataset)},
        "table": {"table": TablePrompts(file=tmp_path / "table.csv", column="text")},
        "labels": {"labels": LabelPrompts(counts={"Edema": 3})},
    }
    sources = every[source]
    plans = {
        words: plan_of(PromptsConfig(**sources, context=words), CONTEXT)
        for words in ((), ("febrile",), ("afebrile", "after trauma"))
    }
    plain = plans[()]
    assert not any(image.context for image in plain)
    if source != "findings":  # of which one names the context
        assert plain == plan_of(PromptsConfig(**sources), STYLE)
    for words, value in ((("febrile",), 1), (("afebrile", "after trauma"), 0)):
        for image, without in zip(plans[words], plain, strict=True):
            assert ", ".join(words) in image.prompt
            assert image.context[0] == ContextValue(name="febrile", value=value)
            assert replace(image, prompt=without.prompt, context=()) == without


def test_prompts_of_radiographs_have_their_context(
    radiographs: list[Radiograph], tmp_path: Path
) -> None:
    values = (
        ContextValue(name="temperature", value=38.6, unit="C", minutes_before=40),
        ContextValue(name="oxygen_saturation", value=97, unit="%", imputed=True),
    )
    license_ = {"name": "CC0-1.0", "data_use": None, "may_share": True}
    with DatasetWriter(tmp_path / "set", licenses=[license_], provenance={}) as writer:
        writer.add(replace(radiographs[0], context=values))
    prompts = PromptsConfig(dataset=DatasetPrompts(folder=tmp_path / "set"))
    (image,) = plan_of(prompts, CONTEXT)
    assert image.prompt == "<view-pa> febrile, edema, no pneumothorax"
    assert image.context == (FEBRILE,)  # nothing that was measured
    (image,) = plan_of(prompts, replace(CONTEXT, context_imputed=True))
    assert image.prompt == "<view-pa> febrile, normal oxygen saturation, edema, no pneumothorax"
    assert image.context == (FEBRILE, ContextValue(name="hypoxic", value=0, imputed=True))
    write_plan(tmp_path / "plan.parquet", [image])
    assert list(PlanFile(tmp_path / "plan.parquet")) == [image]
    (plain,) = plan_of(prompts, STYLE)
    assert (plain.prompt, plain.context) == ("<view-pa> edema, no pneumothorax", ())
    assert plain.seed == image.seed


def test_context_that_cannot_be_requested_is_refused() -> None:
    with pytest.raises(InputError, match=r"prompts\.context .* set style\.context=true"):
        plan_of(PromptsConfig(findings=("edema",), context=("febrile",)))
    with pytest.raises(InputError, match=r"prompts\.context has the unknown word 'feverish'"):
        plan_of(PromptsConfig(findings=("edema",), context=("feverish",)), CONTEXT)
