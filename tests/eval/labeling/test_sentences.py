from pathlib import Path

import pytest

from eval.labeling.cases import report_of
from eval.labeling.reading import Reading, read_report, reading_of
from eval.labeling.sentences import compare_sentence, read_sentences
from roentgen.errors import InputError
from roentgen.record.statement import Extent, Statement


def mistakes(tmp_path: Path, table: str, *statements: Statement) -> set[tuple[str, str]]:
    """(aspect, error) of statements read from the one sentence of a table."""
    file = tmp_path / "sentences.csv"
    file.write_text(table)
    (case,) = read_sentences(file, None)
    compared = compare_sentence(case, reading_of(statements))
    return {(item.aspect, item.error) for item in compared if not item.right}


LEFT_SMALL = Statement(finding="pleural effusion", extents=(Extent("left", "small"),))
BOTH = Statement(
    finding="pleural effusion", extents=(Extent("left", "small"), Extent("right", "moderate"))
)
ABSENT = Statement(finding="pleural effusion", state="absent")
OTHER = Statement(finding="edema", state="absent")
FRACTURE = Statement(finding="rib fracture")


@pytest.mark.parametrize(
    ("row", "statements", "expected"),
    [
        ("Pleural Effusion,present,left,small", [LEFT_SMALL], set()),
        ("Pleural Effusion,present,left,small", [ABSENT], {("state", "present is read as absent")}),
        (
            "Pleural Effusion,present,right,none",
            [LEFT_SMALL],
            {("side", "right is read as left"), ("severity", "none is read as small")},
        ),
        ("Pleural Effusion,present,bilateral,small|moderate", [BOTH], set()),
        ("Pleural Effusion,uncertain|absent,none,none", [ABSENT], set()),
        ("Pleural Effusion,absent|not mentioned,~,~", [], set()),
        ("Pleural Effusion,-,~,~", [LEFT_SMALL], {("state", "not mentioned is read as present")}),
        ("Pleural Effusion,any,~,~", [ABSENT], set()),
        (
            "Pleural Effusion,present,~,any",
            [LEFT_SMALL, OTHER],
            {("other finding", "not mentioned is read as absent")},
        ),
        ("No Finding,present,~,~", [], {("state", "present is read as not mentioned")}),
        (",,,", [FRACTURE], {("other finding", "not mentioned is read as present")}),
        (",,,", [], set()),
        ("nan,nan,nan,nan", [FRACTURE], {("other finding", "not mentioned is read as present")}),
        ("Pleural Effusion,present,nan,nan", [LEFT_SMALL], set()),
    ],
)
def test_what_a_row_allows(
    tmp_path: Path, row: str, statements: list[Statement], expected: set[tuple[str, str]]
) -> None:
    table = f"sentence,finding,state,side,severity\nA sentence.,{row}\n"
    assert mistakes(tmp_path, table, *statements) == expected


def test_no_finding_is_an_error_only_where_nothing_may_be_found(tmp_path: Path) -> None:
    normal = Reading(states={"No Finding": "present"})
    file = tmp_path / "sentences.csv"
    file.write_text("sentence,finding,state\nA.,Edema,absent|-\nB.,,\n")
    first, second = read_sentences(file, None)
    assert all(item.right for item in compare_sentence(first, normal))
    assert [item.right for item in compare_sentence(second, normal)] == [False]


def test_rows_of_one_finding_are_its_sides(tmp_path: Path) -> None:
    table = (
        "sentence,finding,state,side,severity,place\n"
        "A sentence.,Pleural Effusion,present,left,small,none\n"
        "A sentence.,Pleural Effusion,present,right,moderate,lower lobe;base|base\n"
    )
    based = Statement(
        finding="pleural effusion",
        extents=(Extent("left", "small"), Extent("right", "moderate", ("basal",))),
    )
    assert mistakes(tmp_path, table, based) == set()
    assert mistakes(tmp_path, table, BOTH) == {("place", "base lower|base is read as none")}
    assert mistakes(tmp_path, table, LEFT_SMALL) == {
        ("side", "bilateral is read as left"),
        ("severity", "moderate is read as none"),
        ("place", "base lower|base is read as none"),
    }


@pytest.mark.parametrize(
    ("want", "statements", "expected"),
    [
        ("Pleural Effusion present left small", [LEFT_SMALL, OTHER], set()),
        ("Pleural Effusion present left", [LEFT_SMALL], set()),
        ("Pleural Effusion -", [], set()),
        ("Pleural Effusion -|absent", [ABSENT], set()),
        ("Pleural Effusion -", [ABSENT], {("state", "not mentioned is read as absent")}),
        (
            "Pleural Effusion present left none",
            [LEFT_SMALL],
            {("severity", "none is read as small")},
        ),
    ],
)
def test_what_is_wanted(
    tmp_path: Path, want: str, statements: list[Statement], expected: set[tuple[str, str]]
) -> None:
    assert mistakes(tmp_path, f"kind,sentence,want\nK1,A.,{want}\n", *statements) == expected


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("sentence,finding,state\nA.,Effusion,present\n", "row 1: unknown finding 'Effusion'"),
        ("sentence,finding,state\nA.,Edema,there\n", "row 1: state is 'there'"),
        ("sentence,finding,state,side\nA.,Edema,present,both\n", "row 1: side is 'both'"),
        ("sentence,finding,state\nA.,Edema\n", "row 1 has not as many cells"),
        ("kind,sentence,want\nK,A.,Oedema present\n", "row 1: want is 'Oedema present'"),
        ("sentence,finding\nA.,Edema\n", "has no column 'state'"),
        ("sentence,finding,state\nnan,Edema,present\n", "row 1: the sentence is blank"),
        ("sentence,finding,state\n ,Edema,present\n", "row 1: the sentence is blank"),
        (
            "sentence,finding,state,place\nA.,Edema,present,base|lowwer\n",
            "row 1: unknown place 'lowwer'",
        ),
        ("sentence,finding,state,Side\nA.,Edema,present,left\n", "column 'Side': name it 'side'"),
    ],
)
def test_a_bad_row_is_named(tmp_path: Path, table: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        mistakes(tmp_path, table)


def test_lines_of_a_text_without_titles_stay_lines() -> None:
    assert report_of("No effusion\nEdema").findings == "No effusion\nEdema"
    assert report_of("FINDINGS: Edema.\n\nIMPRESSION: Edema.").impression == "Edema."
    assert read_report(report_of("Small left effusion."), "en").locations("Pleural Effusion") == {
        "left"
    }
