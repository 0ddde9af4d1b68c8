"""How well findings are read from reports: `python -m eval.labeler configs/eval/labeler.yaml`.

The labeler is run over the Open-i reports and its findings are compared with what people annotated
(`roentgen.corpora.open_i.mesh` says how MeSH terms are read, and what they cannot tell).
Reports are
parted in halves by the hash of their id: rules are written looking at "development" only, and the
number that counts comes from "held_out", of which no text and no single error is ever shown - only
counts by the lexicon's own phrases.

A finding counts as called present if its state is "present"; beside it stands what comes out if
"uncertain" counts too. Writes labeler.json.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from eval.report.output import check_results, write_results
from roentgen.config import load_config
from roentgen.corpora.open_i.mesh import COVERED, NOT_INDEXED, gold
from roentgen.corpora.open_i.reports import OpenIReport, read_reports
from roentgen.errors import InputError, run_program
from roentgen.labelers.rules.rule_labeler import label_report, mentions_of
from roentgen.manifest import fingerprint_of, provenance
from roentgen.record.findings import FindingName, states
from roentgen.record.radiograph import Report
from roentgen.record.splits import Fractions, split_of_patient

Half = Literal["development", "held_out"]
_LICENSE = {"name": "CC-BY-NC-ND-4.0", "data_use": None, "may_share": True}
_HALVES = Fractions(train=0.5, validate=0, test=0.5)


@dataclass(frozen=True, kw_only=True)
class LabelerConfig:
    """What the labeler is measured on."""

    reports: Path
    """Open-i's NLMCXR_reports.tgz or a folder of its XML files; torchxrayvision brings it along."""
    half: Half
    """"development" to write rules by, "held_out" to measure."""
    output: Path
    """Folder of labeler.json; it may hold other things."""
    overwrite: bool = False
    """Replace the results that the output folder holds."""
    patterns: int = 10
    """How many of the commonest error patterns are listed."""


@dataclass
class Tally:
    """Counts over reports: right, missed and wrongly called."""

    right: Counter[FindingName] = field(default_factory=Counter)
    missed: Counter[FindingName] = field(default_factory=Counter)
    wrong: Counter[FindingName] = field(default_factory=Counter)

    def add(self, called: set[FindingName], present: frozenset[FindingName]) -> None:
        """Count one report's findings, of which open ones are gone already."""
        self.right.update(called & present)
        self.missed.update(present - called)
        self.wrong.update(called - present)

    def scores(self) -> dict[str, Any]:
        """Precision, recall and F1 over all findings (micro) and for each."""
        each = {n: _f1(self.right[n], self.missed[n], self.wrong[n]) for n in COVERED}
        micro = _f1(self.right.total(), self.missed.total(), self.wrong.total())
        return {"micro": micro, "findings": each}


def main() -> None:
    """Measure and print."""
    measure(load_config(LabelerConfig))


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
    made_by = provenance("eval.labeler", config, inputs)
    write_results(config.output, {"labeler.json": results}, results, inputs, made_by)
    print(table(results))  # noqa: T201
    return results


def half_of(report_id: str) -> Half:
    """The half that a report belongs to, for ever."""
    train = split_of_patient(report_id, 0, _HALVES) == "train"
    return "development" if train else "held_out"


def compare(reports: Iterable[OpenIReport], patterns: int) -> dict[str, Any]:
    """Scores, how the labeler goes with "normal", and the commonest error patterns."""
    strict, lenient = Tally(), Tally()
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
        told = states(label_report(report))
        open_pairs.update(
            f"{name}, {'called' if told.get(name) == 'present' else 'not called'}"
            for name in leaves_open
        )
        said = {name: state for name, state in told.items() if name not in leaves_open}
        called = {name for name in COVERED if said.get(name) == "present"}
        strict.add(called, present)
        lenient.add(called | {x for x in COVERED if said.get(x) == "uncertain"}, present)
        errors.update(_patterns(report, called, present))
        normal.update(_normal(item.major, "No Finding" in told, bool(present)))
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
    report: Report, called: set[FindingName], present: frozenset[FindingName]
) -> Iterable[tuple[str, str, str]]:
    """What went wrong in one report, in the lexicon's own phrases, each pattern once."""
    if called == present:
        return set()
    mentions, _ = mentions_of(report)
    found: set[tuple[str, str, str]] = set()
    for name in called ^ present:
        error = "missed" if name in present else "wrongly called"
        own = [m for m in mentions if m.name == name and (name in present or m.state == "present")]
        shown = {f"{m.trigger!r} is {m.state}" + (f" by {m.cue!r}" if m.cue else "") for m in own}
        found |= {(name, error, pattern) for pattern in shown or {"no phrase found"}}
    return found


def _normal(major: Iterable[str], quiet: bool, any_present: bool) -> Iterable[str]:
    """How "No Finding" goes with the term "normal"; other reports without finding are open."""
    if "normal" in major:
        yield "normal, called" if quiet else "normal, not called"
    elif any_present:
        yield "abnormal, called" if quiet else "abnormal, not called"


def _f1(right: int, missed: int, wrong: int) -> dict[str, float | int | None]:
    """None where nothing was there to find or to call."""
    called, there = right + wrong, right + missed
    either = called + there
    return {
        "n": there,
        "precision": right / called if called else None,
        "recall": right / there if there else None,
        "f1": 2 * right / either if either else None,
    }


def table(results: dict[str, Any]) -> str:
    """The results as text."""
    head = f"{'finding':27}{'n':>6}{'precision':>11}{'recall':>8}{'F1':>7}{'F1 with uncertain':>19}"
    lines = [f"{results['n']} reports, {results['half'].replace('_', ' ')} half", head]
    sides = results["present"], results["present_or_uncertain"]
    rows = [(name, *(side["findings"][name] for side in sides)) for name in COVERED]
    rows.append(("all (micro)", *(side["micro"] for side in sides)))
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
    lines.append("commonest error patterns")
    lines += [
        f"{e['count']:6}  {e['finding']}, {e['error']}: {e['pattern']}"
        for e in results["error_patterns"]
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    run_program(main)
