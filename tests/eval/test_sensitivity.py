"""Each planted defect is seen by the metric meant for it, and clean sets raise no alarm.

It writes the tables of docs/validation.md.
"""

import pytest
from scipy.stats import binom

from tests.eval.defects import STRENGTHS, Defect
from tests.eval.sensitivity import CLEAN_DRAWS, METRICS, Found, alarms, is_seen, measure
from tests.eval.sensitivity_tables import ASKED, MEANT, failed, write_tables

pytestmark = pytest.mark.slow
BY_CHANCE = 0.01  # that two intervals of like sets do not overlap, on one side
UNSEEN_AT_200: tuple[Defect, ...] = ("wrong labels", "one source")


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Found:
    measured = measure(tmp_path_factory.mktemp("phantoms"))
    write_tables(measured)
    return measured


@pytest.mark.parametrize("n", [500, 200])
@pytest.mark.parametrize("defect", MEANT)
def test_a_defect_is_seen_by_the_metric_meant_for_it(found: Found, defect: Defect, n: int) -> None:
    if n == 200 and defect in UNSEEN_AT_200:
        pytest.skip("docs/validation.md says so")
    assert is_seen(found[n], f"{defect} {ASKED[defect]:g}", MEANT[defect])


@pytest.mark.parametrize("n", [500, 200])
def test_clean_sets_raise_no_more_alarms_than_chance(found: Found, n: int) -> None:
    """None at all among verdicts; of intervals that do not overlap, what chance allows."""
    clean = {name: of_set for name, of_set in found[n].items() if name.startswith("clean")}
    assert len(clean) == CLEAN_DRAWS
    assert {name: failed(of_set) for name, of_set in clean.items() if failed(of_set)} == {}
    most = binom.ppf(0.999, len(METRICS) * CLEAN_DRAWS, BY_CHANCE)
    assert sum(alarms(found[n], metric) for metric in METRICS) <= most


def test_blur_of_any_strength_that_is_asked_is_seen(found: Found) -> None:
    for sigma in STRENGTHS["blur"]:
        assert is_seen(found[500], f"blur {sigma:g}", "detail")
