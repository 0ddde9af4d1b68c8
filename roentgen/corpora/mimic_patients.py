"""Who the patients of MIMIC-CXR are, from the tables of MIMIC-IV."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from roentgen.corpora.race import prompt_race
from roentgen.corpora.rows import read_rows
from roentgen.corpora.words import parse_sex
from roentgen.data.radiograph import Sex
from roentgen.errors import InputError

_OLDEST = 120  # years

_NOT_SAID = ("", "UNKNOWN", "UNABLE TO OBTAIN", "PATIENT DECLINED TO ANSWER")


class Patient(NamedTuple):
    """What is known of a patient; `birth_year` is on MIMIC's shifted calendar."""

    birth_year: int | None = None
    sex: Sex | None = None
    race: str | None = None


@dataclass(frozen=True)
class Patients:
    """Patients by subject_id, and the words of the tables that say nothing of them."""

    known: dict[str, Patient]
    unmapped: Counter[tuple[str, str]]


def read_patients(patients: Path | None, admissions: Path | None) -> Patients:
    """The patients of MIMIC-IV's patients.csv.gz and admissions.csv.gz, as far as they are given.

    anchor_age is the age in anchor_year, and study dates are shifted by the same years: the age at
    a study is anchor_age + (its year - anchor_year). Raises InputError for a table that is wrong.
    """
    unmapped: Counter[tuple[str, str]] = Counter()
    known: dict[str, Patient] = {}
    if patients is not None:
        columns = ("subject_id", "gender", "anchor_age", "anchor_year")
        for row in read_rows(patients, columns):
            if row is None:
                unmapped["(row of another length)", f"{patients.name}: not taken"] += 1
                continue
            known[row["subject_id"]] = _patient(row, unmapped)
    if admissions is not None:
        for subject, race in _races(admissions, unmapped).items():
            known[subject] = known.get(subject, Patient())._replace(race=race)
    return Patients(known, unmapped)


def _patient(row: dict[str, str], unmapped: Counter[tuple[str, str]]) -> Patient:
    age, year = row["anchor_age"], row["anchor_year"]
    birth_year: int | None = None
    try:
        birth_year = int(year) - int(age)
    except ValueError:
        unmapped[f"anchor_age {age}, anchor_year {year}", "no age: left unknown"] += 1
    try:
        sex = parse_sex(row["gender"])
    except InputError:
        unmapped[row["gender"], "no known sex: left unknown"] += 1
        sex = None
    return Patient(birth_year, sex)


def _races(admissions: Path, unmapped: Counter[tuple[str, str]]) -> dict[str, str]:
    """The race of each patient whose admissions that say one say the same one."""
    said: dict[str, set[str]] = {}
    for row in read_rows(admissions, ("subject_id", "race")):
        if row is None:
            unmapped["(row of another length)", f"{admissions.name}: not taken"] += 1
            continue
        word = row["race"].strip().upper()
        race = prompt_race(word)
        if word in _NOT_SAID:
            continue
        if race is None:
            unmapped[word, "no race of a prompt: left out by name"] += 1
            continue
        said.setdefault(row["subject_id"], set()).add(race)
    races = {}
    for subject, words in said.items():
        if len(words) == 1:
            (races[subject],) = words
        else:
            unmapped[" / ".join(sorted(words)), "a patient's admissions disagree: unknown"] += 1
    return races


def age_at(birth_year: int | None, date: str | None) -> float | None:
    """Years at a study's date (YYYYMMDD); None where one is unknown or the age cannot be."""
    if birth_year is None or not date or not date[:4].isdigit() or len(date) < 8:
        return None
    age = int(date[:4]) - birth_year
    return float(age) if 0 <= age <= _OLDEST else None
