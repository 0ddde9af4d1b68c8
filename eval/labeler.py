"""Accuracy of the report labeler: `python -m eval.labeler configs/eval/labeler.yaml`.

The labeler is run on reports and compared with what people read from them: on Open-i (its MeSH
terms; `roentgen.corpora.open_i.mesh` says how they are read, and what they leave open), on PadChest
(its physicians' labels), on a file of sentences (`eval.labeling.sentences`) or on a table of your
own (`eval.labeling.tables`).
`eval.labeling.scores` lists the measures.

Patients are split into halves by the hash of their id: rules are written with "development" only,
and scores are reported of "held_out", whose texts are never printed: errors are given by the
lexicon's own phrases. A finding is predicted if its state is "present"; scores that also count
"uncertain" are given beside. Writes labeler.json.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eval.labeling.cases import CaseSet, Half, report_of
from eval.labeling.display import report_table, sentence_table
from eval.labeling.open_i_cases import open_i_cases
from eval.labeling.padchest_cases import SENTENCES, padchest_cases
from eval.labeling.predictions import predict
from eval.labeling.reading import read_report
from eval.labeling.scores import compare
from eval.labeling.sentences import read_sentences, score_sentences
from eval.labeling.tables import table_cases
from eval.labeling.tallies import Tallies
from eval.report.output import File, check_results, write_results
from roentgen.config import load_config
from roentgen.corpora.scanning.rows import column_names
from roentgen.errors import require, require_range, run_program
from roentgen.labelers.rules.tokens import Language
from roentgen.manifest import fingerprint_of, is_made, provenance, unstated_license
from roentgen.reports.language import NAMES, language_counts
from roentgen.storage import reserve_output

# Results, ids of what is measured, and the license of the results.
Measured = tuple[dict[str, Any], list[str], Mapping[str, Any]]


@dataclass(frozen=True, kw_only=True)
class LabelerConfig:
    """Reports that the labeler is tested on."""

    reports: Path
    """Open-i's NLMCXR_reports.tgz or a folder of its XML files, or PadChest's table, which both
    come with torchxrayvision; or a CSV of sentences, or of reports with what people read."""
    half: Half | None
    """"development" to write rules by, "held_out" to measure; null: all."""
    output: Path
    """Folder of labeler.json; it may hold other files."""
    language: Language = "en"
    """Language of the reports: en, es or zh."""
    predictions: Path | None = None
    """Another labeler's annotations of these reports, by their ids, in the form of MAPLEZ's table;
    null: the rule labeler's."""
    overwrite: bool = False
    """Replace the results in the output folder."""
    errors: int = 10
    """Number of errors to list of each aspect, the most frequent first."""
    bootstrap: int = 1000
    """Resamples of patients for 95% intervals."""
    seed: int = 0

    def __post_init__(self) -> None:
        require_range(self, "errors", at_least=0)
        require_range(self, "bootstrap", at_least=20)


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
    header = column_names(config.reports) if _is_table(config.reports) else []
    if "sentence" in header:
        results, ids, terms = _measure_sentences(config)
        text = sentence_table(results)
    else:
        results, ids, terms = _measure_reports(config, _source(config, header))
        text = report_table(results)
    if languages := results["other_languages"]:
        counts = " and ".join(f"{count} are in {name}" for name, count in languages.items())
        text += f"\nof {results['n']} texts {counts}: they are read as {NAMES[config.language]}"
    source = {
        "kind": "reports",
        "fingerprint": fingerprint_of(sorted(ids)),
        "path": str(config.reports),
        "licenses": [terms],
    }
    inputs = {"reports": source}
    origin = provenance("eval.labeler", config, inputs)
    files: dict[str, File] = {"labeler.json": results}
    write_results(config.output, files, results, inputs, origin, overwrite=config.overwrite)
    print(text)  # noqa: T201
    return results


def _is_table(path: Path) -> bool:
    return not path.is_dir() and bool({".csv", ".tsv"} & set(path.suffixes))


def _source(config: LabelerConfig, header: Sequence[str]) -> CaseSet:
    """The reports of a table with this header, or else of Open-i."""
    if SENTENCES in header:
        return padchest_cases(config.reports, config.half)
    if _is_table(config.reports):
        return table_cases(config.reports, config.half)
    return open_i_cases(config.reports, config.half)


def _measure_reports(config: LabelerConfig, source: CaseSet) -> Measured:
    require(len(source.cases) > 0, f"{config.reports} has no report to measure in this half")
    tallies = Tallies([case.patient for case in source.cases], config.bootstrap, config.seed)
    scores = compare(source, predict(source.cases, config.predictions, config.language), tallies)
    results = {"source": source.source, "half": config.half, **scores}
    reports = [case.report for case in source.cases]
    texts = ["\n".join(filter(None, (report.findings, report.impression))) for report in reports]
    results["other_languages"] = {} if config.predictions else _other_languages(texts, config)
    errors = tallies.frequent_errors(config.errors)
    return results | {"errors": errors}, [case.id for case in source.cases], source.license


def _measure_sentences(config: LabelerConfig) -> Measured:
    """The failing sentences of the held-out half are not given."""
    require(
        config.predictions is None,
        f"predictions is {config.predictions}: sentences have no ids; set predictions=null",
    )
    cases = read_sentences(config.reports, config.half)
    require(len(cases) > 0, f"{config.reports} has no sentence to measure in this half")
    texts = [case.text for case in cases]
    tallies = Tallies(texts, config.bootstrap, config.seed)
    readings = [read_report(report_of(text), config.language) for text in texts]
    scores = score_sentences(cases, readings, tallies)
    results = {"source": config.reports.name, "half": config.half, **scores}
    results["other_languages"] = _other_languages(texts, config)
    if config.half == "held_out":
        results["failing"] = []
    errors = tallies.frequent_errors(config.errors)
    return results | {"errors": errors}, texts, unstated_license(config.reports.name)


def _other_languages(texts: Sequence[str], config: LabelerConfig) -> dict[str, int]:
    """Number of texts in languages that they are not read in; those of no certain one are read."""
    counts = language_counts(texts)
    return {name: n for name, n in counts.items() if name not in (None, NAMES[config.language])}


if __name__ == "__main__":
    run_program(main)
