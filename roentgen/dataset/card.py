"""Dataset card: the contents of a dataset, and its terms of use."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

SIMULATED = ("phantom", "synthetic")  # sources whose images show no patient
_SIZES = ("radiographs", "patients")


def dataset_card(
    name: str,
    counts: Mapping[str, Mapping[str, Any]],
    excluded: Mapping[str, int],
    licenses: Sequence[Mapping[str, Any]],
    text_lengths: Mapping[str, Any],
    about: Mapping[str, Sequence[str]],
    opening: str = "A radiograph dataset. Open it with `datasets.load_from_disk`.",
) -> str:
    """README.md of a dataset, from the manifest's counts by split and the like.

    `about`: further sections, the lines of each by its title; `opening`: what this folder is.
    """
    splits = list(counts)
    lines = [f"# {plain(name)}", "", opening]
    if notice := patients_notice(counts, licenses):
        lines += ["", f"**{notice}**"]
    lines += ["", "## Licenses and data use", ""]
    for item in licenses:
        terms = f"- {item['name']}: {sharing([item])}. {item['data_use'] or ''}"
        lines.append(plain(terms).rstrip())
    for title, section in about.items():
        lines += ["", f"## {title}", "", *(f"- {line}" for line in section)]
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
    parts = {
        key: [(word, split, n) for split in splits for word, n in counts[split][key].items()]
        for key in ("masks", "boxes", "reports", "sexes", "races")
    }
    ages = [
        (word, split, f"{counts[split]['ages'][word]:g}" if counts[split]["ages"] else "–")
        for split in splits
        for word in dict.fromkeys(word for s in splits for word in counts[s]["ages"])
    ]
    rows = [(what, split, counts[split][what]) for what in _SIZES for split in splits]
    for title, cells in (
        ("Radiographs", rows),
        ("Views", views),
        ("Findings", states),
        ("Masks", parts["masks"]),
        ("Boxes", parts["boxes"]),
        ("Sections of reports", parts["reports"]),
        ("Sex, where known", parts["sexes"]),
        ("Age in years, where known", ages),
        ("Race, where known", parts["races"]),
        ("Sources", sources),
    ):
        if cells:
            lines += ["", f"## {title}", "", *_table(cells, splits)]
    if text_lengths:
        lines += ["", "## Length of reports", "", *map(length_line, text_lengths.items())]
    lines += ["", "## Excluded", ""]
    lines += [f"- {number}: {plain(reason)}" for reason, number in excluded.items()] or ["Nothing."]
    return "\n".join(lines) + "\n"


def patients_notice(
    counts: Mapping[str, Mapping[str, Any]], licenses: Sequence[Mapping[str, Any]]
) -> str | None:
    """Notice that a folder holds patients' images or words; None where there are none.

    `counts` are those of a dataset's manifest, by split.
    """
    images = sum(
        source["radiographs"]
        for split in counts.values()
        for source in split["sources"]
        if source["source"] not in SIMULATED
    )
    if not images:
        return None
    reports = " and words of their reports" if any(s["reports"] for s in counts.values()) else ""
    return f"This holds {images} radiographs of patients{reports}: it {sharing(licenses)}."


def sharing(licenses: Iterable[Mapping[str, Any]]) -> str:
    """Whether what these licenses cover may be passed on, in words."""
    if all(terms["may_share"] for terms in licenses):
        return "may be passed on"
    return "must not be passed on"


def plain(text: str) -> str:
    """A foreign text on one line of Markdown, without HTML, links or code."""
    line = " ".join(text.split())
    return re.sub(r"[`\[\]<>&]", lambda sign: f"&#{ord(sign[0])};", line)


def length_line(section: tuple[str, Mapping[str, Any]]) -> str:
    """A section's length in words: ("impression", {"median": 21, ...})."""
    name, length = section
    return (
        f"- {name}: {length['texts']} texts, median {length['median']} tokens, longest "
        f"{length['longest']}; {100 * length['beyond'] / length['texts']:.1f} % are beyond "
        f"{length['limit']} tokens"
    )


def _table(cells: Sequence[tuple[str, str, int | str]], splits: Sequence[str]) -> list[str]:
    """Markdown lines of (row, split, number) cells, a column a split."""
    numbers = {(row, split): number for row, split, number in cells}
    rows = dict.fromkeys(row for row, _, _ in cells)
    lines = [f"| | {' | '.join(splits)} |", f"|---|{'---:|' * len(splits)}"]
    for row in rows:
        values = " | ".join(str(numbers.get((row, split), 0)) for split in splits)
        lines.append(f"| {plain(row).replace('|', '/')} | {values} |")
    return lines
