"""Accuracy of the report labeler: `python -m eval.labeler configs/eval/labeler.yaml`.

The labeler is run on the Open-i reports and compared with their manual annotations
(`roentgen.corpora.open_i.mesh` says how MeSH terms are read, and what they leave open). Reports are
split into halves by the hash of their id: rules are written with "development" only, and the
reported scores are of "held_out", whose texts and individual errors are never printed - only counts
by the lexicon's own phrases.

A finding is predicted if its state is "present"; scores that also count "uncertain" are given
beside. Writes labeler.json.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from eval.report.output import File, check_results, write_results
from roentgen.config import load_config
from roentgen.corpora.open_i.mesh import COVERED, NOT_INDEXED, gold
from roentgen.corpora.open_i.open_i import OpenIReport, read_reports
from roentgen.errors import InputError, run_program
from roentgen.labelers.rules.rule_labeler import label_report, mentions_of
from roentgen.manifest import fingerprint_of, is_made, provenance
from roentgen.record.radiograph import FindingName, Report, states
from roentgen.record.splits import Fractions, split_of_patient
from roentgen.storage import reserve_output

Half = Literal["development", "held_out"]
_LICENSE = {"name": "CC-BY-NC-ND-4.0", "data_use": None, "may_share": True}
_HALVES = Fractions(train=0.5, validate=0, test=0.5)


@dataclass(frozen=True, kw_only=True)
class LabelerConfig:
    """Reports that the labeler is tested on."""

    reports: Path
    """Open-i's NLMCXR_reports.tgz or a folder of its XML files; it comes with torchxrayvision."""
    half: Half
    """"development" to write rules by, "held_out" to measure."""
    output: Path
    """Folder of labeler.json; it may hold other files."""
    overwrite: bool = False
    """Replace the results in the output folder."""
    patterns: int = 10
    """Number of error patterns to list, the most frequent first."""


@dataclass
class ErrorCounts:
    """True positives, false negatives and false positives over reports."""

    true_positives: Counter[FindingName] = field(default_factory=Counter)
    false_negatives: Counter[FindingName] = field(default_factory=Counter)
    false_positives: Counter[FindingName] = field(default_factory=Counter)

    def add(self, predicted: set[FindingName], present: frozenset[FindingName]) -> None:
        """Count one report's findings, without open ones."""
        self.true_positives.update(predicted & present)
        self.false_negatives.update(present - predicted)
        self.false_positives.update(predicted - present)

    def scores(self) -> dict[str, Any]:
        """Precision, recall and F1 over all findings (micro) and for each."""
        each = {
            n: _f1(self.true_positives[n], self.false_negatives[n], self.false_positives[n])
            for n in COVERED
        }
        micro = _f1(
            self.true_positives.total(), self.false_negatives.total(), self.false_positives.total()
        )
        return {"micro": micro, "findings": each}


def main() -> None:
    """Measure and print."""
    config = load_config(LabelerConfig)
    if is_made("eval.labeler", config, config.output):
        return
    with reserve_output(config.output):
        measure(config)


def measure(config: LabelerConfig) -> dict[str, Any]:
    """Measure, print and write; returns the results."""
    check_results(config.output, overwrite=config.overwrite)
    reports = list(read_reports(config.reports))
    if not reports:
        raise InputError(f"{config.reports} holds no Open-i reports (expected XML files)")
    results = {"half": config.half} | compare(
        (report for report in reports if half_of(report.id) == config.half), config.patterns
    )
    source = {
        "kind": "reports",
        "fingerprint": fingerprint_of(sorted(report.id for report in reports)),
        "path": str(config.reports),
        "licenses": [_LICENSE],
    }
    inputs = {"reports": source}
    origin = provenance("eval.labeler", config, inputs)
    files: dict[str, File] = {"labeler.json": results}
    write_results(config.output, files, results, inputs, origin, overwrite=config.overwrite)
    print(table(results))  # noqa: T201
    return results


def half_of(report_id: str) -> Half:
    """The half that a report belongs to, a function of its id alone."""
    train = split_of_patient(report_id, 0, _HALVES) == "train"
    return "development" if train else "held_out"


def compare(reports: Iterable[OpenIReport], patterns: int) -> dict[str, Any]:
    """Scores, agreement with "normal", and the most frequent error patterns."""
    strict, lenient = ErrorCounts(), ErrorCounts()
    errors: Counter[tuple[str, str, str]] = Counter()
    normal: Counter[str] = Counter()
    excluded: Counter[str] = Counter()
    open_pairs: Counter[str] = Counter()
    n = 0
    for item in reports:
        report = item.report
        if any(term in NOT_INDEXED for term in item.major) or not item.major:
            excluded["not annotated"] += 1
            continue
        if not (report.findings or report.impression or report.last_paragraph):
            excluded["no findings and no impression"] += 1
            continue
        n += 1
        present, leaves_open = gold(item.major)
        labeled = states(label_report(report))
        open_pairs.update(
            f"{name}, {'predicted' if labeled.get(name) == 'present' else 'not predicted'}"
            for name in leaves_open
        )
        settled = {name: state for name, state in labeled.items() if name not in leaves_open}
        predicted = {name for name in COVERED if settled.get(name) == "present"}
        strict.add(predicted, present)
        lenient.add(predicted | {x for x in COVERED if settled.get(x) == "uncertain"}, present)
        errors.update(_patterns(report, predicted, present))
        normal.update(_normal(item.major, "No Finding" in labeled, bool(present)))
    return {
        "n": n,
        "excluded": dict(excluded),
        "present": strict.scores(),
        "present_or_uncertain": lenient.scores(),
        "no_finding": dict(sorted(normal.items())),
        "open_pairs": dict(sorted(open_pairs.items())),
        "error_patterns": [
            {"finding": finding, "error": error, "pattern": pattern, "count": count}
            for (finding, error, pattern), count in errors.most_common(patterns)
        ],
    }


def _patterns(
    report: Report, predicted: set[FindingName], present: frozenset[FindingName]
) -> Iterable[tuple[str, str, str]]:
    """The errors of one report by the lexicon's own phrases, each pattern once."""
    if predicted == present:
        return set()
    mentions, _ = mentions_of(report)
    found: set[tuple[str, str, str]] = set()
    for name in predicted ^ present:
        error = "false negative" if name in present else "false positive"
        own = [m for m in mentions if m.name == name and (name in present or m.state == "present")]
        phrases = {f"{m.trigger!r} is {m.state}" + (f" by {m.cue!r}" if m.cue else "") for m in own}
        found |= {(name, error, pattern) for pattern in phrases or {"no phrase found"}}
    return found


def _normal(major: Iterable[str], no_finding: bool, any_present: bool) -> Iterable[str]:
    """Agreement of "No Finding" with the term "normal"; other reports without finding are open."""
    if "normal" in major:
        yield "normal, predicted" if no_finding else "normal, not predicted"
    elif any_present:
        yield "abnormal, predicted" if no_finding else "abnormal, not predicted"


def _f1(true: int, false_negatives: int, false_positives: int) -> dict[str, float | int | None]:
    """None where there is nothing to divide by, for which torchmetrics has 0 or 1 alone."""
    predicted, positives = true + false_positives, true + false_negatives
    either = predicted + positives
    return {
        "n": positives,
        "precision": true / predicted if predicted else None,
        "recall": true / positives if positives else None,
        "f1": 2 * true / either if either else None,
    }


def table(results: dict[str, Any]) -> str:
    """The results as text."""
    head = f"{'finding':27}{'n':>6}{'precision':>11}{'recall':>8}{'F1':>7}{'F1 with uncertain':>19}"
    lines = [f"{results['n']} reports, {results['half'].replace('_', ' ')} half", head]
    columns = results["present"], results["present_or_uncertain"]
    rows = [(name, *(column["findings"][name] for column in columns)) for name in COVERED]
    rows.append(("all (micro)", *(column["micro"] for column in columns)))
    for name, one, two in rows:
        p, r, f, g = (
            "-" if value is None else f"{value:.3f}"
            for value in (one["precision"], one["recall"], one["f1"], two["f1"])
        )
        lines.append(f"{name:27}{one['n']:6}{p:>11}{r:>8}{f:>7}{g:>19}")
    normal = ", ".join(f"{name} {count}" for name, count in results["no_finding"].items())
    lines.append(f"No Finding against the term 'normal': {normal}")
    opened = sum(results["open_pairs"].values())
    lines.append(f"{opened} pairs of report and finding that the terms leave open are not counted")
    lines.append("most frequent error patterns")
    lines += [
        f"{e['count']:6}  {e['finding']}, {e['error']}: {e['pattern']}"
        for e in results["error_patterns"]
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    run_program(main)
