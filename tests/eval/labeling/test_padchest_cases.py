import csv
from collections.abc import Sequence
from pathlib import Path

from eval.labeling.cases import Half, half_of
from eval.labeling.padchest_cases import COLUMNS, padchest_cases
from eval.labeling.scores import compare
from eval.labeling.tallies import Tallies
from roentgen.record.finding import FindingName

Row = tuple[str, str, str, str, Sequence[Sequence[str]]]  # study, patient, text, method, sentences


def write(path: Path, *rows: Row) -> Path:
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        for study, patient, text, method, sentences in rows:
            words = [word for sentence in sentences for word in sentence]
            labels = [word for word in dict.fromkeys(words) if not word.startswith("loc ")]
            writer.writerow([study, patient, text, method, labels, list(map(list, sentences))])
    return path


def patient_in(half: Half, number: int = 0) -> str:
    return [str(n) for n in range(100) if half_of(str(n)) == half][number]


def test_physicians_labels_are_read(tmp_path: Path) -> None:
    source = padchest_cases(
        write(
            tmp_path / "padchest.csv",
            (
                *("a", "1", "derram izquierd", "Physician"),
                [
                    ["pleural effusion", "loc left", "loc basal"],
                    ["laminar atelectasis", "nodule", "loc right upper lobe"],
                    ["pneumonia"],
                ],
            ),
            ("a", "1", "derram izquierd", "Physician", [["pneumonia"]]),
            ("b", "2", "normal", "Physician", [["normal"], ["normal"]]),
            ("c", "3", "corazon normal", "Physician", [["normal"], ["emphysema"]]),
            ("d", "4", "neumoni", "RNN_model", [["pneumonia"]]),
            ("e", "5", "sin cambi", "Physician", [["unchanged"]]),
            ("f", "6", "", "Physician", [["pneumonia"]]),
        ),
        None,
    )
    assert [case.id for case in source.cases] == ["a", "b", "c"]
    assert source.excluded == {"no label of a finding": 1, "no report": 1}
    first, second, third = (case.gold for case in source.cases)
    names: list[FindingName] = ["Atelectasis", "Lung Lesion", "Pleural Effusion", "Pneumonia"]
    assert first.states == dict.fromkeys(names, "present")
    assert first.locations("Pleural Effusion") == {"left", "base"}
    assert first.locations("Pneumonia") == set()
    assert first.unlocated == {"Atelectasis", "Lung Lesion"}
    assert first.located == {"left", "base", "right", "upper"}
    assert second.states == {"No Finding": "present"}
    assert third.states == {}
    # The labels with open places do not count: of two findings with known ones both are right.
    tallies = Tallies(["1", "2", "3"], 20, seed=0)
    results = compare(source, [case.gold for case in source.cases], tallies)
    assert results["side"]["all"]["n"] == 2
    assert results["place"]["all"]["f1"] == 1
    assert results["place_in_report"]["all"]["n"] == 4
    assert "state" not in results
    assert "severity" not in results


def test_places_are_of_findings_and_biapical_is_one(tmp_path: Path) -> None:
    """PadChest has no localization for "biapical", and places of what is normal or resolved."""
    source = padchest_cases(
        write(
            tmp_path / "padchest.csv",
            (
                *("a", "1", "engros pleural biapical . sen costofren derech libr", "Physician"),
                [["apical pleural thickening", "loc pleural"], ["normal", "loc right"]],
            ),
            ("b", "2", "resolucion derram izquierd", "Physician", [["normal", "loc left"]]),
        ),
        None,
    )
    first, second = (case.gold for case in source.cases)
    assert first.located == {"left", "right", "apical"}
    assert first.unlocated == {"Pleural Other"}
    assert second.located == set()


def test_texts_of_the_other_half_are_excluded(tmp_path: Path) -> None:
    ours, other = patient_in("held_out"), patient_in("development")
    file = write(
        tmp_path / "padchest.csv",
        ("a", ours, "derram", "Physician", [["pleural effusion"]]),
        ("b", other, "derram", "Physician", [["pleural effusion"]]),
        ("c", ours, "fractur", "Physician", [["rib fracture"]]),
        ("d", patient_in("held_out", 1), "fractur", "Physician", [["rib fracture"]]),
    )
    source = padchest_cases(file, "held_out")
    assert [case.id for case in source.cases] == ["c", "d"]
    assert source.excluded == {"the other half has the same text": 1}
    assert [case.id for case in padchest_cases(file, None).cases] == ["a", "b", "c", "d"]


def test_rows_that_cannot_be_read_are_counted(tmp_path: Path) -> None:
    file = write(
        tmp_path / "padchest.csv",
        ("a", "1", "t", "Physician", [["pneumonias"]]),
        ("b", "2", "u", "Physician", [["pneumonia"]]),
    )
    file.write_text(file.read_text().replace("[['pneumonia']]", "[['pneumonia'; nan]]"))
    assert padchest_cases(file, None).excluded == {
        "label 'pneumonias' of PadChest is no finding": 1,
        "LabelsLocalizationsBySentence is not a list": 1,
    }
