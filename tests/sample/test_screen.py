"""Screening drawn sets: accepted images are checked by how they were drawn."""

import csv
import json
import threading
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pytest
from PIL import Image

from roentgen.config import config_to_dict
from roentgen.dataset.dataset import DatasetWriter, open_dataset
from roentgen.dataset.work_folder import WorkFolder
from roentgen.diffusion.backbones.model_folder import model_manifest
from roentgen.diffusion.sampling.settings import SamplerSettings
from roentgen.distributed import Launch
from roentgen.errors import InputError
from roentgen.generation.planned_images import PlannedImage
from roentgen.imaging.images import encode_png
from roentgen.metrics.estimates import wilson_interval
from roentgen.randomness import derive_seed, numpy_generator
from roentgen.record.finding import Finding
from roentgen.record.radiograph import Radiograph, Split, Synthesis
from roentgen.vision.network_settings import ClassifierConfig
from sample.drawn_part import DrawnPart
from sample.plan import PLAN, PlanFile, write_plan
from sample.screening import redraw, screened_set
from sample.screening.config import (
    CopiesConfig,
    DemographicsConfig,
    DuplicatesConfig,
    LabelsConfig,
    LateralityConfig,
    ReferenceClassifierConfig,
    ReferenceConfig,
    ScreenConfig,
)
from sample.screening.rounds import Screening
from sample.screening.screened_set import screen

SIZE = 32
COUNT = 160
WRONG = 0.4  # of images that are drawn regardless of the request
FINDINGS = ("Pleural Effusion", "Pneumothorax")


def draw(effusion: bool, ring: bool, generator: np.random.Generator) -> np.ndarray:
    """As drawn sets are, in one view."""
    y, x = np.mgrid[:SIZE, :SIZE] / SIZE
    image = 0.4 + 0.04 * generator.standard_normal((SIZE, SIZE)) + generator.uniform(-0.05, 0.05)
    image += 0.1 * np.sin(20 * x)
    if effusion:
        centre = generator.uniform(0.3, 0.7, 2)
        image += 0.35 * ((x - centre[0]) ** 2 + (y - centre[1]) ** 2 < 0.03)
    if ring:
        image -= 0.3 * (np.abs(np.hypot(x - 0.5, y - 0.5) - 0.4) < 0.05)
    return np.asarray((image.clip(0, 1) * 255).astype(np.uint8))


def asked_of(radiograph: Radiograph) -> tuple[bool, bool]:
    first, second = (finding.state == "present" for finding in radiograph.findings)
    return first, second


def truth_of(radiograph: Radiograph) -> tuple[bool, bool]:
    """What an image shows: it follows from its seed."""
    assert radiograph.synthesis is not None
    generator = numpy_generator(radiograph.synthesis.seed)
    requested = asked_of(radiograph)
    wrong = generator.random() < WRONG
    other = generator.random(2) < 0.5
    return (bool(other[0]), bool(other[1])) if wrong else requested


def as_planned(radiograph: Radiograph) -> PlannedImage:
    made = radiograph.synthesis
    assert made is not None
    shared = {
        name: getattr(radiograph, name)
        for name in ("id", "patient_id", "view", "findings", "age", "sex", "race")
    }
    how = {
        name: getattr(made, name)
        for name in ("prompt", "negative_prompt", "seed", "guidance_scale", "scheduler", "steps")
    }
    return PlannedImage(**shared, **how, from_radiograph=None, from_patient=None)


def drawn_as(planned: PlannedImage, fingerprint: str) -> Radiograph:
    """What the model of these tests draws for a planned image."""
    names = ("prompt", "negative_prompt", "seed", "guidance_scale", "steps", "scheduler")
    made = Synthesis(**{n: getattr(planned, n) for n in names}, model=fingerprint)
    shared = ("id", "patient_id", "view", "findings", "age", "sex", "race")
    record = Radiograph(
        **{name: getattr(planned, name) for name in shared},
        study_id=planned.patient_id,
        split="train",
        image=b"",
        source="synthetic",
        license="Apache-2.0",
        synthesis=made,
    )
    shows = truth_of(record)
    generator = numpy_generator(planned.seed, "pixels")
    return replace(record, image=encode_png(draw(*shows, generator), made.as_text()))


class DrawingGenerator:
    """Draws as the model of these tests does; counts what it draws."""

    drawn: list[str] = []  # noqa: RUF012
    dies_after: int | None = None
    not_finite: bool = False

    def __init__(self, model: str, settings: SamplerSettings, **told: Any) -> None:
        self.sampler = SimpleNamespace(redrawn=[], constant=[])
        self._fingerprint = model_manifest(model)["fingerprint"]

    def draw(self, images: Iterable[PlannedImage]) -> Iterator[Radiograph]:
        for planned in images:
            if self.dies_after is not None and len(self.drawn) >= self.dies_after:
                raise KeyboardInterrupt
            self.drawn.append(planned.id)
            if self.not_finite and len(self.drawn) % 3 == 0:
                self.sampler.redrawn.append(planned.seed)
            yield drawn_as(planned, self._fingerprint)


@pytest.fixture(autouse=True)
def drawing(monkeypatch: pytest.MonkeyPatch) -> type[DrawingGenerator]:
    monkeypatch.setattr(redraw, "Generator", DrawingGenerator)
    monkeypatch.setattr(DrawingGenerator, "drawn", [])
    monkeypatch.setattr(DrawingGenerator, "dies_after", None)
    monkeypatch.setattr(DrawingGenerator, "not_finite", False)
    return DrawingGenerator


@pytest.fixture(scope="session")
def place(tmp_path_factory: pytest.TempPathFactory, model: Path) -> Path:
    """Real films and a synthetic set of which four of ten are drawn regardless of the request."""
    folder = tmp_path_factory.mktemp("screen")
    write_real(folder / "real")
    write_synthetic(folder / "made", model)
    return folder


def write_real(folder: Path, **told: Any) -> None:
    """300 films to learn from and 200 held out, all as they are labeled."""
    licenses = [{"name": "CC0-1.0", "data_use": None, "may_share": True}]
    options = {"preparation": {"size": SIZE, "fit": "pad"}, **told}
    with DatasetWriter(folder, licenses=licenses, provenance={}, **options) as writer:
        counts: dict[Split, int] = {"train": 300, "validate": 200}
        for split, count in counts.items():
            for i in range(count):
                generator = numpy_generator(1, split, i)
                said = generator.random(2) < 0.5
                planned = planned_image(f"{split}-{i}", (bool(said[0]), bool(said[1])), 0)
                record = drawn_as(planned, "")
                image = encode_png(draw(bool(said[0]), bool(said[1]), generator))
                writer.add(
                    replace(record, split=split, image=image, synthesis=None, source="drawn")
                )


def planned_image(name: str, requested: tuple[bool, bool], seed: int, **told: Any) -> PlannedImage:
    findings = tuple(
        Finding(name=finding, state="present" if yes else "absent")  # type: ignore[arg-type]
        for finding, yes in zip(FINDINGS, requested, strict=True)
    )
    values: dict[str, Any] = {
        "id": name,
        "patient_id": f"of-{name}",
        "prompt": f"a film with {requested}",
        "negative_prompt": None,
        "seed": seed,
        "guidance_scale": 4.0,
        "scheduler": "DDIM",
        "steps": 4,
        "view": "PA",
        "findings": findings,
        "age": None,
        "sex": None,
        "race": None,
        "from_radiograph": None,
        "from_patient": None,
    }
    return PlannedImage(**{**values, **told})


def planned_set() -> list[PlannedImage]:
    draws = numpy_generator(7, "asked")
    requested = draws.random((COUNT, 2)) < 0.5
    return [
        planned_image(f"made-{i:03d}", (bool(a), bool(b)), derive_seed(7, i))
        for i, (a, b) in enumerate(requested)
    ]


def write_synthetic(folder: Path, model: Path, records: list[Radiograph] | None = None) -> None:
    """The planned set as the model draws it, or these records, with the plan beside them."""
    manifest = model_manifest(str(model))
    records = records or [drawn_as(p, manifest["fingerprint"]) for p in planned_set()]
    settings = SamplerSettings(steps=4, scheduler="DDIM", batch_size=4)
    provenance = {
        "program": "sample.generate",
        "config": {"sampler": config_to_dict(settings)},
        "made_from": {
            "model": {k: manifest.get(k) for k in ("kind", "fingerprint")} | {"path": str(model)}
        },
    }
    with DatasetWriter(
        folder,
        licenses=manifest["licenses"],
        provenance=provenance,
        preparation={"size": SIZE, "fit": "pad"},
    ) as writer:
        for record in records:
            writer.add(record)
    write_plan(folder / PLAN, [as_planned(record) for record in records])


@pytest.fixture
def config(place: Path, tmp_path: Path) -> ScreenConfig:
    """Labels alone; networks are kept from test to test."""
    return ScreenConfig(
        dataset=place / "made",
        reference=ReferenceConfig(folder=place / "real"),
        output=tmp_path / "screened",
        caches=place / "caches",
        reference_classifier=ReferenceClassifierConfig(
            classifier=ClassifierConfig(steps=120, batch_size=16, widths=(8, 16, 32))
        ),
        view=None,
        quality=None,
        outliers=None,
        copies=None,
        duplicates=None,
    )


def records(folder: Path) -> list[Radiograph]:
    dataset = open_dataset(folder)
    return [record for name in dataset.splits for record in dataset.split(name)]


def share_right(folder: Path) -> tuple[int, int]:
    images = records(folder)
    return sum(truth_of(image) == asked_of(image) for image in images), len(images)


def excluded(folder: Path) -> dict[str, str]:
    with (folder / "excluded.csv").open(encoding="utf-8") as file:
        return {row["id"]: row["reason"] for row in csv.DictReader(file)}


def test_screening_raises_true_label_agreement_and_the_plan_is_met(
    config: ScreenConfig, place: Path
) -> None:
    told = screen(replace(config, attempts=4))
    before, after = share_right(place / "made"), share_right(config.output)
    assert wilson_interval(*after)[0] > wilson_interval(*before)[1] + 0.1
    assert after[0] / after[1] > 0.9
    # As many as were asked for, of the same prompts; those that are lacking are said.
    summary = json.loads((config.output / "screening.json").read_text())
    assert summary["images"]["requested"] == COUNT
    assert summary["images"]["accepted"] == after[1] == COUNT - summary["images"]["missing"]
    assert after[1] > 0.97 * COUNT
    # What was told before and after is the truth within its interval.
    for name, (right, n) in (("before", before), ("after", after)):
        told_share = summary["agreement"][name]["images with all findings as requested"]
        assert told_share["low"] - 0.06 < right / n < told_share["high"] + 0.06
    assert "## Label agreement" in told


def test_what_is_written_agrees_with_itself(config: ScreenConfig, place: Path) -> None:
    screen(replace(config, attempts=2))
    kept, dropped = records(config.output), excluded(config.output)
    table = pq.read_table(config.output / "screening.parquet").to_pylist()
    assert {row["id"] for row in table if row["accepted"]} == {record.id for record in kept}
    assert {row["id"] for row in table if not row["accepted"]} == set(dropped)
    for row in table:
        assert row["accepted"] == row["labels_passed"] == (row["reason"] == "")
        assert row["labels_passed"] == (row["labels_score"] <= row["labels_threshold"])
        assert row["attempt"] == int([*row["id"].split("-retry"), "0"][1])
        assert row["planned"] == row["id"].split("-retry")[0]
    plain = pa_csv.read_csv(config.output / "screening.csv").to_pylist()
    assert [row["labels_score"] for row in plain] == [row["labels_score"] for row in table]
    assert all(reason.startswith("labels: P") for reason in dropped.values())
    # The plan tells what was asked for as each image that is kept.
    plan = list(PlanFile(config.output / PLAN))
    assert [p.id for p in plan] == [record.id for record in kept]
    assert [p.seed for p in plan] == [r.synthesis.seed for r in kept if r.synthesis]
    for record in kept:
        planned, _, attempt = record.id.partition("-retry")
        if attempt:
            assert record.synthesis is not None
            assert record.synthesis.seed == derive_seed(0, "retry", planned, int(attempt))
    with (config.output / "shortfall.csv").open(encoding="utf-8") as file:
        lacking = {row["patient_id"]: int(row["missing"]) for row in csv.DictReader(file)}
    missing = {f"of-made-{i:03d}" for i in range(COUNT)} - {record.patient_id for record in kept}
    assert lacking == dict.fromkeys(missing, 1)
    dataset = open_dataset(config.output)
    roles = dataset.manifest["provenance"]["made_from"]
    assert set(roles) == {"model", "set", "reference"}
    assert {item["name"] for item in dataset.licenses} == {"Apache-2.0", "CC0-1.0"}
    with Image.open(config.dropped / "labels.png") as sheet:
        assert sheet.width > 4 * 256
    card = (config.output / "README.md").read_text()
    assert f"{len(kept)} of {COUNT} requested images were accepted" in card
    assert "(before), " in card  # label agreement
    some = {f.name for r in planned_set() if r.patient_id in missing for f in r.findings}
    assert all("missing: " in card and name in card for name in some)
    assert not [p for p in config.output.parent.iterdir() if p.name.startswith(".")]


def fingerprint(folder: Path) -> str:
    return open_dataset(folder).fingerprint


def test_redrawn_images_that_are_not_finite_are_named(config: ScreenConfig, drawing: Any) -> None:
    drawing.not_finite = True
    page = screen(replace(config, attempts=1))
    expected = drawing.drawn[2::3]
    assert len(expected) > 5
    made_from = open_dataset(config.output).manifest["provenance"]
    assert made_from["redrawn"] == expected
    note = made_from["notes"][-1]
    assert note.startswith(f"{len(expected)} images were not finite in float32 and were drawn")
    assert f"float32: {', '.join(expected[:5])} ... (all in the manifest)" in note
    assert f"- {note}" in page.splitlines()
    assert note in json.loads((config.output / "screening.json").read_text())["notes"]


def test_a_killed_run_goes_on_with_what_it_had_drawn(
    config: ScreenConfig, tmp_path: Path, drawing: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redraw, "_PART", 8)
    whole = replace(config, output=tmp_path / "whole", attempts=3)
    screen(whole)
    every = list(drawing.drawn)
    drawing.drawn.clear()
    drawing.dies_after = len(every) // 2
    with pytest.raises(KeyboardInterrupt):
        screen(replace(config, attempts=3))
    assert not config.output.exists()
    first = list(drawing.drawn)
    drawing.dies_after = None
    screen(replace(config, attempts=3))
    again = drawing.drawn[len(first) :]
    assert len(set(first) & set(again)) < 8  # but for the part that was not finished
    assert sorted(set(first) | set(again)) == sorted(every)
    assert fingerprint(config.output) == fingerprint(whole.output)
    names = ("screening.csv", "excluded.csv", "screening.md")
    for name in names:
        assert (config.output / name).read_bytes() == (whole.output / name).read_bytes()


def test_two_processes_draw_together(
    config: ScreenConfig, tmp_path: Path, drawing: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redraw, "_PART", 8)
    monkeypatch.setattr(redraw, "_PAUSE", 0.01)
    whole = replace(config, output=tmp_path / "whole", attempts=3)
    screen(whole)
    every = sorted(drawing.drawn)
    makers: dict[int, str] = {}  # of parts
    write = redraw.Redraw._write

    def noted(self: Any, folder: Path, number: int, *more: Any) -> Any:
        makers.setdefault(number, threading.current_thread().name)
        time.sleep(0.05)  # as a model would, so that both come to draw
        return write(self, folder, number, *more)

    monkeypatch.setattr(redraw.Redraw, "_write", noted)
    barrier = threading.Barrier(2)
    monkeypatch.setattr(Launch, "wait_for_everyone", lambda self: barrier.wait())
    with ThreadPoolExecutor(2) as pool:
        ranks = threading.local()
        monkeypatch.setattr(screened_set, "this_launch", lambda: ranks.launch)

        def run(rank: int) -> str:
            ranks.launch = Launch(rank, 2, rank, 2)
            return screen(replace(config, attempts=3))

        told = list(pool.map(run, range(2)))
    assert "## Label agreement" in told[0]
    assert told[1] == ""
    assert len(set(makers.values())) == 2
    assert sorted(set(drawing.drawn)) == every
    assert fingerprint(config.output) == fingerprint(whole.output)
    csv_of = "screening.csv"
    assert (config.output / csv_of).read_bytes() == (whole.output / csv_of).read_bytes()
    assert not [p for p in config.output.parent.iterdir() if p.name.startswith(".")]


def test_a_helper_whose_first_process_died_says_so(config: ScreenConfig, place: Path) -> None:
    dataset = open_dataset(config.dataset)
    helper = redraw.Redraw(config, dataset, dataset.split("train").ids(), Launch(1, 2))
    work = WorkFolder(config.output, DrawnPart, 1, "screening")
    work.folder.mkdir()
    with pytest.raises(InputError, match="the first process ended early"):
        helper.follow(work)


def test_parts_of_a_run_that_judged_otherwise_are_drawn_again(
    config: ScreenConfig, tmp_path: Path, drawing: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redraw, "_PART", 8)
    whole = replace(config, output=tmp_path / "whole", attempts=1)
    screen(whole)
    dies_after = len(drawing.drawn)
    drawing.drawn.clear()
    drawing.dies_after = dies_after - 4
    judged = Screening.open_rows
    with pytest.raises(KeyboardInterrupt, match=r"interrupted: [1-9]\d* finished parts remain"):
        screen(replace(config, attempts=1))
    drawing.dies_after = None
    # As on another machine, where one image more is dropped than before: parts shift.
    table = pq.read_table(whole.output / "screening.parquet").to_pylist()
    kept = next(k for k, row in enumerate(table) if row["accepted"])
    monkeypatch.setattr(Screening, "open_rows", lambda self: sorted({kept, *judged(self)}))
    screen(replace(config, attempts=1))
    table = pq.read_table(config.output / "screening.parquet").to_pylist()
    requested = {row["id"] for row in table if row["accepted"]}
    assert {record.id for record in records(config.output)} == requested


def test_best_of_several_is_more_as_asked(config: ScreenConfig, drawing: Any) -> None:
    screen(replace(config, attempts=0, best_of=3))
    assert len(drawing.drawn) == 2 * COUNT
    right, n = share_right(config.output)
    assert right / n > 0.9
    assert n > 0.85 * COUNT
    table = pq.read_table(config.output / "screening.parquet").to_pylist()
    by_row: dict[str, list[dict[str, Any]]] = {}
    for row in table:
        by_row.setdefault(row["planned"], []).append(row)
    assert {len(rows) for rows in by_row.values()} == {3}
    for rows in by_row.values():
        passing = [row for row in rows if row["labels_passed"]]
        best = min((row["labels_score"] for row in passing), default=None)
        assert [row["labels_score"] for row in rows if row["accepted"]] == (
            [] if best is None else [best]
        )
    lost = {row["reason"] for row in table if row["labels_passed"] and not row["accepted"]}
    assert lost == {"another candidate scored higher"}


def test_planted_copies_and_duplicates_are_dropped_and_drawn_again(
    config: ScreenConfig, place: Path, model: Path
) -> None:
    made = [r for r in records(place / "made") if truth_of(r) == asked_of(r)][:30]
    films = records(place / "real")
    by_findings = {asked_of(film): film for film in films[:300]}
    made[3] = replace(made[3], image=by_findings[asked_of(made[3])].image)
    twin = next(i for i in range(5, 30) if asked_of(made[i]) == asked_of(made[4]))
    made[twin] = replace(made[twin], image=made[4].image)
    folder = config.output.with_name("planted")
    write_synthetic(folder, model, made)
    screen(
        replace(
            config,
            dataset=folder,
            copies=CopiesConfig(),
            duplicates=DuplicatesConfig(patients=60),
            labels=None,
            attempts=1,
        )
    )
    reasons = excluded(config.output)
    assert reasons[made[3].id] == "copies: near-duplicate of a training image"
    assert reasons[made[twin].id] == "duplicates: duplicate within the set"
    assert made[4].id not in reasons
    kept = {record.id for record in records(config.output)}
    assert {f"{made[k].id}-retry1" for k in (3, twin)} <= kept | set(reasons)
    for filter_ in ("copies", "duplicates"):
        assert (config.dropped / f"{filter_}.png").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"labels": LabelsConfig(findings=("Edema",))}, "states whether Edema is present"),
        ({"view": None, "labels": None}, "every filter is null"),
        ({"best_of": 2, "labels": None}, "best_of needs the score of labels"),
        ({"laterality": "on"}, "requests a finding on one side"),
        ({"demographics": "on"}, "states a sex or an age"),
        ({"held_out": "test"}, "has no split 'test'"),
        ({"held_out": "train"}, "is in both"),
        ({"model": "nowhere"}, "cannot be read"),
        (
            {"reference_classifier": {"min_cases": 90}},
            "real radiographs to train on have Pleural Effusion",
        ),
    ],
)
def test_what_cannot_be_done_is_said(
    config: ScreenConfig, change: dict[str, Any], message: str
) -> None:
    def changed() -> ScreenConfig:
        values = dict(change)
        if "held_out" in values:
            held_out = values.pop("held_out")
            values["reference"] = replace(config.reference, held_out_split=held_out)
        if values.get("laterality"):
            values["laterality"] = LateralityConfig()
        if values.get("demographics"):
            values["demographics"] = DemographicsConfig()
        if "reference_classifier" in values:
            values["reference_classifier"] = replace(
                config.reference_classifier, **values["reference_classifier"]
            )
        return replace(config, **values)

    with pytest.raises(InputError, match=message) as error:
        screen(changed())
    assert "\n" not in str(error.value)
    assert not config.output.exists()


def test_sets_that_cannot_be_screened_are_refused(
    config: ScreenConfig, place: Path, model: Path, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="is not synthetic"):
        screen(replace(config, dataset=place / "real"))
    untold = [replace(r, findings=(), view=None) for r in records(place / "made")]
    write_synthetic(tmp_path / "texts", model, untold)
    with pytest.raises(InputError, match="prompts from free text state none"):
        screen(replace(config, dataset=tmp_path / "texts"))
    write_real(tmp_path / "cropped", preparation={"size": SIZE, "fit": "crop"})
    cropped = replace(config.reference, folder=tmp_path / "cropped")
    with pytest.raises(InputError, match="prepare both alike"):
        screen(replace(config, reference=cropped))
    (tmp_path / "texts" / PLAN).unlink()
    with pytest.raises(InputError, match=f"has no {PLAN}"):
        screen(replace(config, dataset=tmp_path / "texts"))
    write_plan(tmp_path / "texts" / PLAN, planned_set()[::-1])
    with pytest.raises(InputError, match="is not the plan of the images"):
        screen(replace(config, dataset=tmp_path / "texts"))


def test_another_model_is_refused(config: ScreenConfig, small_model: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is not the one that made"):
        screen(replace(config, model=str(small_model)))
    # Where nothing is drawn the model need not be there.
    screen(replace(config, model=str(tmp_path / "gone"), attempts=0))
    assert open_dataset(config.output).manifest["provenance"]["notes"]
