from pathlib import Path

import pytest

from eval.labeling.tables import table_cases
from roentgen.errors import InputError
from roentgen.record.statement import Extent

HEADER = (
    "id,text,patient,Edema,Pneumonia,Pneumonia side,Pneumonia severity,Pneumonia place,No Finding\n"
)


def test_cells_are_read(tmp_path: Path) -> None:
    file = tmp_path / "own.csv"
    file.write_text(
        HEADER
        + "a,Pneumonia.,p,0,1,bilateral,small,lower lobe; base,\n"
        + "b,Maybe.,p,,-1.0,,,,\n"
        + "c,Normal.,,0.0,nan,left,,,1\n"
        + "d,nan,,1,,,,,\n"
        + "e,None,NaN,1,,,,,\n"
    )
    source = table_cases(file, None)
    assert [case.patient for case in source.cases] == ["p", "p", "c"]
    assert source.excluded == {"no text": 2}
    assert source.covered == ["Edema", "Pneumonia"]
    assert source.known["side"] == ["Pneumonia"]
    first, second, third = (case.gold for case in source.cases)
    assert first.states == {"Edema": "absent", "Pneumonia": "present"}
    places = ("lower lobe", "base")
    assert first.extents == {
        "Pneumonia": (Extent("left", "small", places), Extent("right", "small", places))
    }
    assert second.states == {"Pneumonia": "uncertain"}
    assert second.extents == {"Pneumonia": (Extent(),)}
    assert third.states == {"Edema": "absent", "No Finding": "present"}
    assert third.extents == {"No Finding": (Extent(),)}


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("a,T.,p,2,,,,,", "row 1: Edema is '2'"),
        ("a,T.,p,yes,,,,,", "row 1: Edema is 'yes'"),
        ("a,T.,p,,1,both,,,", "row 1: Pneumonia side is 'both'"),
        ("a,T.,p,,1,,mild,,", "row 1: Pneumonia severity is 'mild'"),
        (",T.,p,,1,,,,", "row 1: id '' is blank"),
        ("a,T.,p,,1,,,,\na,T.,p,,1,,,,", "row 2: id 'a' is blank or of an earlier row"),
        ("nan,T.,p,,1,,,,", "row 1: id '' is blank"),
        ("a,T.,p,,1,,,lower lobe; bsae,", "row 1: Pneumonia place: unknown place 'bsae'"),
        ("a,T.", "row 1 has not as many cells"),
    ],
)
def test_a_bad_row_is_named(tmp_path: Path, row: str, message: str) -> None:
    file = tmp_path / "own.csv"
    file.write_text(f"{HEADER}{row}\n")
    with pytest.raises(InputError, match=message):
        table_cases(file, None)


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ("id,text,Edema,pleural effusion", "column 'pleural effusion': name it 'Pleural Effusion'"),
        ("id,text,Edema,Edema Severity", "column 'Edema Severity': name it 'Edema severity'"),
        ("id,text,Edema,Patient", "column 'Patient': name it 'patient'"),
        ("id,text,Edema,Pneumonia side", "column 'Pneumonia side' and none of 'Pneumonia'"),
        ("id,text,Edema,Edema", "2 columns 'Edema': remove all but one"),
    ],
)
def test_a_column_that_would_not_be_read_is_named(
    tmp_path: Path, header: str, message: str
) -> None:
    file = tmp_path / "own.csv"
    file.write_text(f"{header}\na,Edema.,1,1\n")
    with pytest.raises(InputError, match=message):
        table_cases(file, None)


def test_other_columns_may_be_there(tmp_path: Path) -> None:
    file = tmp_path / "own.csv"
    file.write_text("id,text,Edema,reader,Edema place\na,Edema.,1,me,costophrenic angle\n")
    assert table_cases(file, None).cases[0].gold.states == {"Edema": "present"}
