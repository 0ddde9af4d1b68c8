import csv
import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from roentgen.config import load_config
from roentgen.corpora.reader import Exclusion, Unmapped
from roentgen.dataset.dataset import open_dataset
from roentgen.errors import InputError
from roentgen.graphs.graph_index import index_graphs
from roentgen.imaging.images import encode_png
from roentgen.labelers.rules.rule_labeler import VERSION
from roentgen.preparation.config import PrepareConfig
from roentgen.preparation.postprocess import Postprocessing, ReportRules
from roentgen.prepare import prepare
from roentgen.prompts.filters import RadiographFilter
from roentgen.record.finding import Finding
from roentgen.record.radiograph import Radiograph, Report
from roentgen.record.statement import Extent, Statement


def entity(tokens: str, label: str, start: int, *relations: list[str]) -> dict[str, Any]:
    return {
        "tokens": tokens,
        "label": label,
        "start_ix": start,
        "end_ix": start,
        "relations": [*relations],
    }


EFFUSION = {
    "text": "Small left effusion . Gibberish . No pneumothorax .",
    "entities": {
        "1": entity("Small", "OBS-DP", 0, ["modify", "3"]),
        "2": entity("left", "ANAT-DP", 1),
        "3": entity("effusion", "OBS-DP", 2, ["located_at", "2"]),
        "4": entity("Gibberish", "OBS-U", 4),
        "5": entity("pneumothorax", "OBS-DA", 7),
    },
    "data_source": "MIMIC-CXR",
    "data_split": "inference",
}
BROKEN = EFFUSION | {"entities": {"1": entity("Small", "OBS-DP", 0, ["modify", "3"])}}


def denied(*names: str) -> dict[str, Any]:
    """The graph of a report that denies findings."""
    words = [word for name in names for word in ("No", name, ".")]
    entities = {str(n): entity(name, "OBS-DA", 3 * n + 1) for n, name in enumerate(names)}
    return EFFUSION | {"text": " ".join(words), "entities": entities}


READ = (
    Finding(name="Pleural Effusion", side="left", severity="small"),
    Finding(name="Pneumothorax", state="absent"),
)
NOT_NAMED = Unmapped("graph", "gibberish", "an observation that names no known finding")


@pytest.fixture
def graphs(tmp_path: Path) -> Path:
    path = tmp_path / "MIMIC-CXR_graphs.json"
    broken = "p10/p10000032/s50000002.txt"
    content = {"p10/p10000032/s50414267.txt": EFFUSION, broken: BROKEN, "own": EFFUSION}
    content |= {"50000005": denied("effusion", "pneumothorax"), "50000006": denied("pneumothorax")}
    path.write_text(json.dumps(content))
    return path


@pytest.fixture
def config(tmp_path: Path) -> Callable[[Path], PrepareConfig]:
    """The preparation of four images, two of which are of the study "own", with a file of graphs.

    The patients are one, so that one split has all.
    """
    pixels = np.random.default_rng(0).integers(0, 256, (4, 8, 8), dtype=np.uint8)
    rows = [("image", "patient", "study")]
    for i, image in enumerate(pixels):
        (tmp_path / f"{i}.png").write_bytes(encode_png(image))
        rows.append((f"{i}.png", "p", "own" if i % 2 else "other"))
    (tmp_path / "t.csv").write_text("".join(f"{','.join(row)}\n" for row in rows))
    (tmp_path / "config.yaml").write_text(f"""
output: {tmp_path / "out"}
size: 8
workers: 1
split: {{fractions: {{train: 1.0, validate: 0.0, test: 0.0}}}}
table:
  root: {tmp_path}
  file: t.csv
  image: image
  patient_id: patient
  study_id: study
  licenses: [{{name: CC0-1.0, data_use: null, may_share: true}}]
""")

    def load(graphs: Path) -> PrepareConfig:
        override = f"--reports.entities_from={graphs}"
        return load_config(PrepareConfig, [str(tmp_path / "config.yaml"), override])

    return load


@pytest.fixture
def process(films: Callable[..., list[Any]]) -> Callable[..., list[Any]]:
    def run(study: str, **more: Any) -> list[Any]:
        done = films(study, **more)
        return [one.findings if isinstance(one, Radiograph) else one for one in done]

    return run


@pytest.fixture
def films(graphs: Path) -> Callable[..., list[Any]]:
    """What a radiograph of a study with these findings becomes, and what it loses."""

    def run(study: str, *, findings: tuple[Finding, ...] = (), **more: Any) -> list[Any]:
        radiograph = Radiograph(
            id="r",
            patient_id="10000032",
            study_id=study,
            split="train",
            image=b"",
            findings=findings,
            report=Report(impression="Edema."),
            source="x",
            license="y",
        )
        rules = ReportRules(entities_from=graphs, label_findings=more.pop("label_findings", False))
        post = Postprocessing(reports=rules, graphs=index_graphs(graphs), **more)
        return post(radiograph)

    return run


def test_findings_are_those_of_the_studys_graph(process: Callable[..., list[Any]]) -> None:
    assert process("50414267") == [READ, NOT_NAMED]
    assert process("own") == [READ, NOT_NAMED]


def test_the_corpuss_own_findings_are_kept(process: Callable[..., list[Any]]) -> None:
    own = (Finding(name="Fracture"),)
    assert process("50414267", findings=own) == [own, NOT_NAMED]


@pytest.mark.parametrize("findings", [(), (Finding(name="Fracture"),)])
@pytest.mark.parametrize("label_findings", [False, True])
def test_statements_are_those_of_the_graph_and_name_its_file(
    films: Callable[..., list[Any]], findings: tuple[Finding, ...], label_findings: bool
) -> None:
    film = films("50414267", findings=findings, label_findings=label_findings)[0]
    source = "MIMIC-CXR_graphs.json"
    effusion = Extent("left", "small")
    assert film.statements == (
        Statement(finding="pleural effusion", extents=(effusion,), source=source),
        Statement(finding="pneumothorax", state="absent", source=source),
    )


def test_a_report_is_read_where_its_graph_states_nothing(films: Callable[..., list[Any]]) -> None:
    (film, *_) = films("50000009", label_findings=True)
    assert [(s.finding, s.source) for s in film.statements] == [("edema", f"{VERSION} (en)")]
    assert films("50000009")[0].statements == ()


def test_a_graph_that_denies_several_findings_and_names_none_is_normal(
    process: Callable[..., list[Any]],
) -> None:
    denied = (
        Finding(name="Pleural Effusion", state="absent"),
        Finding(name="Pneumothorax", state="absent"),
    )
    assert process("50000005") == [(Finding(name="No Finding"), *denied)]
    assert process("50000006") == [(Finding(name="Pneumothorax", state="absent"),)]


def test_a_study_without_a_graph_is_counted(process: Callable[..., list[Any]]) -> None:
    lost = Unmapped("graph", "", "the file of graphs has none of the study")
    assert process("50000009") == [(), lost]
    assert process("50000009", label_findings=True) == [(Finding(name="Edema"),), lost]


def test_a_graph_with_problems_is_named_and_not_read(process: Callable[..., list[Any]]) -> None:
    line = "missing target: entity '1' has modify to '3', which is no entity"
    assert process("50000002") == [
        (),
        Unmapped("graph", "p10/p10000032/s50000002.txt", line),
    ]


def test_a_filter_sees_the_findings_of_the_graph(process: Callable[..., list[Any]]) -> None:
    assert process("own", filter=RadiographFilter(findings=("Pleural Effusion",)))[0] == READ
    excluded = process("own", filter=RadiographFilter(findings=("Edema",)))[0]
    assert excluded == Exclusion(id="r", reason="Edema is not present", expected=True)


def test_a_prepared_dataset_has_the_findings_of_graphs(
    tmp_path: Path, graphs: Path, config: Callable[[Path], PrepareConfig]
) -> None:
    summary = prepare(config(graphs))
    rows = open_dataset(tmp_path / "out").split("train")
    assert Counter(row.findings for row in rows) == {READ: 2, (): 2}
    assert "2: graph (none): the file of graphs has none of the study" in summary
    assert "2: graph gibberish: an observation that names no known finding" in summary
    with (tmp_path / "out/unmapped.csv").open(newline="", encoding="utf-8") as file:
        assert len(list(csv.reader(file))) == 3


def test_what_is_no_file_of_graphs_is_refused_before_any_work(
    tmp_path: Path, config: Callable[[Path], PrepareConfig]
) -> None:
    bad = tmp_path / "bad.json"
    bad.write_text("[1,")
    with pytest.raises(InputError, match=r"bad\.json is not a file of graphs"):
        prepare(config(bad))
    assert not (tmp_path / "out").exists()
