from collections import defaultdict
from pathlib import Path

import pytest
import yaml

import roentgen.labelers.rules.lexicon as rules
from roentgen.labelers.rules.rule_labeler import label_report, statements_of
from roentgen.labelers.rules.tokens import token_spans, words_of
from roentgen.record.radiograph import Report
from roentgen.record.statement import Statement
from roentgen.statements.hierarchy import findings, places

SIGNS = {"present": "+", "absent": "-", "uncertain": "?", "stable": "="}
SIDES = {"left", "right", "bilateral"}
SENTENCES = [
    # denied
    ("Sin derrame pleural.", "pleural effusion -"),
    ("No se observa neumotórax.", "pneumothorax -"),
    ("No hay infiltrados ni derrame pleural.", "infiltrate -; pleural effusion -"),
    ("No se aprecian condensaciones, nódulos ni masas.", "consolidation -; nodule -; mass -"),
    ("Negativo para neumonía.", "pneumonia -"),
    ("Ausencia de derrame pleural y neumotórax.", "pleural effusion -; pneumothorax -"),
    ("No se identifican fracturas costales.", "rib fracture -"),
    ("Tampoco se visualiza edema pulmonar.", "edema -"),
    ("No se observa derrame pleural, pero sí cardiomegalia.", "pleural effusion -; cardiomegaly +"),
    ("Sin neumotórax, derrame pleural izquierdo.", "pneumothorax -; pleural effusion + left"),
    ("El neumotórax se ha resuelto.", "pneumothorax -"),
    ("Resolución del derrame pleural izquierdo.", "pleural effusion - left"),
    # doubted
    ("Posible atelectasia en la base izquierda.", "atelectasis ? left basal"),
    ("Probable neumonía del lóbulo inferior derecho.", "pneumonia + right lower lobe"),
    ("No se puede descartar neumonía.", "pneumonia ?"),
    ("Neumonía a descartar.", "pneumonia ?"),
    ("A descartar derrame pleural derecho.", "pleural effusion ? right"),
    ("Sin poder descartar un pequeño neumotórax apical derecho.",
     "pneumothorax ? right small apical"),
    (
        "Opacidad basal izquierda compatible con neumonía.",
        "lung opacity + left basal; pneumonia + left basal",
    ),
    ("Hallazgos sugestivos de insuficiencia cardíaca.", "heart failure +"),
    ("Dudoso infiltrado en la língula.", "infiltrate ? left lingula"),
    ("El derrame pleural es poco probable.", "pleural effusion ?"),
    ("Infiltrado basal derecho, podría corresponder a atelectasia.",
     "infiltrate + right basal; atelectasis ? right basal"),
    # sides and severities
    ("Derrame pleural izquierdo.", "pleural effusion + left"),
    ("Pequeño derrame pleural derecho.", "pleural effusion + right small"),
    ("Gran derrame pleural izquierdo.", "pleural effusion + left large"),
    ("Derrame pleural bilateral de moderada cuantía.",
     "pleural effusion + right moderate, left moderate"),
    ("Derrame pleural en ambos hemitórax.", "pleural effusion + right, left"),
    ("Derrame pleural derecho moderado e izquierdo pequeño.",
     "pleural effusion + right moderate, left small"),
    ("Gran derrame pleural derecho y pequeño izquierdo.",
     "pleural effusion + right large, left small"),
    ("Leve cardiomegalia.", "cardiomegaly + small"),
    ("Cardiomegalia severa.", "cardiomegaly + large"),
    ("Neumotórax izquierdo masivo.", "pneumothorax + left large"),
    ("Mínimo derrame pleural izquierdo y atelectasia basal derecha.",
     "pleural effusion + left small; atelectasis + right basal"),
    ("Derrame pleural dcho. leve.", "pleural effusion + right small"),
    # places
    ("Consolidación en el lóbulo superior derecho.", "consolidation + right upper lobe"),
    ("Infiltrado en LII.", "infiltrate + left lower lobe"),
    ("Atelectasia laminar en la base derecha.", "linear atelectasis + right basal"),
    ("Nódulo de 8 mm en el vértice izquierdo.", "nodule + left apical"),
    ("Opacidades perihiliares bilaterales.", "lung opacity + right perihilar, left perihilar"),
    ("Masa retrocardíaca.", "mass + retrocardiac"),
    ("Engrosamiento pleural biapical.",
     "apical pleural thickening + right apical, left apical"),
    ("Condensación en el lóbulo medio.", "consolidation + middle lobe"),
    ("Infiltrados en campos medio e inferior del pulmón derecho.",
     "infiltrate + right mid zone lower zone"),
    # change
    ("Aumento del derrame pleural izquierdo.", "pleural effusion + left increased"),
    ("Disminución del infiltrado basal derecho.", "infiltrate + right basal decreased"),
    ("Derrame pleural izquierdo sin cambios.", "pleural effusion + left unchanged"),
    ("Nuevo infiltrado en el lóbulo inferior izquierdo.", "infiltrate + left lower lobe new"),
    ("Persiste la atelectasia del lóbulo medio.", "lobar atelectasis + middle lobe unchanged"),
    ("Mejoría del edema pulmonar.", "edema + decreased"),
    # history and templates
    ("Antecedentes de neumonía.", ""),
    ("Derrame pleural: no.", "pleural effusion -"),
    ("Neumotórax: ninguno.", "pneumothorax -"),
    ("Derrame pleural: sí, pequeño, izquierdo.", "pleural effusion + left small"),
    # structures
    ("Silueta cardíaca normal.", "cardiomegaly -"),
    ("Índice cardiotorácico aumentado.", "cardiomegaly +"),
    ("Índice cardiotorácico en el límite alto de la normalidad.", "cardiomegaly ?"),
    ("Senos costofrénicos libres.", "pleural effusion -"),
    ("Silueta cardiomediastínica dentro de la normalidad.",
     "enlarged cardiomediastinum -; cardiomegaly -"),
    ("Los pulmones están limpios.", "lung opacity -"),
    ("Pinzamiento de ambos senos costofrénicos.", "costophrenic angle blunting + right, left"),
    ("Elevación del hemidiafragma derecho.", "elevated hemidiaphragm + right"),
    # devices
    ("Marcapasos bicameral.", "dual chamber pacemaker +"),
    ("Sonda nasogástrica con extremo distal infradiafragmático.", "nasogastric tube +"),
    ("Catéter venoso central por vía yugular derecha.", "jugular central line + right"),
    ("Tubo endotraqueal normoposicionado.", "endotracheal tube +"),
    ("Drenaje pleural izquierdo.", "chest tube + left"),
    # replaced by what explains it
    ("Nódulo basal derecho en relación con mamila.", "nipple shadow + right basal"),
]  # fmt: skip


def summary(text: str) -> str:
    """Statements as "finding sign side severity places, other side ... change", joined by ";"."""
    return "; ".join(
        " ".join([one.finding, SIGNS[one.state], described(one)]).strip()
        for one in statements_of(Report(findings=text), "es")
    )


def described(statement: Statement) -> str:
    extents = [
        " ".join(word for word in (e.side, e.severity, *e.places) if word)
        for e in statement.extents
    ]
    return " ".join(filter(None, [", ".join(extents), statement.change]))


def stemmed(text: str) -> str:
    """A text with each word in the form in which it is looked up."""
    spans = token_spans(text)
    ends = [0, *(end for _, end in spans)]
    gaps = [text[end:start] for end, (start, _) in zip(ends, spans, strict=False)]
    words = [words_of(text[start:end], "es")[0] for start, end in spans]
    return "".join(gap + word for gap, word in zip(gaps, words, strict=True)) + text[ends[-1] :]


@pytest.mark.parametrize(("text", "expected"), SENTENCES)
def test_statements_of_a_sentence(text: str, expected: str) -> None:
    assert summary(text) == expected


@pytest.mark.parametrize("text", [text for text, _ in SENTENCES])
def test_a_stemmed_sentence_reads_the_same(text: str) -> None:
    assert stemmed(stemmed(text)) == stemmed(text)
    assert summary(stemmed(text)) == summary(text)


def test_labels_of_a_report() -> None:
    report = Report(findings="Cardiomegalia. Derrame pleural izquierdo. Sin neumotórax.")
    found = {finding.name: (finding.state, finding.side) for finding in label_report(report, "es")}
    assert found == {
        "Cardiomegaly": ("present", None),
        "Pleural Effusion": ("present", "left"),
        "Pneumothorax": ("absent", None),
    }


@pytest.mark.parametrize(
    "text",
    [
        "Tórax sin hallazgos.",
        "Radiografía de tórax normal.",
        "Sin alteraciones pleuropulmonares agudas. Silueta cardíaca normal.",
        "No se observan hallazgos patológicos.",
    ],
)
def test_normal_reports(text: str) -> None:
    names = {finding.name for finding in label_report(Report(findings=text), "es")}
    assert "No Finding" in names


def test_each_phrase_has_one_meaning() -> None:
    """Different words can have one stem: "sino" is stemmed as "sin"."""
    path = Path(rules.__file__).parent / "words" / "es.yaml"
    meanings = defaultdict(set)
    for meaning, template in rules._entries(yaml.safe_load(path.read_text(encoding="utf-8"))):
        for phrase in rules._expand(template):
            meanings[tuple(words_of(phrase, "es"))].add(meaning)
    assert {phrase: found for phrase, found in meanings.items() if len(found) > 1} == {}


def test_names_are_nodes_of_the_hierarchy() -> None:
    path = Path(rules.__file__).parent / "words" / "es.yaml"
    words = yaml.safe_load(path.read_text(encoding="utf-8"))
    named = {name for key in words["findings"] for name in key.split(", ")}
    assert named <= findings().keys()
    located = {name for key in words["places"] for name in key.split(", ")}
    assert located <= places().keys() | SIDES | {"upper", "mid", "lower", "elliptic"}
