"""The dataset card: what a dataset holds, and the terms it may be used under."""

from collections.abc import Mapping, Sequence
from typing import Any


def dataset_card(
    name: str,
    counts: Mapping[str, Mapping[str, Any]],
    left_out: Mapping[str, int],
    licenses: Sequence[Mapping[str, Any]],
) -> str:
    """README.md of a dataset, from the manifest's `counts` by split and `left_out` by reason."""
    splits = list(counts)
    lines = [f"# {name}", "", "A radiograph dataset. Open it with `datasets.load_from_disk`."]
    lines += ["", "## Licences and data use", ""]
    for item in licenses:
        sharing = "may be passed on" if item["may_share"] else "must not be passed on"
        lines.append(f"- {item['name']}: {sharing}. {item['data_use'] or ''}".rstrip())
    sources = [
        (f"{source['source']} ({source['license']})", split, source["radiographs"])
        for split in splits
        for source in counts[split]["sources"]
    ]
    views = [(v, s, n) for s in splits for v, n in counts[s]["views"].items()]
    states = [
        (f"{finding}, {state}", split, number)
        for split in splits
        for finding, by_state in counts[split]["findings"].items()
        for state, number in by_state.items()
    ]
    masks = [(m, s, n) for s in splits for m, n in counts[s]["masks"].items()]
    rows = [("radiographs", split, counts[split]["radiographs"]) for split in splits]
    for title, cells in (
        ("Radiographs", rows),
        ("Views", views),
        ("Findings", states),
        ("Masks", masks),
        ("Sources", sources),
    ):
        if cells:
            lines += ["", f"## {title}", "", *_table(cells, splits)]
    lines += ["", "## Left out", ""]
    lines += [f"- {number}: {reason}" for reason, number in left_out.items()] or ["Nothing."]
    return "\n".join(lines) + "\n"


def _table(cells: Sequence[tuple[str, str, int]], splits: Sequence[str]) -> list[str]:
    """Markdown lines of (row, split, number) cells, a column a split."""
    numbers = {(row, split): number for row, split, number in cells}
    rows = dict.fromkeys(row for row, _, _ in cells)
    lines = [f"| | {' | '.join(splits)} |", f"|---|{'---:|' * len(splits)}"]
    for row in rows:
        values = " | ".join(str(numbers.get((row, split), 0)) for split in splits)
        lines.append(f"| {row.replace('|', '/')} | {values} |")
    return lines
