"""Labels of statements: findings as prompts write them, and a row of CheXpert's 14 labels."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from roentgen.record.finding import FINDING_NAMES, Finding, FindingName, Severity, Side, State
from roentgen.record.statement import STATEMENT_STATES, Extent, Statement, StatementState
from roentgen.statements.hierarchy import (
    ancestors,
    close,
    findings,
    labels_of,
    places,
    require_place,
)
from roentgen.statements.merged_extents import merged_extents

# The first that any mention of a finding has decides over a report.
_ORDER: tuple[State, ...] = ("present", "uncertain", "absent")
NEVER_SIDED: tuple[FindingName, ...] = ("Cardiomegaly", "Enlarged Cardiomediastinum")
_FEWEST_DENIED = 2  # findings, from which a report that names nothing present is normal
_VALUES: dict[State, float] = {"present": 1, "absent": 0, "uncertain": -1}


def findings_of(statements: Iterable[Statement]) -> tuple[Finding, ...]:
    """The findings of a report's statements, in the order of the 14 names, without "No Finding".

    Over all statements of a name present outweighs uncertain and uncertain outweighs absent; stable
    ones give none. There is one Finding for each noun of the grammar ("nodule", "mass"), one for
    mentions without such a noun if they say more than those with one (but for devices), and one for
    each side where severities differ. Raises InputError for an unknown finding.
    """
    by_name: dict[FindingName, list[Statement]] = {}
    for statement in statements:
        for name in labels_of(statement.finding):
            by_name.setdefault(name, []).append(statement)
    return tuple(
        finding
        for name in FINDING_NAMES
        if name in by_name
        for finding in _findings(name, by_name[name])
    )


def with_no_finding(findings: Sequence[Finding], *, normal: bool = False) -> tuple[Finding, ...]:
    """Findings that a report states with "No Finding" where it is normal, in the order of names.

    "No Finding" is present where no finding other than Support Devices is present or uncertain, and
    several are absent or the report calls chest or lungs `normal`.
    """
    states = {f.name: f.state for f in findings if f.name != "Support Devices"}
    if not set(states.values()) <= {"absent"} or not (normal or len(states) >= _FEWEST_DENIED):
        return tuple(findings)
    named = (*findings, Finding(name="No Finding"))
    return tuple(sorted(named, key=lambda finding: FINDING_NAMES.index(finding.name)))


def chexpert_row(
    statements: Iterable[Statement], *, closed: bool = False
) -> dict[FindingName, float | None]:
    """CheXpert's row of a report: 1 present, 0 absent, -1 uncertain, None stable or not mentioned.

    `closed`: as the states follow from each other in the hierarchy (`hierarchy.close`); the denial
    of a kind ("no nodule") is then none of its label. "No Finding" is None: only a reader of the
    report knows it. Raises InputError for an unknown finding.
    """
    statements = list(statements)
    row: dict[FindingName, float | None] = dict.fromkeys(FINDING_NAMES)
    if closed:
        by_node: dict[str, StatementState] = {}
        for statement in statements:
            known = by_node.get(statement.finding, "stable")
            by_node[statement.finding] = min(known, statement.state, key=STATEMENT_STATES.index)
        states = close(by_node)
        labels = [(node.label, states.get(name)) for name, node in findings().items()]
    else:
        labels = [(finding.name, finding.state) for finding in findings_of(statements)]
    return row | {
        label: _VALUES[state]
        for label, state in labels
        if label is not None and state is not None and state != "stable"
    }


def _findings(name: FindingName, statements: Sequence[Statement]) -> list[Finding]:
    """The findings of all statements of a name, in the state that decides."""
    mentioned = {statement.state for statement in statements}
    state = next((state for state in _ORDER if state in mentioned), None)
    if state is None:
        return []
    if state == "absent":  # "no large effusion" does not give the side of a small one
        return [Finding(name=name, state=state)]
    by_noun: dict[str | None, list[Extent]] = {}
    for statement in statements:
        if statement.state == state:
            by_noun.setdefault(_noun(name, statement.finding), []).extend(statement.extents)
    described = {
        noun: [
            Finding(name=name, state=state, side=side, severity=severity, detail=detail)
            for side, severity, detail in _sides(name, noun, extents)
        ]
        for noun, extents in by_noun.items()
    }
    special = [finding for noun, own in described.items() if noun for finding in own]
    return [
        finding
        for noun, own in described.items()
        for finding in own
        if noun or not any(name == "Support Devices" or _implies(s, finding) for s in special)
    ]


def _implies(special: Finding, general: Finding) -> bool:
    """Whether a finding with a noun says all that one without it does."""
    return (
        (general.side in (None, special.side) or special.side == "bilateral")
        and general.severity in (None, special.severity)
        and (general.detail is None or (special.detail or "").startswith(f"{general.detail} "))
    )


def _noun(name: FindingName, node: str) -> str | None:
    """The grammar's noun for a finding, or else for the nearest above it; None if there is none."""
    words = (n for n in (node, *ancestors(node)) if findings()[n].in_prompts)
    return next((noun for noun in words if labels_of(noun) == (name,)), None)


def _sides(
    name: FindingName, noun: str | None, extents: Sequence[Extent]
) -> list[tuple[Side | None, Severity | None, str | None]]:
    """(side, severity, detail) of each side, or of both if they have one severity."""
    if name in NEVER_SIDED:
        extents = [replace(extent, side=None) for extent in extents]
    merged = merged_extents(extents)
    described = [(extent.severity, _detail(noun, extent)) for extent in merged]
    severities = {severity for severity, _ in described}
    if len(merged) > 1 and len(severities) == 1:  # a place is kept if both sides have it
        details = {detail for _, detail in described}
        return [("bilateral", severities.pop(), details.pop() if len(details) == 1 else noun)]
    return [(extent.side, *words) for extent, words in zip(merged, described, strict=True)]


def _detail(noun: str | None, extent: Extent) -> str | None:
    """The place, if it is one that prompts name, and the noun; several places are omitted."""
    named = prompt_places(extent.places)
    words = [*(named if len(named) == 1 else ()), *([noun] if noun else ())]
    return " ".join(words) or None


def prompt_places(names: Iterable[str]) -> tuple[str, ...]:
    """The grammar's words for places, or for the nearest above each, without those above others.

    Raises InputError for an unknown place.
    """
    found = dict.fromkeys(word for name in names if (word := _prompt_place(name)))
    return tuple(p for p in found if not any(p in ancestors(other) for other in found))


def _prompt_place(name: str) -> str | None:
    words = (name, *ancestors(require_place(name).name))
    return next((word for word in words if places()[word].in_prompts), None)
