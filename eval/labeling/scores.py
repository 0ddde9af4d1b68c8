"""Scores of a labeler against people's readings, with intervals over patients.

Presence: F1 over pairs of report and finding. The other aspects are compared where people call a
finding present or uncertain and the labeler reads it so, too:

    side              the share of pairs with the same sides, over all and where people give one
    place             F1 over location words (right, left, upper, ...) as in MAPLEZ (Lanfredi et al.
                      2025), by finding and by word
    place_in_report   F1 over the location words of all findings of a report, which PadChest's
                      physicians gave for sentences
    severity_given    F1 of giving a severity
    severity          the share of equal grades where both give one; of several the highest counts
    severity_by_side  the share of equal grades of sides that both name and people grade

State, where people also gave what is absent or uncertain: the share of equal states over findings
that people or the labeler mention.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from eval.labeling.cases import Aspect, CaseSet
from eval.labeling.reading import LOCATIONS, NOT_MENTIONED, SIDES, Reading, side_in_words
from eval.labeling.tallies import Tallies
from roentgen.record.finding import FindingName

Known = Mapping[Aspect, Sequence[FindingName]]


def compare(source: CaseSet, readings: Sequence[Reading], tallies: Tallies) -> dict[str, Any]:
    """All scores of readings, which are in the order of the cases."""
    normal: Counter[str] = Counter()
    open_pairs: Counter[str] = Counter()
    for i, (case, read) in enumerate(zip(source.cases, readings, strict=True)):
        gold = case.gold
        normal.update(_normal(gold, read))
        for word in LOCATIONS if source.places_in_report else ():
            sets = gold.located & {word}, read.located & {word}
            tallies.compare("place_in_report", word, i, *sets)
        for name in source.covered:
            if name in gold.leaves_open:
                predicted = read.states.get(name) == "present"
                open_pairs[f"{name}, {'predicted' if predicted else 'not predicted'}"] += 1
                continue
            _compare_presence(tallies, i, name, gold, read)
            if name in source.known.get("state", ()):
                _compare_state(tallies, i, name, gold, read)
            if name in gold.positive() & read.positive():
                _compare_extents(tallies, i, name, gold, read, source.known)
    return {
        "n": len(source.cases),
        "excluded": dict(source.excluded),
        "no_finding": dict(sorted(normal.items())),
        "open_pairs": dict(sorted(open_pairs.items())),
        **_scores(source, tallies),
    }


def _scores(source: CaseSet, tallies: Tallies) -> dict[str, Any]:
    """The scores of the aspects that people gave."""
    results = {
        measure: tallies.f1(measure, source.covered)
        for measure in ("present", "present_or_uncertain")
    }
    if names := source.known.get("state"):
        results["state"] = tallies.shares("state", names)
    if names := source.known.get("side"):
        results |= {m: tallies.shares(m, names) for m in ("side", "side_where_given")}
    if names := source.known.get("place"):
        results["place"] = tallies.f1("place", names)
        results["place_by_word"] = tallies.f1("place_by_word", LOCATIONS)
    if source.places_in_report:
        results["place_in_report"] = tallies.f1("place_in_report", LOCATIONS)
    if names := source.known.get("severity"):
        results["severity_given"] = tallies.f1("severity_given", names)
        results |= {m: tallies.shares(m, names) for m in ("severity", "severity_by_side")}
    return results


def _compare_presence(
    tallies: Tallies, i: int, name: FindingName, gold: Reading, read: Reading
) -> None:
    for measure, uncertain in (("present", False), ("present_or_uncertain", True)):
        sets = [{name} & reading.positive(uncertain=uncertain) for reading in (gold, read)]
        tallies.compare(measure, name, i, *sets)
    true, predicted = (reading.states.get(name) == "present" for reading in (gold, read))
    if true != predicted:
        error = "false negative" if true else "false positive"
        phrases = [
            phrase for state, phrase in read.phrases.get(name, ()) if true or state == "present"
        ]
        for phrase in dict.fromkeys(phrases or ["no phrase found"]):
            tallies.errors["present"][name, f"{error}: {phrase}"] += 1


def _compare_state(
    tallies: Tallies, i: int, name: FindingName, gold: Reading, read: Reading
) -> None:
    true, found = (reading.states.get(name, NOT_MENTIONED) for reading in (gold, read))
    if true != NOT_MENTIONED or found != NOT_MENTIONED:
        tallies.check("state", name, i, true == found)
    if true != found:
        tallies.errors["state"][name, f"{true} is read as {found}"] += 1


def _compare_extents(
    tallies: Tallies, i: int, name: FindingName, gold: Reading, read: Reading, known: Known
) -> None:
    """Sides, places and severities of a pair that both call present or uncertain."""
    true, found = gold.locations(name), read.locations(name)
    if name in gold.unlocated:
        known = {aspect: names for aspect, names in known.items() if aspect == "severity"}
    if name in known.get("side", ()):
        sides, others = true & SIDES, found & SIDES
        tallies.check("side", name, i, sides == others)
        if sides:
            tallies.check("side_where_given", name, i, sides == others)
        if sides != others:
            error = f"{side_in_words(sides)} is read as {side_in_words(others)}"
            tallies.errors["side"][name, error] += 1
    if name in known.get("place", ()):
        tallies.compare("place", name, i, true, found)
        for word in LOCATIONS:
            tallies.compare("place_by_word", word, i, true & {word}, found & {word})
        for word in sorted((true ^ found) - SIDES):
            tallies.errors["place"][name, f"{word} is {'missed' if word in true else 'added'}"] += 1
    if name in known.get("severity", ()):
        grade, other = gold.severity(name), read.severity(name)
        given = [{"given"} if severity else set() for severity in (grade, other)]
        tallies.compare("severity_given", name, i, *given)
        if grade and other:
            tallies.check("severity", name, i, grade == other)
        for side in sorted(true & found & SIDES):
            grades = gold.severity(name, side), read.severity(name, side)
            if grades[0]:
                tallies.check("severity_by_side", name, i, grades[0] == grades[1])
        if grade != other:
            tallies.errors["severity"][name, f"{grade or 'none'} is read as {other or 'none'}"] += 1


def _normal(gold: Reading, read: Reading) -> Iterable[str]:
    """Agreement on "No Finding"; without a finding and without "No Finding" a report is open."""
    predicted = "predicted" if "No Finding" in read.states else "not predicted"
    if "No Finding" in gold.states:
        yield f"normal, {predicted}"
    elif gold.positive(uncertain=False):
        yield f"abnormal, {predicted}"
