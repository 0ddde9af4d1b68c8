"""Statements and findings of radiographs from graphs of their reports, in the form of RadGraph."""

from dataclasses import replace

from roentgen.corpora.mimic.reports import report_name
from roentgen.corpora.reader import Unmapped
from roentgen.graphs.graph_index import GraphIndex
from roentgen.graphs.problems import problems
from roentgen.graphs.to_statements import statements_of_graph
from roentgen.graphs.word_meanings import RuleMeanings
from roentgen.record.radiograph import Radiograph
from roentgen.statements.labels import findings_of, with_no_finding


def with_graph(radiograph: Radiograph, index: GraphIndex, lost: list[Unmapped]) -> Radiograph:
    """The radiograph with the statements of its study's graph; what is not read goes to `lost`.

    Its findings are its own, or else those that the graph states.
    The graph has the key of the report in MIMIC-CXR, or the study's id. Of several readers' graphs
    the first is read.
    """
    names = (report_name(radiograph.patient_id, radiograph.study_id), radiograph.study_id)
    document = next(filter(None, map(index.document, names)), None)
    if document is None:
        lost.append(Unmapped("graph", "", "the file of graphs has none of the study"))
        return radiograph
    graph = next(iter(document.graphs.values()))
    if found := problems(graph):
        lost.append(Unmapped("graph", document.key, found[0]))
        return radiograph
    reading = statements_of_graph(graph, RuleMeanings(), index.path.name)
    for tokens in reading.unread:
        why = "an observation that names no known finding"
        lost.append(Unmapped("graph", tokens.lower(), why))
    findings = radiograph.findings or with_no_finding(findings_of(reading.statements))
    return replace(radiograph, findings=findings, statements=reading.statements)
