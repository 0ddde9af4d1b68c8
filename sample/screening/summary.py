"""Summary of a screening, as JSON values and as a page of Markdown."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from roentgen.metrics.estimates import Estimate, Threshold
from sample.screening.config import FILTERS, ScreenConfig
from sample.screening.filters import duplicates
from sample.screening.label_agreement import DEFINITION, MEAN, LabelAgreement
from sample.screening.rounds import Outcome, Screener, Screening

_SHOWN = 12  # lines of a table that may be long
_SENSITIVE = 0.95  # share of planted copies below which the copies filter misses too many
_INEFFECTIVE = 0.05  # share of wrong labels below which a check is ineffective
_COLUMNS = ("before", "after", "held-out real")


def limits_of(screener: Screener) -> dict[str, float]:
    """The score beyond which each filter rejects an image, in the order of FILTERS."""
    return {name: limit.value for name, limit in _thresholds(screener).items()}


def summarize(
    config: ScreenConfig, screening: Screening, screener: Screener, notes: Sequence[str]
) -> dict[str, Any]:
    """The summary of a screened set, for screening.json."""
    notes = [*notes, *doubts(config, screener)]
    own = [outcome for outcome in screening.outcomes if outcome.candidate.attempt == 0]
    accepted = [screening.accepted[row] for row in sorted(screening.accepted)]
    of_own = sum(outcome.candidate.attempt == 0 for outcome in accepted)
    planned = len(screening.rows)
    result: dict[str, Any] = {
        "images": {
            "requested": planned,
            "accepted": len(accepted),
            "accepted of the set's own": of_own,
            "redrawn": len(screening.outcomes) - len(own),
            "missing": planned - len(accepted),
        },
        "filters": {
            name: _filter_summary(name, limit, screening.outcomes, screener)
            for name, limit in _thresholds(screener).items()
        },
        "agreement": _agreement(config, screener.agreement, own, accepted),
        "shortfall": _shortfall(screening),
        "notes": notes,
    }
    result["about"] = [
        f"{len(accepted)} of {planned} requested images were accepted, {of_own} of them the "
        f"set's own and the others redrawn (at most {config.attempts} rounds, best of "
        f"{config.best_of}); "
        f"{planned - len(accepted)} are missing.",
        *(
            f"{name}: rejected {filter_['failed of the set']} of the set's own images"
            for name, filter_ in result["filters"].items()
        ),
        *_agreement_line(result["agreement"]),
        *(
            f"missing: {lack} of {n['requested']} images of {name}"
            for kind in ("findings", "views")
            for name, n in result["shortfall"][kind].items()
            if (lack := n["requested"] - n["accepted"])
        ),
        *notes,
    ]
    return result


def _agreement_line(agreement: dict[str, Any] | None) -> Iterator[str]:
    """Label agreement for the card."""
    if agreement is None:
        return
    shares = {name: agreement[name][MEAN]["value"] for name in _COLUMNS if name in agreement}
    listed = [f"{value:.3f} ({name})" for name, value in shares.items() if value is not None]
    if listed:
        yield f"{MEAN} as requested: {', '.join(listed)}; measured by {agreement['classifier']}"


def doubts(config: ScreenConfig, screener: Screener) -> Iterator[str]:
    """Limits of the filters' power, a line each."""
    for name, limit in _thresholds(screener).items():
        requested = getattr(config, name).false_alarms
        if limit.guaranteed <= requested:
            continue
        line = (
            f"{name}: {limit.patients} real patients support a false-alarm rate of "
            f"{limit.guaranteed:.2%}, not {requested:.2%}"
        )
        if limit.expected is not None:
            line += "; the limit is extrapolated from their spread"
        yield line
    for filter_ in screener.filters:
        power = filter_.about().get("wrong labels found", {})
        blind = [k for k, v in power.items() if v["radiographs"] and v["share"] < _INEFFECTIVE]
        if blind:
            yield (
                f"{filter_.name}: hardly detects {', '.join(blind)}: fewer than "
                f"{_INEFFECTIVE:.0%} of real radiographs with a wrong value fail; more real "
                "radiographs, or another classifier, may detect it"
            )
        planted = filter_.about().get("planted copies found")
        if planted and planted["share"] < _SENSITIVE:
            near = filter_.about()["most similar held-out radiograph"]
            yield (
                f"{filter_.name}: only {planted['share']:.0%} of {planted['copies']} planted "
                f"copies are found, because the limit ({filter_.limit.value:.3f}) is high: the "
                f"held-out radiograph {near['radiograph']} has similarity "
                f"{near['similarity']:.3f} to the training image {near['training image']}; if "
                "they are the same radiograph, exclude it from the reference"
            )


def _thresholds(screener: Screener) -> dict[str, Threshold]:
    found = {filter_.name: filter_.limit for filter_ in screener.filters}
    if screener.duplicates is not None:
        found["duplicates"] = screener.duplicates
    return {name: found[name] for name in FILTERS if name in found}


def _filter_summary(
    name: str, limit: Threshold, outcomes: Sequence[Outcome], screener: Screener
) -> dict[str, Any]:
    filter_ = next((filter_ for filter_ in screener.filters if filter_.name == name), None)
    own = [v for v in outcomes if v.candidate.attempt == 0]
    drawn = [v for v in outcomes if v.candidate.attempt > 0]
    failures = Counter(v.failures[name] for v in own if name in v.failures)
    return {
        "definition": filter_.definition if filter_ else duplicates.DEFINITION,
        "limit": limit.value,
        "false alarms at most": limit.guaranteed,
        "false alarms expected": limit.expected,
        "real patients": limit.patients,
        "scored of the set": sum(name in v.scores for v in own),
        "failed of the set": sum(failures.values()),
        "scored of those redrawn": sum(name in v.scores for v in drawn),
        "failed of those redrawn": sum(name in v.failures for v in drawn),
        "failure reasons of the set": dict(failures.most_common()),
        **(filter_.about() if filter_ else {}),
    }


def _agreement(
    config: ScreenConfig,
    agreement: LabelAgreement | None,
    own: Sequence[Outcome],
    accepted: Sequence[Outcome],
) -> dict[str, Any] | None:
    """Before, after, and of held-out real radiographs, which are the ceiling."""
    if agreement is None:
        return None
    measured_by = (
        "an independent classifier, trained on other patients than the reference classifier"
    )
    if config.reference_classifier.independent_share is None:
        measured_by = (
            "the reference classifier itself, which overestimates agreement after screening"
        )
    result: dict[str, Any] = {"classifier": measured_by, "definition": DEFINITION}
    for name, outcomes in (("before", own), ("after", accepted)):
        if outcomes:
            calls = np.stack([outcome.calls for outcome in outcomes])
            result[name] = _plain(agreement.measure(calls[:, :-1], calls[:, -1]))
    result["held-out real"] = _plain(agreement.measure(*agreement.real))
    return result


def _plain(value: Any) -> Any:
    if isinstance(value, Estimate):
        return asdict(value)
    return {key: _plain(inner) for key, inner in value.items()}


def _shortfall(screening: Screening) -> dict[str, Any]:
    """Requested and accepted images, by finding and view."""
    requested: dict[str, Counter[str]] = {"findings": Counter(), "views": Counter()}
    accepted: dict[str, Counter[str]] = {"findings": Counter(), "views": Counter()}
    prompts: Counter[str] = Counter()
    missing: Counter[str] = Counter()
    for row, radiograph in enumerate(screening.rows.without_images()):
        present = {f.name for f in radiograph.findings if f.state == "present"}
        is_accepted = row in screening.accepted
        for kind, names in (("findings", present), ("views", {radiograph.view or "none"})):
            requested[kind].update(names)
            accepted[kind].update(names if is_accepted else ())
        prompts[radiograph.patient_id] += 1
        missing[radiograph.patient_id] += not is_accepted
    return {
        "prompts": len(prompts),
        "prompts missing images": sum(n > 0 for n in missing.values()),
        "prompts without images": sum(missing[name] == n for name, n in prompts.items()),
        **{
            kind: {
                name: {"requested": n, "accepted": accepted[kind][name]}
                for name, n in sorted(counts.items())
            }
            for kind, counts in requested.items()
        },
    }


def page(config: ScreenConfig, summary: dict[str, Any]) -> str:
    """The summary as Markdown."""
    images = summary["images"]
    lines = [f"# Screening of {config.dataset}", ""]
    lines += _table(["images", "number"], [[key, str(n)] for key, n in images.items()])
    lines += ["", "## Filters", ""]
    heads = ["filter", "rejected", "of", "false alarms at most", "redrawn: rejected", "of"]
    lines += _table(
        heads,
        [
            [
                name,
                str(filter_["failed of the set"]),
                str(filter_["scored of the set"]),
                _rate(filter_),
                str(filter_["failed of those redrawn"]),
                str(filter_["scored of those redrawn"]),
            ]
            for name, filter_ in summary["filters"].items()
        ],
    )
    failures = [
        [name, failure, str(n)]
        for name, filter_ in summary["filters"].items()
        for failure, n in filter_["failure reasons of the set"].items()
    ]
    if failures:
        lines += ["", "## Failure reasons", ""]
        lines += _table(["filter", "failure reason", "images of the set"], _cut(failures))
    power = summary["filters"].get("labels", {}).get("wrong labels found")
    if power:
        lines += ["", "## Power of the labels filter", ""]
        lines += [
            "Share of held-out real radiographs with the other label that fail each check alone.",
            "",
        ]
        found = [
            [k, f"{v['share']:.2f}", str(v["radiographs"])]
            for k, v in power.items()
            if v["radiographs"]
        ]
        lines += _table(["check", "share found", "radiographs"], found)
    planted = summary["filters"].get("copies", {}).get("planted copies found")
    if planted:
        lines += ["", "## Power of the copies filter", ""]
        lines += [
            f"Of {planted['copies']} altered training images (shifted, with other contrast, "
            f"brightness and noise) it finds {planted['share']:.1%}; the least similarity is "
            f"{planted['least similarity']:.3f}, the limit "
            f"{summary['filters']['copies']['limit']:.3f}."
        ]
    agreement = summary["agreement"]
    if agreement:
        lines += ["", "## Label agreement", "", f"Measured by {agreement['classifier']}.", ""]
        columns = [n for n in _COLUMNS if n in agreement]
        shares = [key for key in agreement[columns[0]] if key != "by finding"]
        rows = [[key, *(_share(agreement[c][key]) for c in columns)] for key in shares]
        for name in agreement[columns[0]]["by finding"]:
            for state in ("present", "absent"):
                cells = [_share(agreement[c]["by finding"][name][state]) for c in columns]
                rows.append([f"{name}: {state}", *cells])
        lines += _table(["", *columns], rows)
    lines += ["", "## Shortfall", "", *_shortfall_lines(summary)]
    if summary["notes"]:
        lines += ["", "## Notes", "", *(f"- {note}" for note in summary["notes"])]
    return "\n".join(lines) + "\n"


def _shortfall_lines(summary: dict[str, Any]) -> list[str]:
    shortfall = summary["shortfall"]
    if not summary["images"]["missing"]:
        return ["None: every row of the plan has an image."]
    rows = [
        [name, str(n["requested"]), str(n["accepted"]), str(n["requested"] - n["accepted"])]
        for kind in ("findings", "views")
        for name, n in shortfall[kind].items()
        if n["accepted"] < n["requested"]
    ]
    return [
        f"{shortfall['prompts missing images']} of {shortfall['prompts']} prompts are missing "
        f"images, {shortfall['prompts without images']} have none (shortfall.csv).",
        "",
        *_table(["requested", "images", "accepted", "missing"], rows),
    ]


def _rate(filter_: dict[str, Any]) -> str:
    """The rate of false alarms that is guaranteed, and the one that is expected if that is less."""
    expected = filter_["false alarms expected"]
    more = "" if expected is None else f" ({expected:.2%} expected)"
    return f"{filter_['false alarms at most']:.2%}{more}"


def _share(estimate: dict[str, Any]) -> str:
    if estimate["value"] is None:
        return "–"
    if estimate["low"] is None:
        return f"{estimate['value']:.3f}"
    return (
        f"{estimate['value']:.3f} ({estimate['low']:.3f}–{estimate['high']:.3f}; "
        f"n = {estimate['n']})"
    )


def _cut(rows: list[list[str]]) -> list[list[str]]:
    if len(rows) <= _SHOWN:
        return rows
    rows = sorted(rows, key=lambda row: -int(row[-1]))
    rest = sum(int(row[-1]) for row in rows[_SHOWN:])
    return [*rows[:_SHOWN], ["", f"{len(rows) - _SHOWN} others", str(rest)]]


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Markdown lines."""
    lines = [f"| {' | '.join(heads)} |", f"|{'---|' * len(heads)}"]
    return lines + [f"| {' | '.join(row)} |" for row in rows]
