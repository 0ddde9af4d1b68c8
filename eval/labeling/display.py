"""Results of the labeler's evaluation as text."""

from collections.abc import Iterable, Mapping
from typing import Any

from eval.labeling.tallies import ALL

_TITLES = {
    "state": "same state, of findings that are mentioned",
    "side": "same sides, of findings that both call present or uncertain",
    "side_where_given": "the same, where people give a side",
    "place": "location words of these findings",
    "place_by_word": "the same by word",
    "place_in_report": "location words of reports",
    "severity_given": "severity given or not",
    "severity": "same severity where both give one",
    "severity_by_side": "same severity of sides that people grade",
}


def report_table(results: Mapping[str, Any]) -> str:
    """The results of reports as text."""
    lines = [f"{results['n']} reports of {results['source']}{_half(results)}"]
    lines += [f"{count:6} more excluded: {why}" for why, count in results["excluded"].items()]
    lines += _presence(results["present"], results["present_or_uncertain"])
    normal = ", ".join(f"{name} {count}" for name, count in results["no_finding"].items())
    lines.append(f"No Finding against reports called normal: {normal}")
    opened = sum(results["open_pairs"].values())
    lines.append(f"{opened} pairs of report and finding that people leave open are not counted")
    for measure, title in _TITLES.items():
        if measure in results:
            lines += _measure(title, results[measure])
    return "\n".join([*lines, *_errors(results["errors"])])


def sentence_table(results: Mapping[str, Any]) -> str:
    """The results of sentences as text."""
    lines = [f"{results['n']} sentences of {results['source']}{_half(results)}"]
    for measure in ("sentence", "state", "side", "severity", "place"):
        lines += _measure(f"{measure} right", results[measure])
    lines += _errors(results["errors"])
    for case in results["failing"]:
        lines.append(f"{case['kind']:6}{case['sentence']!r}")
        lines += [f"        {error}" for error in case["errors"]]
    return "\n".join(lines)


def _half(results: Mapping[str, Any]) -> str:
    return f", {results['half'].replace('_', ' ')} half" if results["half"] else ""


def _errors(errors: Mapping[str, Any]) -> Iterable[str]:
    for measure, own in errors.items():
        yield f"most frequent errors: {measure}"
        yield from (f"{e['count']:6}  {e['finding']}, {e['error']}" for e in own)


def _presence(present: Mapping[str, Any], or_uncertain: Mapping[str, Any]) -> Iterable[str]:
    yield (
        f"{'finding present':27}{'n':>6}{'precision':>11}{'recall':>8}{'F1':>7}{'95% interval':>16}"
        f"{'F1 with uncertain':>19}"
    )
    for name in _last(present):
        one, two = present[name], or_uncertain[name]
        yield (
            f"{name:27}{one['n']:6}{_number(one['precision']):>11}{_number(one['recall']):>8}"
            f"{_number(one['f1']):>7}{_interval(one):>16}{_number(two['f1']):>19}"
        )


def _measure(title: str, scores: Mapping[str, Any]) -> Iterable[str]:
    """A line for each key with something to measure."""
    kind = "F1" if "f1" in scores[ALL] else "share"
    if scores[ALL][kind.lower()] is None:
        return
    yield f"{title:62}{'n':>6}{kind:>7}{'95% interval':>16}"
    for name in _last(scores):
        value = scores[name][kind.lower()]
        if name and value is not None:
            yield f"  {name:60}{scores[name]['n']:6}{value:7.3f}{_interval(scores[name]):>16}"


def _last(scores: Mapping[str, Any]) -> list[str]:
    """The keys, all together at the end."""
    return [*(key for key in scores if key != ALL), ALL]


def _interval(score: Mapping[str, Any]) -> str:
    return "-" if score["low"] is None else f"{score['low']:.3f} to {score['high']:.3f}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
