"""What is told of a corpus's folders, files and patients."""

from pathlib import Path
from types import SimpleNamespace

from roentgen.corpora.reader import Unmapped
from roentgen.corpora.scanning.scan import Scan, wrong_root


def test_a_wrong_root_names_the_first_of_what_it_holds(tmp_path: Path) -> None:
    for number in range(1100):  # more than are listed: the listing is closed all the same
        (tmp_path / f"{number:04d}").touch()
    told = str(wrong_root("nih.root", tmp_path, "images/"))
    assert told.startswith(f"nih.root {tmp_path}: expected images/, found ")
    assert told.endswith(", ...")
    assert len(told.partition("found ")[2].split(", ")) == 7
    assert str(wrong_root("nih.root", tmp_path / "0001", "a")).endswith("0001 is not a folder")


def test_a_missing_file_of_a_partial_copy_is_neither_expected_nor_bad() -> None:
    for complete in (False, True):
        scan = Scan(complete=complete)
        scan.exclude_optional("a", "file missing")
        (item,) = scan.excluded
        assert (item.expected, item.missing, item.is_bad) == (False, not complete, complete)


def test_every_plan_counts_patients_that_differ_in_case_alone() -> None:
    scan = Scan(complete=True)
    for name, patient in (("a", "P1"), ("b", "p1"), ("c", "P2")):
        scan.accept(SimpleNamespace(id=name, patient=patient))
    why = "ids that differ in zeros or case alone are different patients: misspelled?"
    assert scan.plan().unmapped == {Unmapped("patient", "P1, p1", why): 2}
