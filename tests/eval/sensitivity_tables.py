"""Tables of docs/validation.md: which metric sees which planted defect, from which strength."""

from collections.abc import Mapping
from pathlib import Path

from eval.fidelity.display import told_apart
from eval.fidelity.scores import FLOOR
from eval.fidelity.sharpness_display import verdicts as sharpness_verdicts
from eval.privacy.display import PIXELS
from eval.privacy.display import verdicts as privacy_verdicts
from eval.report.as_requested import as_requested
from eval.report.verdict import Topic
from roentgen.metrics.estimates import Estimate, NotMeasured, difference_of_shares
from tests.eval.defects import DEFECTS, STRENGTHS, UNITS, Defect
from tests.eval.sensitivity import (
    CLEAN_DRAWS,
    METRICS,
    SIZES,
    Compared,
    Found,
    OfSets,
    alarms,
    is_seen,
)

PAGE = Path(__file__).parents[2] / "docs/validation.md"
BEGIN, END = "<!-- tables: begin -->", "<!-- tables: end -->"
MEANT: Mapping[Defect, str] = {
    "blur": "detail",
    "JPEG": "two-sample AUROC",
    "noise": "detail",
    "ringing": "spectrum",
    "VAE round trip": "detail",
    "missing ribs": "two-sample AUROC",
    "swapped sides": "side accuracy",
    "wrong labels": "finding AUROC",
    "copies": "near-duplicates",
    "missing view": "coverage",
    "one source": "two-sample AUROC",
}
ASKED: Mapping[Defect, float] = {  # of the strengths, that of the first table
    "blur": 0.5,
    "JPEG": 30,
    "noise": 4,
    "ringing": 0.3,
    "VAE round trip": 1,
    "missing ribs": 1,
    "swapped sides": 1,
    "wrong labels": 0.1,
    "copies": 0.1,
    "missing view": 1,
    "one source": 1,
}


def failed(of_set: Mapping[str, Compared]) -> list[Topic]:
    """The verdicts of the page's first screen that fail: all but that of FID."""
    auroc = of_set["two-sample AUROC"]
    named = {"ratio": "detail", "below": "softer", "above": "sharper"}
    detail = {key: {"set": of_set[metric].value} for key, metric in named.items()}
    requests: tuple[tuple[Topic, str, float], ...] = (
        ("views", "view accuracy", 0.5),
        ("findings", "finding AUROC", 0.5),
        ("sides", "side accuracy", 0.5),
    )
    every = [
        *sharpness_verdicts({"all": {"detail": detail}}, "set"),
        *told_apart({"": {"two_sample": {"set": auroc.value, FLOOR: auroc.real}}}, "set"),
    ]
    if "near-duplicates" in of_set:
        share, real = of_set["near-duplicates"]
        shares = {"set": share, "test": real}
        excess = {"set": difference_of_shares(share, real)}
        none = {"set": {"auroc": NotMeasured("no model")}}
        numbers = {PIXELS: {"near_duplicates": shares, "excess": excess}}
        every += privacy_verdicts(numbers, none, "set")
    for topic, metric, chance in requests:
        every += as_requested(topic, topic, metric, *of_set[metric], chance)
    return [verdict.topic for verdict in every if verdict.status == "fails"]


def seen_from(found: OfSets, defect: Defect, metric: str) -> str:
    """The least strength from which on the defect is seen; blank where it is not measured."""
    least = "–"
    for strength in reversed(STRENGTHS[defect]):
        name = f"{defect} {strength:g}"
        if metric not in found[name]:
            return ""
        if not is_seen(found, name, metric):
            break
        least = f"{strength:g}"
    return least


def tables(found: Found) -> str:
    """Markdown: the metric meant for each defect, then every metric."""
    lines = [
        "| defect | strength | metric meant for it | set, n = 500 | real radiographs | seen at "
        "n = 500 from | at n = 200 from | verdicts that fail |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for defect in DEFECTS:
        metric, strength = MEANT[defect], ASKED[defect]
        of_set = found[500][f"{defect} {strength:g}"]
        value, real = of_set[metric]
        least = " | ".join(seen_from(found[n], defect, metric) for n in SIZES)
        lines.append(
            f"| {defect} | {strength:g} ({UNITS[defect]}) | {metric} | {_text(value)} | "
            f"{_text(real)} | {least} | {', '.join(failed(of_set)) or 'none'} |"
        )
    lines += [
        "",
        "Every metric: the strength from which on a defect is seen at n = 500 / at n = 200.",
        "",
        f"| defect | {' | '.join(METRICS)} |",
        "|---|" + "---|" * len(METRICS),
    ]
    for defect in DEFECTS:
        cells = []
        for metric in METRICS:
            least = " / ".join(seen_from(found[n], defect, metric) for n in SIZES)
            least = {"– / –": "–", " / ": ""}.get(least, least)
            cells.append(f"**{least}**" if metric == MEANT[defect] else least)
        lines.append(f"| {defect} | {' | '.join(cells)} |")
    counts = [" / ".join(str(alarms(found[n], metric)) for n in SIZES) for metric in METRICS]
    lines.append(f"| none: alarms in {CLEAN_DRAWS} clean sets | {' | '.join(counts)} |")
    return "\n".join(lines)


def _text(estimate: Estimate) -> str:
    if estimate.value is None or estimate.low is None or estimate.high is None:
        return str(estimate.note)
    return f"{estimate.value:.3g} ({estimate.low:.3g} to {estimate.high:.3g})"


def write_tables(found: Found) -> None:
    """Into docs/validation.md."""
    before, rest = PAGE.read_text(encoding="utf-8").split(BEGIN)
    _, after = rest.split(END)
    page = f"{before}{BEGIN}\n\n{tables(found)}\n\n{END}{after}"
    PAGE.write_text(page, encoding="utf-8")
