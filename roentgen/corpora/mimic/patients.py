"""Who the patients of MIMIC-CXR are, from the tables of MIMIC-IV."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from roentgen.corpora.reader import Unmapped
from roentgen.corpora.scanning.race import prompt_race
from roentgen.corpora.scanning.rows import read_rows
from roentgen.corpora.scanning.scan import Scan
from roentgen.corpora.scanning.value_mapping import parse_sex
from roentgen.errors import InputError
from roentgen.record.radiograph import Sex

_OLDEST = 120  # years

_NOT_SAID = ("", "UNKNOWN", "UNABLE TO OBTAIN", "PATIENT DECLINED TO ANSWER")


class Patient(NamedTuple):
    """What is known of a patient; `birth_year` is on MIMIC's shifted calendar."""

    birth_year: int | None = None
    sex: Sex | None = None
    race: str | None = None


@dataclass(frozen=True)
class Patients:
    """Patients by subject_id, and what the tables say of them that is no known word."""

    known: dict[str, Patient]
    unmapped: dict[str, list[Unmapped]]


def read_patients(patients: Path | None, admissions: Path | None, scan: Scan) -> Patients:
    """The patients of MIMIC-IV's patients.csv.gz and admissions.csv.gz, as far as they are given.

    anchor_age is the age in anchor_year, and study dates are shifted by the same years: the age at
    a study is anchor_age + (its year - anchor_year). Raises InputError for a table that is wrong.
    """
    unmapped: dict[str, list[Unmapped]] = defaultdict(list)
    known: dict[str, Patient] = {}
    if patients is not None:
        for row in _rows(patients, ("gender", "anchor_age", "anchor_year"), scan):
            known[row["subject_id"]] = _patient(row, unmapped[row["subject_id"]])
    if admissions is not None:
        for subject, race in _races(admissions, unmapped, scan).items():
            known[subject] = known.get(subject, Patient())._replace(race=race)
    return Patients(known, {subject: lost for subject, lost in unmapped.items() if lost})


def _rows(table: Path, columns: Sequence[str], scan: Scan) -> Iterator[dict[str, str]]:
    for number, row in enumerate(read_rows(table, ("subject_id", *columns)), start=1):
        if row is None:
            name = f"{table.name} row {number}"
            scan.drop(name, "the row has not as many fields as the header")
        else:
            yield row


def _patient(row: dict[str, str], unmapped: list[Unmapped]) -> Patient:
    age, year = row["anchor_age"], row["anchor_year"]
    birth_year: int | None = None
    try:
        birth_year = int(year) - int(age)
    except ValueError:
        unmapped.append(Unmapped("age", f"{age} in {year}", "no number of years: left unknown"))
    try:
        sex = parse_sex(row["gender"])
    except InputError:
        unmapped.append(Unmapped("sex", row["gender"], "no known sex: left unknown"))
        sex = None
    return Patient(birth_year, sex)


def _races(admissions: Path, unmapped: dict[str, list[Unmapped]], scan: Scan) -> dict[str, str]:
    """The race of each patient whose admissions that say one say the same one."""
    said: dict[str, set[str]] = defaultdict(set)
    strange: dict[str, set[str]] = defaultdict(set)
    for row in _rows(admissions, ("race",), scan):
        word = row["race"].strip().upper()
        race = prompt_race(word)
        if race is not None:
            said[row["subject_id"]].add(race)
        elif word not in _NOT_SAID:
            strange[row["subject_id"]].add(word)
    for subject, words in strange.items():
        for word in sorted(words):
            unmapped[subject].append(Unmapped("race", word, "no race of a prompt: left unknown"))
    races = {}
    for subject, words in said.items():
        if len(words) == 1:
            (races[subject],) = words
        else:
            why = "the admissions disagree: left unknown"
            unmapped[subject].append(Unmapped("race", " / ".join(sorted(words)), why))
    return races


def age_at(birth_year: int | None, date: str | None) -> float | None:
    """Years at a study's date (YYYYMMDD); None where one is unknown or the age cannot be."""
    if birth_year is None or not date or not date[:4].isdigit() or len(date) < 8:
        return None
    age = int(date[:4]) - birth_year
    return float(age) if 0 <= age <= _OLDEST else None
