"""PadChest's labels and localizations as statements of the hierarchy, and as findings."""

import ast
import csv
import gzip
import importlib.util
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from roentgen.corpora.padchest.labels import (
    NO_FINDINGS,
    default_meanings,
    extents_of,
    node_of,
    parse_sentences,
    parse_sides,
    statements_of,
)
from roentgen.corpora.padchest.padchest import TABLE
from roentgen.errors import InputError
from roentgen.prompts.grammar import phrase
from roentgen.record.finding import Finding, FindingName
from roentgen.record.statement import Extent, Statement
from roentgen.statements.hierarchy import findings, labels_of, node_of_cui, places
from roentgen.statements.labels import findings_of

FOUND = importlib.util.find_spec("torchxrayvision")
DATA = Path(FOUND.origin or "").parent / "data" if FOUND else Path("none")
# The meanings that were written by hand, before the hierarchy.
MEANINGS: dict[FindingName, dict[str, str | None]] = {
    "No Finding": {
        "normal": None,
    },
    "Atelectasis": {
        "atelectasis": None,
        "laminar atelectasis": "laminar",
        "lobar atelectasis": "lobar",
        "segmental atelectasis": "segmental",
        "round atelectasis": "round",
        "total atelectasis": "total",
        "atelectasis basal": "basal",
    },
    "Cardiomegaly": {
        "cardiomegaly": None,
    },
    "Consolidation": {
        "consolidation": None,
    },
    "Edema": {
        "pulmonary edema": None,
    },
    "Enlarged Cardiomediastinum": {
        "mediastinal enlargement": None,
        "superior mediastinal enlargement": "superior mediastinum",
    },
    "Fracture": {
        "fracture": None,
        "rib fracture": "rib fracture",
        "clavicle fracture": "clavicle fracture",
        "vertebral fracture": "vertebral fracture",
        "humeral fracture": "humeral fracture",
        "callus rib fracture": "healed rib fracture",
    },
    "Lung Opacity": {
        "increased density": None,
        "infiltrates": "infiltrate",
        "alveolar pattern": "alveolar pattern",
        "interstitial pattern": "interstitial pattern",
        "reticular interstitial pattern": "reticular interstitial pattern",
        "reticulonodular interstitial pattern": "reticulonodular interstitial pattern",
        "ground glass pattern": "ground glass pattern",
        "miliary opacities": "miliary opacities",
    },
    "Pleural Effusion": {
        "pleural effusion": None,
        "loculated pleural effusion": "loculated",
        "loculated fissural effusion": "loculated in a fissure",
    },
    "Pneumonia": {
        "pneumonia": None,
        "atypical pneumonia": "atypical",
    },
    "Pneumothorax": {
        "pneumothorax": None,
        "hydropneumothorax": "hydropneumothorax",
    },
    "Lung Lesion": {
        "nodule": "nodule",
        "multiple nodules": "multiple nodules",
        "pulmonary mass": "mass",
        "lung metastasis": "metastasis",
    },
    "Pleural Other": {
        "pleural thickening": "pleural thickening",
        "apical pleural thickening": "apical pleural thickening",
        "calcified pleural thickening": "calcified pleural thickening",
        "fissure thickening": "fissure thickening",
        "minor fissure thickening": "minor fissure thickening",
        "major fissure thickening": "major fissure thickening",
        "pleural plaques": "pleural plaques",
        "calcified pleural plaques": "calcified pleural plaques",
    },
    "Support Devices": {
        "NSG tube": "nasogastric tube",
        "endotracheal tube": "endotracheal tube",
        "tracheostomy tube": "tracheostomy tube",
        "chest drain tube": "chest tube",
        "ventriculoperitoneal drain tube": "ventriculoperitoneal drain",
        "gastrostomy tube": "gastrostomy tube",
        "central venous catheter": "central line",
        "central venous catheter via jugular vein": "central line",
        "central venous catheter via subclavian vein": "central line",
        "central venous catheter via umbilical vein": "umbilical venous catheter",
        "reservoir central venous catheter": "port",
        "catheter": "catheter",
        "pacemaker": "pacemaker",
        "single chamber device": "single chamber pacemaker",
        "dual chamber device": "dual chamber pacemaker",
        "dai": "implanted defibrillator",
        "electrical device": "electrical device",
    },
}


def test_findings_of_labels_are_as_written_by_hand() -> None:
    meanings = default_meanings()
    for name, details in MEANINGS.items():
        for label, detail in details.items():
            assert meanings[label] == Finding(name=name, detail=detail)
    assert {label for label, meaning in meanings.items() if meaning is None} == {
        *("unchanged", "exclude", "suboptimal study"),
    }
    assert meanings["heart insufficiency"] == Finding(name="Edema", detail="heart failure")
    assert "emphysema" not in meanings
    assert "mass" not in meanings  # of an unknown place


def test_meanings_agree_with_the_hierarchy() -> None:
    for label, meaning in default_meanings().items():
        if label not in NO_FINDINGS:
            assert meaning is not None
            assert meaning.name in labels_of(node_of(label)), label
            assert phrase(meaning)


def rows(*columns: str) -> Iterator[list[str]]:
    """Cells of PadChest's published table."""
    with gzip.open(DATA / f"{TABLE}.gz", "rt", newline="") as file:
        lines = csv.reader(file)
        header = next(lines)
        wanted = [header.index(column) for column in columns]
        yield from ([row[number] for number in wanted] for row in lines)


@pytest.mark.skipif(not DATA.is_dir(), reason="needs torchxrayvision's tables")
def test_every_word_of_the_sentences_of_physicians_is_known() -> None:
    unreadable = 0
    for method, cell in rows("MethodLabel", "LabelsLocalizationsBySentence"):
        if method == "Physician":
            try:
                sentences = parse_sentences(cell)
            except InputError:  # nan in place of a word
                unreadable += 1
                continue
            for words in sentences:
                statements_of(words)
    assert unreadable == 13


@pytest.mark.skipif(not DATA.is_dir(), reason="needs torchxrayvision's tables")
def test_every_label_localization_and_code_of_the_table() -> None:
    """All 193 labels and 104 localizations are known; single ones have their node's UMLS code."""
    seen: tuple[set[str], set[str]] = (set(), set())
    codes: tuple[dict[str, str], dict[str, str]] = ({}, {})
    pairs = (("Labels", "labelCUIS"), ("Localizations", "LocalizationsCUIS"))
    for row in rows(*(column for pair in pairs for column in pair)):
        for number in range(2):
            cell, code = row[2 * number : 2 * number + 2]
            if cell not in ("", "nan"):
                words = [word.strip() for word in ast.literal_eval(cell)]
                seen[number].update(word for word in words if word)
                found = re.findall(r"C[0-9]{7}", code)
                if len(words) == len(found) == 1:
                    codes[number][words[0]] = found[0]
    assert (len(seen[0]), len(seen[1])) == (193, 104)
    nodes = {label: node_of(label) for label in seen[0] - set(NO_FINDINGS)}
    assert len(set(nodes.values())) == len(nodes) == 189
    for word in seen[1]:
        assert {place for extent in extents_of([word]) for place in extent.places} <= set(places())
    assert len(codes[0]) > 100
    for label in set(codes[0]) - set(NO_FINDINGS):
        assert findings()[nodes[label]].cui == codes[0][label]
    for word, code in codes[1].items():
        node = node_of_cui(code)
        if not {"left", "right", "bilateral"} & set(word.split()):
            assert node is not None, word
            assert extents_of([word]) == (Extent(places=(node.name,)),)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("pleural effusion, loc pleural, loc right", "right pleural effusion"),
        ("laminar atelectasis, loc basal, loc left", "left basal atelectasis"),
        ("consolidation, loc left lower lobe", "left lower lobe consolidation"),
        ("infiltrates, loc basal bilateral, loc basal", "bilateral basal infiltrate"),
        ("nodule, loc left upper lobe, loc right", "bilateral nodule"),
        ("pneumonia, loc left, loc bilateral", "bilateral pneumonia"),
        ("pleural effusion, loc left costophrenic angle", "left pleural effusion"),
        # of several findings nobody knows which one a localization belongs to
        ("pleural effusion, atelectasis, loc basal, loc left", "atelectasis; pleural effusion"),
        # unless they are one
        ("pacemaker, single chamber device, loc pectoral, loc left", "left pacemaker"),
        ("kyphosis, scoliosis, loc column", ""),
        ("normal, loc cardiac", ""),
        ("exclude, unchanged", ""),
        ("", ""),
    ],
)
def test_statements_of_sentences(words: str, expected: str) -> None:
    statements = statements_of([word for word in words.split(", ") if word])
    assert "; ".join(map(phrase, findings_of(statements))) == expected


def test_statements_name_leaf_change_and_source() -> None:
    assert statements_of(["COPD signs", "unchanged", "loc diffuse bilateral"]) == (
        Statement(
            finding="chronic obstructive pulmonary disease",
            extents=(Extent("left", None, ("diffuse",)), Extent("right", None, ("diffuse",))),
            change="unchanged",
            source="physician",
        ),
    )
    two = statements_of(["kyphosis", "callus rib fracture", "unchanged"], source="RNN_model")
    assert [(s.finding, s.change, s.source) for s in two] == [
        ("kyphosis", None, "RNN_model"),
        ("healed rib fracture", None, "RNN_model"),
    ]


def test_unknown_words_are_named() -> None:
    with pytest.raises(InputError, match="label 'pneumoniia' of PadChest is no finding"):
        statements_of(["pneumoniia"])
    with pytest.raises(InputError, match="localization 'loc left knee' of PadChest is no place"):
        statements_of(["pneumonia", "loc left knee"])


def test_labels_with_their_side() -> None:
    one = "[['pleural effusion right side', 'pleural effusion', 'loc basal']]"
    assert parse_sentences(one) == (("pleural effusion", "loc basal", "loc right"),)
    both = "[['hypoexpansion basal both sides'], ['interstitial pattern bilateral']]"
    assert parse_sentences(both) == (
        ("hypoexpansion basal", "loc bilateral"),
        ("interstitial pattern", "loc bilateral"),
    )
    # The localization may be of either finding, the side is of one.
    several = "[['pleural effusion left side', 'nodule', 'loc upper lobe']]"
    assert parse_sentences(several) == (
        ("pleural effusion", "loc left"),
        ("pleural effusion", "nodule", "loc upper lobe"),
    )
    assert parse_sides(several) == {"pleural effusion": "left"}


def test_sentences_and_sides_of_cells() -> None:
    cell = "[['nodule', 'loc left upper lobe', ''], [' normal'], ['mass', 'loc right', 'loc left']]"
    assert parse_sentences(cell) == (
        ("nodule", "loc left upper lobe"),
        ("normal",),
        ("mass", "loc right", "loc left"),
    )
    assert parse_sides(cell) == {"nodule": "left", "mass": "bilateral"}
    assert parse_sentences("nan") == parse_sentences(" ") == ()
    for bad in ("['a']", "[[1]]", "[['a'"):
        with pytest.raises(InputError, match="LabelsLocalizationsBySentence is not a list"):
            parse_sentences(bad)
