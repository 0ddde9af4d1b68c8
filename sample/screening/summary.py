"""What came of a screening, as JSON values and as a page of Markdown."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from roentgen.metrics.conformal import Threshold
from roentgen.metrics.estimates import Estimate
from sample.screening.config import GATES, ScreenConfig
from sample.screening.gates import duplicates
from sample.screening.label_agreement import DEFINITION, MEAN, Auditor
from sample.screening.rounds import Judges, Screening, Verdict

_SHOWN = 12  # lines of a table that may be long
_SEEING = 0.95  # share of planted copies below which the copies gate is said to see too few
_BLIND = 0.05  # share of wrong labels below which a check is said to see nothing
_COLUMNS = ("before", "after", "held-out real films")


def limits_of(judges: Judges) -> dict[str, float]:
    """The score beyond which each gate drops an image, in the order of GATES."""
    return {name: limit.value for name, limit in _thresholds(judges).items()}


def summarise(
    config: ScreenConfig, screening: Screening, judges: Judges, notes: Sequence[str]
) -> dict[str, Any]:
    """Everything that is known of the set as a whole, for screening.json."""
    notes = [*notes, *doubts(config, judges)]
    own = [verdict for verdict in screening.verdicts if verdict.candidate.attempt == 0]
    kept = [screening.kept[row] for row in sorted(screening.kept)]
    of_own = sum(verdict.candidate.attempt == 0 for verdict in kept)
    planned = len(screening.rows)
    result: dict[str, Any] = {
        "images": {
            "asked": planned,
            "kept": len(kept),
            "kept of the set's own": of_own,
            "drawn again": len(screening.verdicts) - len(own),
            "lacking": planned - len(kept),
        },
        "gates": {
            name: _gate(name, limit, screening.verdicts, judges)
            for name, limit in _thresholds(judges).items()
        },
        "agreement": _agreement(config, judges.auditor, own, kept),
        "shortfall": _shortfall(screening),
        "notes": notes,
    }
    result["about"] = [
        f"{len(kept)} of {planned} images asked for, {of_own} of them the set's own and the others "
        f"drawn again (at most {config.attempts} rounds, best of {config.best_of}); "
        f"{planned - len(kept)} are lacking.",
        *(
            f"{name}: dropped {gate['dropped of the set']} of the set's own images"
            for name, gate in result["gates"].items()
        ),
        *_agreement_line(result["agreement"]),
        *(
            f"lacking: {lack} of {n['asked']} images of {name}"
            for kind in ("findings", "views")
            for name, n in result["shortfall"][kind].items()
            if (lack := n["asked"] - n["kept"])
        ),
        *notes,
    ]
    return result


def _agreement_line(agreement: dict[str, Any] | None) -> Iterator[str]:
    """Label agreement for the card."""
    if agreement is None:
        return
    shares = {name: agreement[name][MEAN]["value"] for name in _COLUMNS if name in agreement}
    told = [f"{value:.3f} ({name})" for name, value in shares.items() if value is not None]
    if told:
        yield f"{MEAN} as asked: {', '.join(told)}; judged by {agreement['judge']}"


def doubts(config: ScreenConfig, judges: Judges) -> Iterator[str]:
    """What gates cannot vouch for, a line each."""
    for name, limit in _thresholds(judges).items():
        asked = getattr(config, name).false_alarms
        if limit.guaranteed <= asked:
            continue
        line = (
            f"{name}: {limit.patients} real patients can vouch for {limit.guaranteed:.2%} of false "
            f"alarms, not for {asked:.2%}"
        )
        if limit.expected is not None:
            line += "; the limit lies beyond them, where their spread lets so few be expected"
        yield line
    for gate in judges.gates:
        power = gate.about().get("wrong labels found", {})
        blind = [k for k, v in power.items() if v["films"] and v["share"] < _BLIND]
        if blind:
            yield (
                f"{gate.name}: hardly judges {', '.join(blind)}: of real films of which that is "
                f"wrong fewer than {_BLIND:.0%} fail; more real films, or another proxy, may see it"
            )
        planted = gate.about().get("planted copies found")
        if planted and planted["share"] < _SEEING:
            film = gate.about()["likeliest held-out film"]
            yield (
                f"{gate.name}: only {planted['share']:.0%} of {planted['copies']} planted copies "
                f"are found, for the limit ({gate.limit.value:.3f}) is high: the held-out film "
                f"{film['film']} has similarity {film['similarity']:.3f} to the training image "
                f"{film['training image']}; if they are one film, leave it out of reference"
            )


def _thresholds(judges: Judges) -> dict[str, Threshold]:
    found = {gate.name: gate.limit for gate in judges.gates}
    if judges.duplicates is not None:
        found["duplicates"] = judges.duplicates
    return {name: found[name] for name in GATES if name in found}


def _gate(
    name: str, limit: Threshold, verdicts: Sequence[Verdict], judges: Judges
) -> dict[str, Any]:
    gate = next((gate for gate in judges.gates if gate.name == name), None)
    own = [v for v in verdicts if v.candidate.attempt == 0]
    drawn = [v for v in verdicts if v.candidate.attempt > 0]
    faults = Counter(v.faults[name] for v in own if name in v.faults)
    return {
        "definition": gate.definition if gate else duplicates.DEFINITION,
        "limit": limit.value,
        "false alarms at most": limit.guaranteed,
        "false alarms expected": limit.expected,
        "real patients": limit.patients,
        "judged of the set": sum(name in v.scores for v in own),
        "dropped of the set": sum(faults.values()),
        "judged of those drawn again": sum(name in v.scores for v in drawn),
        "dropped of those drawn again": sum(name in v.faults for v in drawn),
        "faults of the set": dict(faults.most_common()),
        **(gate.about() if gate else {}),
    }


def _agreement(
    config: ScreenConfig,
    auditor: Auditor | None,
    own: Sequence[Verdict],
    kept: Sequence[Verdict],
) -> dict[str, Any] | None:
    """Before, after, and of held-out real films, which are the ceiling."""
    if auditor is None:
        return None
    judge = "another network, which learnt from other patients than the proxy"
    if config.proxy.audit_share is None:
        judge = "the proxy itself, which chose the images: the share after screening flatters"
    result: dict[str, Any] = {"judge": judge, "definition": DEFINITION}
    for name, verdicts in (("before", own), ("after", kept)):
        if verdicts:
            calls = np.stack([verdict.calls for verdict in verdicts])
            result[name] = _plain(auditor.measure(calls[:, :-1], calls[:, -1]))
    result["held-out real films"] = _plain(auditor.measure(*auditor.real))
    return result


def _plain(value: Any) -> Any:
    if isinstance(value, Estimate):
        return asdict(value)
    return {key: _plain(inner) for key, inner in value.items()}


def _shortfall(screening: Screening) -> dict[str, Any]:
    """What was asked for and is kept, by what prompts ask."""
    asked: dict[str, Counter[str]] = {"findings": Counter(), "views": Counter()}
    kept: dict[str, Counter[str]] = {"findings": Counter(), "views": Counter()}
    prompts: Counter[str] = Counter()
    lacking: Counter[str] = Counter()
    for row, radiograph in enumerate(screening.rows.without_images()):
        present = {f.name for f in radiograph.findings if f.state == "present"}
        is_kept = row in screening.kept
        for kind, names in (("findings", present), ("views", {radiograph.view or "none"})):
            asked[kind].update(names)
            kept[kind].update(names if is_kept else ())
        prompts[radiograph.patient_id] += 1
        lacking[radiograph.patient_id] += not is_kept
    return {
        "prompts": len(prompts),
        "prompts that lack images": sum(n > 0 for n in lacking.values()),
        "prompts without any": sum(lacking[name] == n for name, n in prompts.items()),
        **{
            kind: {
                name: {"asked": n, "kept": kept[kind][name]} for name, n in sorted(counts.items())
            }
            for kind, counts in asked.items()
        },
    }


def page(config: ScreenConfig, summary: dict[str, Any]) -> str:
    """The summary as Markdown."""
    images = summary["images"]
    lines = [f"# Screening of {config.dataset}", ""]
    lines += _table(["images", "number"], [[key, str(n)] for key, n in images.items()])
    lines += ["", "## Gates", ""]
    heads = ["gate", "dropped", "of", "false alarms at most", "drawn again: dropped", "of"]
    lines += _table(
        heads,
        [
            [
                name,
                str(gate["dropped of the set"]),
                str(gate["judged of the set"]),
                _rate(gate),
                str(gate["dropped of those drawn again"]),
                str(gate["judged of those drawn again"]),
            ]
            for name, gate in summary["gates"].items()
        ],
    )
    faults = [
        [name, fault, str(n)]
        for name, gate in summary["gates"].items()
        for fault, n in gate["faults of the set"].items()
    ]
    if faults:
        lines += ["", "## What was wrong", ""]
        lines += _table(["gate", "fault", "images of the set"], _cut(faults))
    power = summary["gates"].get("labels", {}).get("wrong labels found")
    if power:
        lines += ["", "## What the labels gate can see", ""]
        lines += ["Of held-out real films with the other label, so many fail each check alone.", ""]
        found = [[k, f"{v['share']:.2f}", str(v["films"])] for k, v in power.items() if v["films"]]
        lines += _table(["check", "share found", "films"], found)
    planted = summary["gates"].get("copies", {}).get("planted copies found")
    if planted:
        lines += ["", "## What the copies gate can see", ""]
        lines += [
            f"Of {planted['copies']} copies made of training images (moved, of other contrast and "
            f"brightness, with noise) it finds {planted['share']:.1%}; the least similarity is "
            f"{planted['least similarity']:.3f}, the limit "
            f"{summary['gates']['copies']['limit']:.3f}."
        ]
    agreement = summary["agreement"]
    if agreement:
        lines += ["", "## Label agreement", "", f"Judged by {agreement['judge']}.", ""]
        columns = [n for n in _COLUMNS if n in agreement]
        shares = [key for key in agreement[columns[0]] if key != "by finding"]
        rows = [[key, *(_share(agreement[c][key]) for c in columns)] for key in shares]
        for name in agreement[columns[0]]["by finding"]:
            for state in ("present, seen", "absent, not seen"):
                cells = [_share(agreement[c]["by finding"][name][state]) for c in columns]
                rows.append([f"{name}: {state}", *cells])
        lines += _table(["", *columns], rows)
    lines += ["", "## Shortfall", "", *_shortfall_lines(summary)]
    if summary["notes"]:
        lines += ["", "## Notes", "", *(f"- {note}" for note in summary["notes"])]
    return "\n".join(lines) + "\n"


def _shortfall_lines(summary: dict[str, Any]) -> list[str]:
    told = summary["shortfall"]
    if not summary["images"]["lacking"]:
        return ["None: every row of the plan has an image."]
    rows = [
        [name, str(n["asked"]), str(n["kept"]), str(n["asked"] - n["kept"])]
        for kind in ("findings", "views")
        for name, n in told[kind].items()
        if n["kept"] < n["asked"]
    ]
    return [
        f"{told['prompts that lack images']} of {told['prompts']} prompts lack images, "
        f"{told['prompts without any']} have none (shortfall.csv).",
        "",
        *_table(["asked", "images", "kept", "lacking"], rows),
    ]


def _rate(gate: dict[str, Any]) -> str:
    """The rate of false alarms that is guaranteed, and the one that is expected if that is less."""
    expected = gate["false alarms expected"]
    more = "" if expected is None else f" ({expected:.2%} expected)"
    return f"{gate['false alarms at most']:.2%}{more}"


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
