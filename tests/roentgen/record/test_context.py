import math
from typing import Any

import pytest

from roentgen.errors import InputError
from roentgen.record.context import ContextValue


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"name": "", "value": 1.0}, "has no name"),
        ({"name": "lactate", "value": math.nan}, "'lactate' is nan"),
        ({"name": "lactate", "value": 1.0, "minutes_before": 0.0}, "must be above 0"),
        ({"name": "lactate", "value": 1.0, "minutes_before": -5.0}, "must be above 0"),
        ({"name": "lactate", "value": 1.0, "probability": 0.5}, "of an imputed value"),
        ({"name": "x", "value": 1.0, "imputed": True, "probability": 1.5}, "must be 0 to 1"),
    ],
)
def test_values_are_finite_and_from_before_the_study(values: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        ContextValue(**values)
