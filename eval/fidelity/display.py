"""How fidelity is shown: its definition, tables, plots and lines of the summary."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from eval.fidelity.config import FidelityConfig
from eval.fidelity.distances import CURVE_PARTS, FLOOR
from eval.fidelity.groups import GroupDistances
from eval.fidelity.softness import DEFINITION as SOFTNESS
from eval.report.plots import Plot, dots, lines
from eval.report.section import Cell, Line, Table
from roentgen.metrics.estimates import Estimate
from roentgen.metrics.features.fid_extrapolation import GROUPS, MOST_PARTS

Numbers = Mapping[str, Mapping[str, Any]]  # by extractor
REFERENCES = (
    "Heusel et al., GANs trained by a two time-scale update rule converge to a local Nash "
    "equilibrium, NeurIPS 2017 (FID).",
    "Chong and Forsyth, Effectively unbiased FID and Inception score, CVPR 2020 (FID "
    "extrapolated in n).",
    "Bińkowski et al., Demystifying MMD GANs, ICLR 2018 (KID).",
    "Kynkäänniemi et al., Improved precision and recall metric for assessing generative "
    "models, NeurIPS 2019.",
    "Naeem et al., Reliable fidelity and diversity metrics for generative models, ICML 2020 "
    "(density and coverage).",
    "Jayasumana et al., Rethinking FID: towards a better evaluation metric for image "
    "generation, CVPR 2024 (CMMD).",
)
REAL = "floor: real train films"
MEASURES = {
    "fid": "FID",
    "excess": "Excess over the floor",
    "excess_lost": "Share of excess lost",
    "fid_extrapolated": "FID, extrapolated",
    "kid": "KID",
    "cmmd": "CMMD",
    "precision": "Precision",
    "recall": "Recall",
    "density": "Density",
    "coverage": "Coverage",
}


def definition(
    section: FidelityConfig,
    found: Numbers,
    soft: Mapping[str, Any],
    described: Mapping[str, str],
    size: int,
) -> tuple[str, ...]:
    """What was measured, on what, at which n."""
    first = next(iter(found.values()))
    return (
        f"Distances of features to those of {first['n_reference']} held-out real films; images are "
        f"{size}x{size}. " + "; ".join(f"{label}: {text}" for label, text in described.items()),
        "FID (Heusel et al. 2017) of few images is biased upwards, and neighbourhoods shrink with "
        f"more images, so every set and the floor are compared at the same n = {first['n']} with "
        "the same held-out films; FID of a set with more images is the mean of "
        f"{section.subsets} random subsets of n, all else is of the first subset. The floor is "
        "real films of the train split, which share no patient with the held-out ones.",
        f"95 % interval: 1.96 standard deviations over {section.bootstrap} bootstrap resamples of "
        "patients and prompts on both sides, paired between sets (resampling with repeats raises "
        "FID itself, so its spread is used and not its level).",
        "FID, extrapolated to infinitely many images on both sides: the bias falls as 1/n (Chong "
        f"and Forsyth 2020), so the mean FID of k parts of a set, k = 1 to {MOST_PARTS} while "
        "parts have as many images as the features dimensions, is followed to k = 0, in both sets. "
        f"Interval: 1.96 standard deviations of a jackknife over {GROUPS} groups of patients.",
        "KID (Binkowski et al. 2018): squared MMD with the kernel (x.y / d + 1)^3, unbiased at any "
        "n, over all pairs and not over subsets. CMMD (Jayasumana et al. 2024): 1000 times the "
        "squared MMD of CLIP's embeddings with a Gaussian kernel, sigma 10.",
        "Precision and recall (Kynkäänniemi et al. 2019), density and coverage (Naeem et al. "
        f"2020), k = {section.neighbours}: precision is the share of synthetic images within real "
        "films' neighbourhoods, recall that of real films within synthetic images'; density "
        "counts how many neighbourhoods an image is in (1 for equal distributions), coverage the "
        "share of real neighbourhoods that hold a synthetic image. Their intervals keep the "
        "neighbourhoods and resample who is counted.",
        "Halves: FID between halves of the held-out films that share no patient, and of as many "
        f"train films to such a half, means over {section.subsets} cuts. Where the second is well "
        "above the first, the splits differ and the floor is too high.",
        "Groups (findings that are present, views, sex, age bands, race): within each kind of "
        "group all sets have the same n, and so have the held-out films; a group needs "
        f"{section.group_images} in each, and of more than {section.group_most} so many are drawn. "
        "FID's interval is a jackknife's. Compare a set's FID with the floor of its group.",
        SOFTNESS.format(**soft),
    )


def summary(found: Numbers, soft: Mapping[str, Any], names: Sequence[str]) -> tuple[Line, ...]:
    """FID, KID, coverage and the loss of excess on the first extractor, and softness."""
    label, first = next(iter(found.items()))

    def line(measure: str, key: str) -> Line:
        values = first[key]
        return Line(
            measure=measure, sets={name: values[name] for name in names}, real=values[FLOOR]
        )

    lines_of = [
        line(f"FID on {label} (lower is closer)", "fid"),
        line("KID (0 is as close as real films)", "kid"),
        line("Coverage of real films (higher is better)", "coverage"),
    ]
    if first["excess_lost"]:
        lost = Line(measure="Share of the first set's excess FID lost", sets=first["excess_lost"])
        lines_of.append(lost)
    share = soft["share"]
    lines_of.append(
        Line(
            measure="Softer than films (share)",
            sets={name: share[name] for name in names},
            real=share[FLOOR],
        )
    )
    return tuple(lines_of)


def tables(found: Numbers, soft: Mapping[str, Any]) -> tuple[Table, ...]:
    """For each extractor: all distances, FID by n, groups; the halves of all, and softness."""
    result = []
    for k, (label, numbers) in enumerate(found.items()):
        suffix = "" if k == 0 else f"-{_file(label)}"
        result += [
            _distances(f"fidelity{suffix}", label, numbers),
            _by_n(f"fidelity-by-n{suffix}", label, numbers),
            _groups(f"fidelity-groups{suffix}", label, numbers),
        ]
    halves = Table(
        name="fidelity-halves",
        caption="FID between real films of other patients",
        columns=("Extractor", "Half of held-out to other half", "Train films to that half"),
        rows=tuple(
            (label, numbers["halves"]["within"], numbers["halves"]["across"])
            for label, numbers in found.items()
        ),
    )
    softness = Table(
        name="fidelity-softness",
        caption=f"Images softer than films (detail below {soft['least_detail']:.3f})",
        columns=("Set", "Share"),
        rows=tuple((_shown(name), share) for name, share in soft["share"].items()),
    )
    return (*result, halves, softness)


def plots(found: Numbers) -> tuple[Plot, ...]:
    """FID of each set, and by how many images, on the first extractor."""
    first = next(iter(found.values()))
    made = (
        dots(
            {_shown(name): {"FID": estimate} for name, estimate in first["fid"].items()},
            "FID to held-out real films, with 95 % intervals; lower is closer.",
        ),
        lines(
            {
                _shown(name): (
                    [point["n"] for point in points],
                    [Estimate(value=point["fid"], n=point["n"]) for point in points],
                )
                for name, points in first["fid_by_n"].items()
            },
            "FID by how many images it is taken of, the held-out films being the same: its bias.",
            x_label="images",
            y_label="FID",
            log_x=True,
        ),
    )
    return tuple(plot for plot in made if plot is not None)


def _distances(name: str, label: str, numbers: Mapping[str, Any]) -> Table:
    return Table(
        name=name,
        caption=f"Distance to {numbers['n_reference']} held-out real films on {label}, "
        f"d = {numbers['extractor']['dimension']}",
        columns=("Set", *MEASURES.values()),
        rows=tuple(
            (_shown(item), *(numbers[key].get(item) for key in MEASURES)) for item in numbers["fid"]
        ),
    )


def _by_n(name: str, label: str, numbers: Mapping[str, Any]) -> Table:
    curves: Mapping[str, Sequence[Mapping[str, Any]]] = numbers["fid_by_n"]
    longest = max(curves.values(), key=len)
    rows: list[tuple[Cell, ...]] = [
        (str(point["n"]), *(points[k]["fid"] for points in curves.values()))
        for k, point in enumerate(longest)
    ]
    return Table(
        name=name,
        caption=f"FID on {label} by how many images it is taken of ({CURVE_PARTS} parts at most)",
        columns=("Images", *(_shown(item) for item in curves)),
        rows=tuple(rows),
    )


def _groups(name: str, label: str, numbers: Mapping[str, Any]) -> Table:
    sets = list(numbers["fid"])
    groups: Mapping[str, Mapping[str, GroupDistances]] = numbers["groups"]
    columns = [f"{measure}: {_shown(item)}" for measure in ("FID", "KID") for item in sets]
    return Table(
        name=name,
        caption=f"Distances within groups on {label}",
        columns=("Group", "Images", "Held-out films", *columns),
        rows=tuple(row for attribute, of in groups.items() for row in _rows(attribute, of, sets)),
    )


def _rows(
    attribute: str, of: Mapping[str, GroupDistances], sets: Sequence[str]
) -> Iterator[tuple[Cell, ...]]:
    for group, found in of.items():
        distances = (values[item] for values in (found.fid, found.kid) for item in sets)
        yield f"{attribute}: {group}", found.n, found.n_reference, *distances
    if not of:
        blank = [None] * 2 * len(sets)
        yield f"{attribute}: not known of any held-out film", 0, 0, *blank


def _shown(name: str) -> str:
    return REAL if name == FLOOR else name


def _file(label: str) -> str:
    """A label as a part of a file name."""
    return "".join(letter if letter.isalnum() else "-" for letter in label.lower())
