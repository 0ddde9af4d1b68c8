"""Labels of statements: findings as prompts write them, and a row of CheXpert's 14 labels."""

from collections.abc import Iterable, Sequence

from roentgen.record.radiograph import (
    FINDING_NAMES,
    SEVERITIES,
    Finding,
    FindingName,
    Severity,
    Side,
    State,
)
from roentgen.statements.hierarchy import (
    ancestors,
    close,
    findings,
    labels_of,
    places,
    require_place,
)
from roentgen.statements.statement import STATEMENT_STATES, Extent, Statement, StatementState

# The first that any mention of a finding has decides over a report.
_ORDER: tuple[State, ...] = ("present", "uncertain", "absent")
_NEVER_SIDED: tuple[FindingName, ...] = ("Cardiomegaly", "Enlarged Cardiomediastinum")
_VALUES: dict[State, float] = {"present": 1, "absent": 0, "uncertain": -1}


def findings_of(statements: Iterable[Statement]) -> tuple[Finding, ...]:
    """The findings of a report's statements, in the order of the 14 names, without "No Finding".

    Over all statements of a name present outweighs uncertain and uncertain outweighs absent; stable
    ones give none. There is one Finding for each noun of the grammar ("nodule", "mass"), one for
    mentions without such a noun if they are the only ones or give a side, severity or place, and
    one for each side where severity or place differ. Raises InputError for an unknown finding.
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
    general = by_noun.get(None, [])
    if len(by_noun) > 1 and (name == "Support Devices" or set(general) <= {Extent()}):
        by_noun.pop(None, None)
    return [
        Finding(name=name, state=state, side=side, severity=severity, detail=detail)
        for noun, extents in by_noun.items()
        for side, severity, detail in _sides(name, noun, extents)
    ]


def _noun(name: FindingName, node: str) -> str | None:
    """The grammar's noun for a finding, or else for the nearest above it; None if there is none."""
    words = (n for n in (node, *ancestors(node)) if findings()[n].in_prompts)
    return next((noun for noun in words if labels_of(noun) == (name,)), None)


def _sides(
    name: FindingName, noun: str | None, extents: Sequence[Extent]
) -> list[tuple[Side | None, Severity | None, str | None]]:
    """(side, severity, detail) of each side that differs from the other.

    What is given without a side is of the one that is named, and of both where neither has its own.
    """
    sides: list[Side] = [s for s in ("left", "right") if any(e.side == s for e in extents)]
    if not sides or name in _NEVER_SIDED:
        return [(None, _largest(extents), _detail(noun, extents))]
    general = [extent for extent in extents if extent.side is None]
    own = {side: [extent for extent in extents if extent.side == side] for side in sides}
    alone = len(sides) == 1
    with_severity = alone or not any(_largest(given) for given in own.values())
    with_places = alone or not any(e.places for given in own.values() for e in given)
    described = {
        side: (
            _largest([*given, *(general if with_severity else ())]),
            _detail(noun, [*given, *(general if with_places else ())]),
        )
        for side, given in own.items()
    }
    if len(sides) > 1 and len(set(described.values())) == 1:
        return [("bilateral", *described["left"])]
    return [(side, *described[side]) for side in sides]


def _largest(extents: Iterable[Extent]) -> Severity | None:
    severities = [extent.severity for extent in extents if extent.severity]
    return max(severities, key=SEVERITIES.index, default=None)


def _detail(noun: str | None, extents: Iterable[Extent]) -> str | None:
    """The place, if it is one that prompts name, and the noun; several places are omitted."""
    named = dict.fromkeys(_place(place) for extent in extents for place in extent.places)
    found = [place for place in named if place]
    exact = [p for p in found if not any(p in ancestors(other) for other in found)]
    words = [*(exact if len(exact) == 1 else ()), *([noun] if noun else ())]
    return " ".join(words) or None


def _place(place: str) -> str | None:
    """The grammar's word for a place, or else for the nearest above it; None if there is none."""
    words = (place, *ancestors(require_place(place).name))
    return next((word for word in words if places()[word].in_prompts), None)
