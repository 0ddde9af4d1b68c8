"""Verdict on whether images are as requested, between chance and a judge's ceiling."""

from eval.report.section import cell_text, number
from eval.report.verdict import Status, Topic, Verdict, status_above
from roentgen.metrics.estimates import Estimate


def as_requested(
    topic: Topic, what: str, measure: str, value: Estimate, ceiling: Estimate, chance: float
) -> tuple[Verdict, ...]:
    """They are if the number lies nearer to the ceiling, on held-out radiographs, than to chance.

    If their interval lies below the ceiling's, the sentence says so. A judge that is itself at
    chance there tells nothing; without a number there is no verdict.
    """
    if value.value is None or ceiling.value is None:
        return ()
    status: Status = "unclear"
    is_short = False
    if ceiling.low is not None and ceiling.low > chance:
        status = status_above(value, (ceiling.value + chance) / 2)
        is_short = status_above(value, ceiling.low) == "fails"
    opening = {
        "works": f"{what} are as requested",
        "fails": f"{what} are not as requested",
        "unclear": f"Whether {what[0].lower()}{what[1:]} are as requested cannot be told",
    }[status]
    if status == "works" and is_short:
        opening += ", if less reliably than in radiographs"
    numbers = (
        f"{measure} {cell_text(value)}; on held-out radiographs {cell_text(ceiling)}, by chance "
        f"{number(chance)}"
    )
    return (Verdict(topic=topic, status=status, sentence=f"{opening}: {numbers}."),)
