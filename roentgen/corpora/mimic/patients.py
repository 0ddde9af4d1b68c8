"""Patients of MIMIC-CXR: sex, race and year of birth, from the tables of MIMIC-IV."""

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from roentgen.corpora.reader import Unmapped
from roentgen.corpora.scanning.scan import Scan
from roentgen.corpora.scanning.value_mapping import parse_sex, prompt_race, years_between
from roentgen.errors import InputError
from roentgen.record.radiograph import Sex

_UNKNOWN = ("", "UNKNOWN", "UNABLE TO OBTAIN", "PATIENT DECLINED TO ANSWER")


class Patient(NamedTuple):
    """The known facts of a patient; `birth_year` is on MIMIC's shifted calendar."""

    birth_year: int | None = None
    sex: Sex | None = None
    race: str | None = None


@dataclass(frozen=True)
class Patients:
    """Patients by subject_id, and the values of their rows that are lost."""

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
        columns = ("subject_id", "gender", "anchor_age", "anchor_year")
        for _, row in scan.rows(patients, columns):
            known[row["subject_id"]] = _patient(row, unmapped[row["subject_id"]])
    if admissions is not None:
        for subject, race in _races(admissions, unmapped, scan).items():
            known[subject] = known.get(subject, Patient())._replace(race=race)
    return Patients(known, {subject: lost for subject, lost in unmapped.items() if lost})


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
    """The race of each patient whose admissions agree, apart from those without a race."""
    known: dict[str, set[str]] = defaultdict(set)
    unknown: dict[str, set[str]] = defaultdict(set)
    for _, row in scan.rows(admissions, ("subject_id", "race")):
        word = row["race"].strip().upper()
        race = prompt_race(word)
        if race is not None:
            known[row["subject_id"]].add(race)
        elif word not in _UNKNOWN:
            unknown[row["subject_id"]].add(word)
    for subject, words in unknown.items():
        for word in sorted(words):
            unmapped[subject].append(
                Unmapped("race", word, "no race that prompts name: left unknown")
            )
    races = {}
    for subject, words in known.items():
        if len(words) == 1:
            (races[subject],) = words
        else:
            why = "the admissions disagree: left unknown"
            unmapped[subject].append(Unmapped("race", " / ".join(sorted(words)), why))
    return races


def age_at(birth_year: int | None, date: str | None) -> float | None:
    """Years at a study's date (YYYYMMDD); None if one is unknown or the age is impossible."""
    if birth_year is None or not date or len(date) < 8:
        return None
    return years_between(birth_year, date)
