import pytest

from roentgen.corpora.open_i.mesh import gold, statements_of_terms
from roentgen.record.finding import FindingName
from roentgen.record.statement import Extent, Statement


@pytest.mark.parametrize(
    ("term", "present", "leaves_open"),
    [
        ("normal", set(), set()),
        ("Cardiomegaly/mild", {"Cardiomegaly"}, set()),
        ("Cardiomegaly/borderline", set(), {"Cardiomegaly"}),
        ("Cardiac Shadow/enlarged", {"Cardiomegaly"}, {"Enlarged Cardiomediastinum"}),
        ("Opacity/lung/base/left", {"Lung Opacity"}, set()),
        ("Opacity/lung/right/round", {"Lung Opacity", "Lung Lesion"}, set()),
        ("Density/lung/right/round", {"Lung Lesion"}, {"Lung Opacity"}),
        ("Opacity/ribs/anterior", set(), {"Lung Opacity"}),
        ("Opacity/pleura/right", set(), {"Lung Opacity", "Pleural Other"}),
        ("Cicatrix/pleura/apex", {"Pleural Other"}, {"Lung Opacity"}),
        ("Thickening/pleura", {"Pleural Other"}, {"Lung Opacity"}),
        ("Thickening/bronchovascular", set(), {"Lung Opacity"}),
        ("Calcinosis/aorta", set(), set()),
        ("Calcinosis/pleura/base", set(), {"Lung Opacity", "Pleural Other"}),
        ("Calcified Granuloma/lung/right", set(), {"Lung Lesion", "Lung Opacity"}),
        ("Mediastinum/paratracheal/enlarged ", set(), {"Enlarged Cardiomediastinum"}),
        ("Mediastinum/prominent", {"Enlarged Cardiomediastinum"}, set()),
        ("Hydropneumothorax/right", {"Pleural Effusion", "Pneumothorax"}, set()),
        ("Catheters, Indwelling/right", {"Support Devices"}, set()),
        ("Surgical Instruments", set(), {"Support Devices"}),
        ("Scoliosis/mild", set(), set()),
    ],
)
def test_what_a_term_stands_for(
    term: str, present: set[FindingName], leaves_open: set[FindingName]
) -> None:
    assert gold([term]) == (frozenset(present), frozenset(leaves_open))


def test_a_term_that_says_so_closes_what_another_leaves_open() -> None:
    present, leaves_open = gold(["Costophrenic Angle/blunted", "Pleural Effusion/left"])
    assert present == {"Pleural Effusion"}
    assert not leaves_open


@pytest.mark.parametrize(
    ("term", "extents"),
    [
        ("Opacity/lung/base/left/mild", (Extent("left", "small", ("basal",)),)),
        ("Opacity/lung/upper lobe/right", (Extent("right", None, ("upper lobe",)),)),
        ("Opacity/lingula", (Extent("left", None, ("lingula",)),)),
        ("Opacity/lung/apex", (Extent(None, None, ("apical",)),)),
        ("Opacity/lung/hilum/retrocardiac", (Extent(None, None, ("perihilar", "retrocardiac")),)),
        (
            "Pulmonary Atelectasis/base/bilateral/severe",
            (Extent("left", "large", ("basal",)), Extent("right", "large", ("basal",))),
        ),
        ("Fractures, Bone/ribs/right/multiple", (Extent("right"),)),
        ("Pneumonia", (Extent(),)),
    ],
)
def test_where_and_how_large_a_term_says(term: str, extents: tuple[Extent, ...]) -> None:
    assert [statement.extents for statement in statements_of_terms([term])] == [extents]


def test_each_term_is_a_statement_of_each_of_its_findings() -> None:
    terms = ["Hydropneumothorax/left", "Scoliosis/mild", "Pleural Effusion/right/moderate"]
    assert statements_of_terms([*terms, terms[0]]) == (
        Statement(finding="pleural effusion", extents=(Extent("left"),)),
        Statement(finding="pneumothorax", extents=(Extent("left"),)),
        Statement(finding="pleural effusion", extents=(Extent("right", "moderate"),)),
    )
