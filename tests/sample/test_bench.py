import csv
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pytest
import torch
from PIL import Image

import roentgen.storage
import sample.benchmark.measurement
from roentgen.config import load_config
from roentgen.dataset.dataset import open_dataset
from roentgen.diffusion.sampling.sampler import Sampler
from roentgen.diffusion.sampling.settings import SamplerSettings
from roentgen.errors import InputError
from roentgen.generation.generator import Generator
from roentgen.imaging.images import decode
from roentgen.manifest import read_manifest
from roentgen.metrics.classification.ranking import auroc
from roentgen.metrics.features.frechet import frechet_distance_of_features
from roentgen.record.finding import Finding
from roentgen.record.radiograph import Radiograph
from roentgen.storage import reserve_output
from roentgen.verify import verify
from roentgen.vision.classifier import Prediction
from roentgen.vision.features.extractor import load_extractor
from sample.benchmark.bench_table import BenchRow
from sample.benchmark.config import BenchConfig, Grid
from sample.benchmark.measurement import bench, prompt_agreement
from sample.plan import plan_for
from sample.prompts.config import DatasetPrompts, PromptsConfig

# diffusers' solvers hand a tensor to np.array.
pytestmark = pytest.mark.filterwarnings(
    "ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"
)

FILMS = 24


@pytest.fixture(scope="module")
def config(
    small_model: Path,
    make_small_dataset: Callable[..., Path],
    tmp_path_factory: pytest.TempPathFactory,
) -> BenchConfig:
    folder = tmp_path_factory.mktemp("bench")
    data = make_small_dataset(folder / "data", train=FILMS, validate=FILMS)
    return BenchConfig(
        model=str(small_model),
        prompts=DatasetPrompts(folder=data, split="validate"),
        grids=(Grid(scheduler=("DDIM", "UniPC"), steps=(2,)), Grid(cache_interval=(2,))),
        sampler=SamplerSettings(
            scheduler="DPM-Solver++", steps=3, guidance_scale=3.0, batch_size=10, device="cpu"
        ),
        samples=20,
        output=folder / "bench",
    )


@pytest.fixture(scope="module")
def rows(config: BenchConfig) -> list[BenchRow]:
    return bench(config)


def test_grids_give_each_combination_once() -> None:
    shared = SamplerSettings(steps=9, batch_size=3)
    grid = Grid(steps=(4, 5), guidance_interval=(None, (0.3, 5.0)))
    found = [(row.steps, row.guidance_interval) for row in grid.settings(shared)]
    assert found == [(4, None), (4, (0.3, 5.0)), (5, None), (5, (0.3, 5.0))]
    assert all(row.batch_size == 3 for row in grid.settings(shared))
    assert Grid().settings(shared) == [shared]
    config = BenchConfig(
        model="tiny",
        prompts=DatasetPrompts(folder=Path("data")),
        grids=(grid, Grid(steps=(5, 6))),
        sampler=shared,
        output=Path("out"),
    )
    assert [row.steps for row in config.rows()] == [4, 4, 5, 5, 6]


def test_fid_of_a_row_is_that_of_its_images(config: BenchConfig, rows: list[BenchRow]) -> None:
    """Drawn once more by the generator that sets are made with."""
    settings = replace(config.sampler, scheduler="UniPC", steps=2)
    generator = Generator(config.model, settings)
    planned = plan_for(generator, PromptsConfig(dataset=config.prompts))
    generated = np.stack([decode(radiograph.image) for radiograph in generator.draw(planned)])
    dataset = open_dataset(config.prompts.folder)
    held_out, floor = (
        np.stack(dataset.split(name).images(range(FILMS))) for name in ("validate", "train")
    )
    features = load_extractor("roentgen")
    expected = frechet_distance_of_features(features(generated), features(held_out))
    assert rows[1].settings["scheduler"] == "UniPC"
    assert rows[1].fid.value == pytest.approx(expected, rel=1e-3)
    results = json.loads((config.output / "results.json").read_text())
    real = frechet_distance_of_features(features(floor), features(held_out))
    assert results["floor"]["value"] == pytest.approx(real, rel=1e-6)


def test_the_work_of_a_row(rows: list[BenchRow]) -> None:
    ddim, unipc, cached = rows
    assert [row.evaluations for row in rows] == [4, 4, 6]
    assert ddim.gflop == unipc.gflop
    assert ddim.gflop < cached.gflop < 1.5 * ddim.gflop  # the third call is cached in part
    assert all(row.images_per_second > 0 for row in rows)
    assert all(row.n == FILMS for row in rows)


def test_tables_and_picture(config: BenchConfig, rows: list[BenchRow]) -> None:
    with (config.output / "table.csv").open() as file:
        lines = list(csv.DictReader(file))
    assert [line["scheduler"] for line in lines] == ["DDIM", "UniPC", "DPM-Solver++"]
    for line, row in zip(lines, rows, strict=True):
        assert row.fid.value is not None
        assert float(line["fid"]) == row.fid.value
        assert float(line["fid_above_first"]) == pytest.approx(
            row.fid.value - float(lines[0]["fid"])
        )
    text = (config.output / "table.md").read_text()
    assert text.count("\n| ") == len(rows) + 1
    assert "guidance 3; " in text
    notes = json.loads((config.output / "results.json").read_text())["notes"]
    assert "was trained on is not recorded" in notes[0]
    assert text.endswith("intervals.\n" + "".join(f"\n- {note}\n" for note in notes))
    with Image.open(config.output / "plot.png") as picture:
        assert picture.format == "PNG"
    assert read_manifest(config.output, "results")["licenses"]


def test_images_that_are_not_finite_are_counted(
    config: BenchConfig, rows: list[BenchRow], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    latents = Sampler.latents

    def overflow(self: Sampler, batch: Any, conditions: Any = None) -> torch.Tensor:
        found = latents(self, batch, conditions).clone()
        if self.dtype != torch.float32:
            found[1:2] = torch.inf
        return found

    monkeypatch.setattr(Sampler, "latents", overflow)
    sampler, grids = replace(config.sampler, dtype="bfloat16"), (Grid(steps=(2,)),)
    (row,) = bench(replace(config, sampler=sampler, grids=grids, output=tmp_path / "half"))
    assert row.redrawn == 3  # one in each batch of 24 images
    heading = "not finite, redrawn in float32"
    table = (tmp_path / "half/table.md").read_text().splitlines()
    assert table[0].endswith(f"| {heading} |")
    assert table[2].endswith("| 3 |")
    assert [each.redrawn for each in rows] == [0, 0, 0]
    assert heading not in (config.output / "table.md").read_text()


def test_a_killed_benchmark_resumes_and_a_longer_one_measures_new_rows(
    config: BenchConfig, rows: list[BenchRow], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured: list[SamplerSettings] = []
    measure = sample.benchmark.measurement.measure

    def spy(shared: Any, settings: SamplerSettings, name: str) -> BenchRow:
        measured.append(settings)
        return measure(shared, settings, name)

    monkeypatch.setattr("sample.benchmark.measurement.measure", spy)
    assert bench(config) == rows
    assert not measured
    output = tmp_path / "bench"
    shutil.copytree(config.output, output)
    files = sorted((output / "rows").iterdir())
    files[0].write_text(files[0].read_text()[:100])  # damaged
    longer = replace(config, grids=(*config.grids, Grid(steps=(4,), scheduler=("DDIM", "UniPC"))))
    longer = replace(longer, output=output)
    before = {path: path.read_bytes() for path in output.rglob("*.*")}
    last = longer.rows()[-1]
    with monkeypatch.context() as patch:
        patch.setattr(
            "sample.benchmark.measurement.measure", lambda *a: spy(*a) if a[1] != last else kill()
        )
        with pytest.raises(KeyboardInterrupt):
            bench(longer)
    assert {path: path.read_bytes() for path in output.rglob("*.*")} == before
    assert [settings.steps for settings in measured] in ([2, 4], [3, 4])
    again = bench(longer)
    assert measured[2:] == [last]
    assert [row.fid for row in again[:3]] == [row.fid for row in rows]
    assert [path.name for path in tmp_path.iterdir()] == ["bench"]
    verified = verify(output)
    assert not verified.unknown
    assert not verified.damaged
    assert len(list((output / "rows").iterdir())) == 5


def kill() -> NoReturn:
    raise KeyboardInterrupt


def test_a_folder_with_other_things_is_not_replaced(
    config: BenchConfig, rows: list[BenchRow], tmp_path: Path
) -> None:
    output = tmp_path / "bench"
    shutil.copytree(config.output, output)
    (output / "rows" / "thesis.txt").write_text("mine")
    with pytest.raises(InputError, match=r"holds rows/thesis\.txt, which no benchmark wrote: move"):
        bench(replace(config, output=output))
    shutil.rmtree(output / "rows")
    with pytest.raises(InputError, match="is not that of a benchmark"):
        bench(replace(config, output=output))
    with reserve_output(tmp_path / "new"):
        roentgen.storage._reserved.clear()  # as in another process
        with pytest.raises(InputError, match="another run is making"):
            bench(replace(config, output=tmp_path / "new"))


def test_agreement_is_counted(config: BenchConfig) -> None:
    radiographs: list[Radiograph] = list(
        open_dataset(config.prompts.folder).split("train").without_images()
    )
    states = (Finding(name="Edema", state="present"), Finding(name="Edema", state="absent"))
    requested = [replace(r, findings=(states[i % 2],)) for i, r in enumerate(radiographs)]
    draws = np.random.default_rng(0)
    scores, views = draws.random((FILMS, 2)), draws.random((FILMS, 3))
    view, mean = prompt_agreement(
        Prediction(scores, views),
        requested,
        [radiograph.patient_id for radiograph in radiographs],
        ("Edema", "Pneumothorax"),  # the second is not requested
        samples=50,
        seed=0,
    )
    positive = np.arange(FILMS) % 2 == 0
    assert mean.value == pytest.approx(auroc(scores[:, 0], positive))
    right = [row.argmax() == i % 3 for i, row in enumerate(views)]
    assert view.value == pytest.approx(np.mean(right))


def test_bad_settings_are_refused_before_any_work(
    config: BenchConfig, make_small_dataset: Callable[..., Path], tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="floor_split is 'validate', the reference split of FID"):
        replace(config, floor_split="validate")
    with pytest.raises(InputError, match="grid's steps is empty"):
        Grid(steps=())
    few = replace(config, prompts=replace(config.prompts, limit=5), output=tmp_path / "few")
    with pytest.raises(InputError, match="5 prompts are too few for FID: at least 20"):
        bench(few)
    data = make_small_dataset(tmp_path / "data", train=10, validate=FILMS)
    prompts = replace(config.prompts, folder=data)
    with pytest.raises(InputError, match=r"'train' of .* has 10 radiographs of these views"):
        bench(replace(config, prompts=prompts, output=tmp_path / "few"))
    with pytest.raises(InputError, match="1000 levels of noise"):
        bench(replace(config, grids=(Grid(steps=(1000,)),), output=tmp_path / "steps"))
    other = tmp_path / "other"
    other.mkdir()
    (other / "thesis.txt").write_text("mine")
    with pytest.raises(InputError, match="was not written by this project"):
        bench(replace(config, output=other))


def test_the_recipe_is_read() -> None:
    config = load_config(
        BenchConfig, [str(Path(__file__).parents[2] / "configs/sample/bench.yaml")]
    )
    first = config.rows()[0]
    assert (first.scheduler, first.steps, first.guidance_scale) == ("PNDM", 75, 3.0)
