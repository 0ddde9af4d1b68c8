"""Postprocessing of every radiograph after its corpus's reader: report cleaning, labels, filter."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from roentgen.corpora.reader import Exclusion, Unmapped
from roentgen.graphs.graph_index import GraphIndex
from roentgen.labelers.rules.report_language import ReadLanguage
from roentgen.preparation.part_record import TokenCounts
from roentgen.preparation.report_reading import count_language, unread
from roentgen.prompts.filters import RadiographFilter
from roentgen.prompts.token_lengths import REPORT_SECTIONS
from roentgen.record.radiograph import VIEW_TOKENS, Radiograph, Report
from roentgen.weights import TINY


@dataclass(frozen=True, kw_only=True)
class ReportRules:
    """Processing of the reports."""

    clean: bool = True
    """Join broken lines; remove list numbers and de-identification placeholders."""
    drop_prior: bool = False
    """Remove sentences that compare with prior studies ("unchanged", "compared to"); a single image
    does not show them."""
    entities_from: Path | None = None
    """File of graphs in the form of RadGraph, such as MIMIC-CXR_graphs.json: statements are read
    from a study's graph, and are its findings where the corpus gives none. Graphs with problems are
    not used."""
    label_findings: bool = False
    """Read statements from the report where no graph gives any; they are its findings where the
    corpus gives none."""
    language: ReadLanguage = "en"
    """Language that statements are read in: English, Spanish or Chinese; auto: that of each report.
    From a report in another language none are read, and the summary counts it."""


@dataclass(frozen=True, kw_only=True)
class Postprocessing:
    """Processes the report of a radiograph and filters it."""

    reports: ReportRules | None = None
    filter: RadiographFilter | None = None
    graphs: GraphIndex | None = None  # of `reports.entities_from`

    def __call__(self, radiograph: Radiograph) -> list[Radiograph | Exclusion | Unmapped]:
        """The processed radiograph with what it loses, or why the filter excludes it."""
        lost: list[Unmapped] = []
        done = self._with_report(self._with_graph(radiograph, lost))
        reason = self.filter.exclusion_reason(done, token_length) if self.filter else None
        if reason is not None:
            return [Exclusion(id=done.id, reason=reason, expected=True)]
        return [done, *lost, *unread(radiograph, done)]

    def _with_graph(self, radiograph: Radiograph, lost: list[Unmapped]) -> Radiograph:
        if self.graphs is None:
            return radiograph
        from roentgen.preparation.graph_findings import with_graph  # loads the labeler's rules

        return with_graph(radiograph, self.graphs, lost)

    def _with_report(self, radiograph: Radiograph) -> Radiograph:
        report, rules = radiograph.report, self.reports
        if report is None or rules is None:
            return radiograph
        edited = self._edited(report, rules)
        if rules.label_findings and not radiograph.statements:
            # The labeler's rules take a while to load.
            from roentgen.preparation.report_statements import with_statements

            radiograph = with_statements(radiograph, edited, rules.language)
        return replace(radiograph, report=None if edited == Report() else edited)

    def _edited(self, report: Report, rules: ReportRules) -> Report:
        from roentgen.reports.cleaning import clean_section
        from roentgen.reports.prior_studies import without_prior_comparisons

        sections = {name: text for name, text in asdict(report).items() if text}
        if rules.clean:
            sections = {name: clean_section(text) for name, text in sections.items()}
        if rules.drop_prior:  # the comparison names the earlier study: that is what it is for
            others = {name for name in sections if name != "comparison"}
            sections |= {name: without_prior_comparisons(sections[name]) for name in others}
        return Report(**{name: text or None for name, text in sections.items()})

    def count_languages(self, radiographs: Sequence[Radiograph], languages: Counter[str]) -> None:
        """Count reports by the language of the text that findings are read from."""
        if self.reports is not None:
            for radiograph in radiographs:
                count_language(radiograph.report, languages)

    def count_tokens(self, radiographs: Sequence[Radiograph], lengths: TokenCounts) -> None:
        """Count report sections by their length in tokens."""
        for radiograph in radiographs:
            for name in REPORT_SECTIONS:
                text = getattr(radiograph.report, name, None)
                if text:
                    lengths.setdefault(name, Counter())[token_length(text)] += 1


def token_length(text: str) -> int:
    """Length in tokens of CLIP's tokenizer, begin and end among them."""
    return len(_tokenizer().encode(text).ids)


@cache
def _tokenizer() -> Any:
    """CLIP's tokenizer as the tiny base carries it, without loading torch as transformers does."""
    from tokenizers import Tokenizer

    path = TINY / "tokenizer" / "tokenizer.json"
    tokenizer = Tokenizer.from_file(str(path))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    tokenizer.add_tokens(list(VIEW_TOKENS.values()))
    return tokenizer
