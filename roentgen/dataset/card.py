"""Dataset card: the contents of a dataset, how to open it, and its terms of use."""

from collections.abc import Mapping, Sequence
from typing import Any

from roentgen.cards.hub_license import license_header, license_lines, sharing
from roentgen.cards.markdown import PLACE, bullets, card_text, code, plain, table

SIMULATED = ("phantom", "synthetic")  # sources whose images show no patient
_SIZES = ("radiographs", "patients")
_SIZE_NAMES = ("n<1K", "1K<n<10K", "10K<n<100K", "100K<n<1M", "1M<n<10M")  # of the hub
_NOT_FOR_DIAGNOSIS = (
    "**For research and teaching only, not for diagnosis.** {} of {} images are simulated or "
    "synthetic: they show no patient."
)
_USE = (
    "With `datasets` alone, all splits, which share no patient:",
    "",
    *code(
        "python",
        "from datasets import load_dataset",
        "",
        f'dataset = load_dataset("{PLACE}")  # a DatasetDict of all splits',
        "radiograph = next(iter(dataset.values()))[0]",
        'radiograph["image"].save("radiograph.png")',
        'print(radiograph["view"], radiograph["findings"], radiograph["report"])',
    ),
    "",
    "With `roentgen-cxr`, which verifies what it reads:",
    "",
    *code(
        "python",
        "from roentgen import open_dataset",
        "",
        f'dataset = open_dataset("{PLACE}")',
        "split = dataset.split(dataset.splits[0])",
        "print(len(split), split[0].view, split[0].findings)",
    ),
)


def dataset_card(
    name: str,
    counts: Mapping[str, Mapping[str, Any]],
    excluded: Mapping[str, int],
    licenses: Sequence[Mapping[str, Any]],
    text_lengths: Mapping[str, Any],
    about: Mapping[str, Sequence[str]],
    *,
    opening: str = "A radiograph dataset.",
    arrow_bytes: Mapping[str, int] | None = None,
    picture: str | None = None,
) -> str:
    """README.md of a dataset, from the manifest's counts by split and the like.

    `about`: further sections, the lines of each by its title; `opening`: what this folder is;
    `arrow_bytes`: the size of each split's Arrow files, which `datasets` opens, None for another
    layout; `picture`: the name of a contact sheet.
    """
    splits = list(counts)
    lines = [f"# {plain(name)}", "", opening]
    if notice := patients_notice(counts, licenses):
        lines += ["", f"**{notice}**"]
    sources = _by_source(counts)
    if made := sum(n for source, n in sources.items() if source in SIMULATED):
        lines += ["", _NOT_FOR_DIAGNOSIS.format(made, sum(sources.values()))]
    if picture:
        lines += ["", f"![Some of the radiographs, with view and findings]({picture})"]
    if arrow_bytes:
        lines += ["", "## Use", "", *_USE]
    lines += ["", "## Licenses and data use", "", *license_lines(licenses)]
    for title, section in about.items():
        lines += ["", f"## {title}", "", *bullets(section)]
    by_source = [
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
        for key in ("statements", "masks", "boxes", "reports", "sexes", "races")
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
        ("Radiographs with statements, by their reader", parts["statements"]),
        ("Masks", parts["masks"]),
        ("Boxes", parts["boxes"]),
        ("Sections of reports", parts["reports"]),
        ("Sex, where known", parts["sexes"]),
        ("Age in years, where known", ages),
        ("Race, where known", parts["races"]),
        ("Sources", by_source),
    ):
        if cells:
            lines += ["", f"## {title}", "", *_counts_table(cells, splits)]
    if text_lengths:
        lines += ["", "## Length of reports", "", *map(length_line, text_lengths.items())]
    lines += ["", "## Excluded", ""]
    lines += [f"- {number}: {plain(reason)}" for reason, number in excluded.items()] or ["Nothing."]
    return card_text(_header(name, counts, licenses, arrow_bytes or {}), lines)


def _header(
    name: str,
    counts: Mapping[str, Mapping[str, Any]],
    licenses: Sequence[Mapping[str, Any]],
    arrow_bytes: Mapping[str, int],
) -> dict[str, Any]:
    total = sum(split["radiographs"] for split in counts.values())
    sources = _by_source(counts)
    tasks = ["text-to-image"]
    tasks += ["image-classification"] if any(split["findings"] for split in counts.values()) else []
    tasks += ["image-segmentation"] if any(split["masks"] for split in counts.values()) else []
    tags = ["chest-x-ray", "radiology", "medical"]
    tags += ["synthetic"] if "synthetic" in sources else []
    tags += ["simulated"] if "phantom" in sources else []
    header: dict[str, Any] = {
        "pretty_name": name,
        **license_header(licenses),
        "task_categories": tasks,
        "tags": tags,
        "size_categories": [_SIZE_NAMES[min(max(len(str(total)) - 3, 0), len(_SIZE_NAMES) - 1)]],
    }
    if arrow_bytes:
        files = [{"split": split, "path": f"{split}/*.arrow"} for split in arrow_bytes]
        sizes = [
            {"name": split, "num_bytes": size, "num_examples": counts[split]["radiographs"]}
            for split, size in arrow_bytes.items()
        ]
        header["configs"] = [{"config_name": "default", "data_files": files}]
        header["dataset_info"] = {"splits": sizes}
    return header


def _by_source(counts: Mapping[str, Mapping[str, Any]]) -> dict[str, int]:
    """The number of radiographs of each source."""
    found: dict[str, int] = {}
    for split in counts.values():
        for source in split["sources"]:
            found[source["source"]] = found.get(source["source"], 0) + source["radiographs"]
    return found


def patients_notice(
    counts: Mapping[str, Mapping[str, Any]], licenses: Sequence[Mapping[str, Any]]
) -> str | None:
    """Notice that a folder holds patients' images or words; None where there are none.

    `counts` are those of a dataset's manifest, by split.
    """
    images = sum(n for source, n in _by_source(counts).items() if source not in SIMULATED)
    if not images:
        return None
    reports = " and words of their reports" if any(s["reports"] for s in counts.values()) else ""
    return f"This holds {images} radiographs of patients{reports}: it {sharing(licenses)}."


def length_line(section: tuple[str, Mapping[str, Any]]) -> str:
    """A section's length in words: ("impression", {"median": 21, ...})."""
    name, length = section
    return (
        f"- {name}: {length['texts']} texts, median {length['median']} tokens, longest "
        f"{length['longest']}; {100 * length['beyond'] / length['texts']:.1f} % are beyond "
        f"{length['limit']} tokens"
    )


def _counts_table(cells: Sequence[tuple[str, str, int | str]], splits: Sequence[str]) -> list[str]:
    """A table of (row, split, number) cells, a column a split."""
    numbers = {(row, split): number for row, split, number in cells}
    rows = dict.fromkeys(row for row, _, _ in cells)
    lines = ([row, *(numbers.get((row, split), 0) for split in splits)] for row in rows)
    return table(["", *splits], lines)
