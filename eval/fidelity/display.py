"""Fidelity display: its methods, tables, plots and summary lines."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from eval.config import FidelityConfig
from eval.fidelity import sharpness_display
from eval.fidelity.scores import CURVE_PARTS, FLOOR
from eval.fidelity.subgroup_distances import SubgroupDistances
from eval.fidelity.two_sample import FOLDS, PENALTY
from eval.report.plots import Plot, dots, lines
from eval.report.section import (
    FLOOR_LABEL,
    Better,
    Cell,
    SummaryLine,
    Table,
    cell_text,
    measured_keys,
)
from eval.report.verdict import Verdict, status_excess
from roentgen.metrics.estimates import Estimate, NotMeasured
from roentgen.metrics.features.fid_at_n import JACKKNIFE_GROUPS, MOST_PARTS

Numbers = Mapping[str, Mapping[str, Any]]  # by extractor
REFERENCES = {  # sources, each with the key of what is measured
    "Heusel et al., GANs trained by a two time-scale update rule converge to a local Nash"
    " equilibrium, NeurIPS 2017 (FID).": "fid",
    "Chong and Forsyth, Effectively unbiased FID and Inception score, CVPR 2020 (FID "
    "extrapolated in n).": "fid_extrapolated",
    "Bińkowski et al., Demystifying MMD GANs, ICLR 2018 (KID).": "kid",
    "Kynkäänniemi et al., Improved precision and recall metric for assessing generative "
    "models, NeurIPS 2019.": "recall",
    "Naeem et al., Reliable fidelity and diversity metrics for generative models, ICML "
    "2020 (density and coverage).": "coverage",
    "Lopez-Paz and Oquab, Revisiting classifier two-sample tests, ICLR 2017.": "two_sample",
    "Jayasumana et al., Rethinking FID: towards a better evaluation metric for image "
    "generation, CVPR 2024 (CMMD).": "cmmd",
}

CHANCE = 0.5  # of the two-sample test
_TOLD = 0.1  # AUROC above chance that an interval must exclude before images count as not told
CMMD_METHODS = (
    "CMMD (Jayasumana et al. 2024): 1000 times the squared MMD of CLIP's embeddings with a "
    "Gaussian kernel, sigma 10."
)
MEASURES = {  # rows of the first table
    "fid": "FID",
    "excess": "Excess over the floor",
    "gap_closed": "Share of the FID gap closed",
    "fid_extrapolated": "FID, extrapolated",
    "kid": "KID",
    "cmmd": "CMMD",
    "precision": "Precision",
    "recall": "Recall",
    "density": "Density",
    "coverage": "Coverage",
    "two_sample": "Two-sample AUROC",
}
_BETTER: dict[str, Better] = {
    **dict.fromkeys(("fid", "excess", "fid_extrapolated", "kid", "cmmd"), "lower"),
    "two_sample": "closer",
}


TWO_DATASETS = (
    "The train split is of another dataset than the held-out radiographs: the floor includes the "
    "shift between the two, and a set may be below it. What a set of the held-out radiographs' own "
    'dataset reaches is lower: "half of held-out to other half" among the halves, the tighter '
    "floor, against the train split to that half, at the same n."
)


def methods(
    settings: FidelityConfig,
    found: Numbers,
    sharpness: Mapping[str, Any],
    described: Mapping[str, str],
    size: int,
) -> tuple[str, ...]:
    """What was measured, on what, at which n."""
    first = next(iter(found.values()))
    return (
        f"Distances of features to those of {first['n_reference']} held-out radiographs; "
        f"images are {size}x{size}. "
        + "; ".join(f"{label}: {text}" for label, text in described.items()),
        "FID (Heusel et al. 2017) of few images is biased upwards, and neighborhoods shrink with "
        f"more images, so every set and the floor are compared at the same n = {first['n']} with "
        "the same held-out radiographs; FID of a larger set is the mean of "
        f"{settings.subsets} random subsets of n, all else is of the first subset. The floor is "
        "radiographs of the train split, which share no patient with the held-out ones.",
        f"95% interval: 1.96 standard deviations over {settings.bootstrap} bootstrap resamples of "
        "patients and prompts on both sides, paired between sets (resampling with replacement "
        "raises FID itself, so its spread is used and not its level).",
        "FID, extrapolated to infinitely many images on both sides: the bias falls as 1/n (Chong "
        f"and Forsyth 2020), so the mean FID of k parts of a set, k = 1 to {MOST_PARTS} while "
        "parts have at least as many images as the features have dimensions, is extrapolated to "
        "k = 0, in both sets. Interval: 1.96 standard deviations of a jackknife over "
        f"{JACKKNIFE_GROUPS} groups of patients.",
        "KID (Binkowski et al. 2018): squared MMD with the kernel (x.y / d + 1)^3, unbiased at any "
        "n, over all pairs and not over subsets; below 0, it is given as 0.",
        *[CMMD_METHODS] * ("cmmd" in measured_keys(found)),
        "Precision and recall (Kynkäänniemi et al. 2019), density and coverage (Naeem et al. "
        f"2020), k = {settings.neighbors}: precision is the share of synthetic images within "
        "radiographs' neighborhoods, recall that of radiographs within synthetic images'; "
        "density is the mean number of neighborhoods that contain an image, over k (1 for equal "
        "distributions), coverage the share of the radiographs' neighborhoods that contain a "
        "synthetic image. Their intervals fix the neighborhoods and resample the images that are "
        "counted; those of shares are Wilson's at the effective sample size (Korn and Graubard "
        "1998).",
        "Halves: FID between halves of the held-out radiographs that share no patient, and of as "
        f"many train radiographs to such a half, means over {settings.subsets} splits. If the "
        "second is well above the first, the two splits differ and the floor is too high.",
        "Subgroups (findings that are present, views, sex, age bands, race): within each attribute "
        "all sets have the same n, and so have the held-out radiographs; a subgroup needs "
        f"{settings.min_subgroup_patients} patients in each, and more than "
        f"{settings.max_subgroup_images} images are sampled down. FID's interval is a jackknife's. "
        "Compare a set's FID with the floor of its subgroup.",
        f"Two-sample test (Lopez-Paz and Oquab 2017): logistic regression on the features, penalty "
        f"{PENALTY:g}, tells a set from the held-out radiographs in {FOLDS} folds of patients and "
        "prompts; mean AUROC of the folds, 0.5 if nothing tells them apart. Interval: bootstrap of "
        "patients and prompts, widened for folds that share training images (Nadeau and Bengio "
        "2003).",
        *sharpness_display.methods(sharpness),
    )


def summary(found: Numbers, sharpness: Mapping[str, Any]) -> tuple[SummaryLine, ...]:
    """FID, KID, coverage and the share of the gap closed on the first extractor, and sharpness."""
    label, first = next(iter(found.items()))
    named: tuple[tuple[str, Mapping[str, Estimate], Better], ...] = (
        (f"FID on {label}{incomparable(first)}", first["fid"], "lower"),
        ("KID", first["kid"], "lower"),
        ("Coverage of radiographs", first["coverage"], "higher"),
        ("Share of the first set's FID gap closed", first["gap_closed"], "higher"),
        ("AUROC of telling images from radiographs", first["two_sample"], "closer"),
    )
    lines = (
        SummaryLine.of(name, values, FLOOR, better=better)
        for name, values, better in named
        if values  # the gap closed is empty with one set
    )
    return (*lines, *sharpness_display.summary(sharpness))


def verdicts(found: Numbers, sharpness: Mapping[str, Any], main: str) -> tuple[Verdict, ...]:
    """Whether the main set is as sharp as radiographs, told from them, and as close to them."""
    return (
        *sharpness_display.verdicts(sharpness, main),
        *told_apart(found, main),
        closeness(found, main),
    )


def told_apart(found: Numbers, main: str) -> tuple[Verdict, ...]:
    """Whether the first extractor's features tell the main set from radiographs.

    They do if the interval lies above chance and above that of other radiographs: one of 40 sets
    that are alike lies above chance alone.
    """
    numbers = next(iter(found.values()))["two_sample"]
    auroc, floor = numbers[main], numbers[FLOOR]
    if auroc.value is None:
        return ()
    limit = max(CHANCE, floor.high or CHANCE)
    above = replace(auroc, low=auroc.low - limit, high=auroc.high - CHANCE)
    status = status_excess(above, _TOLD)
    words = {"fails": "tells", "works": "does not tell", "unclear": "may tell"}
    sentence = (
        f"A linear probe {words[status]} images from radiographs: AUROC {cell_text(auroc)}, "
        f"{CHANCE} by chance and {cell_text(floor)} for other radiographs."
    )
    return (Verdict(topic="told from radiographs", status=status, sentence=sentence),)


def closeness(found: Numbers, main: str) -> Verdict:
    """Whether the main set is as close as other radiographs are, on the first extractor."""
    label, first = next(iter(found.items()))
    fid, excess, floor = first["fid"][main], first["excess"][main], first["fid"][FLOOR]
    status = status_excess(excess, floor.value)
    opening = {
        "works": "Images are as close to radiographs as other radiographs are",
        "fails": "Images are farther from radiographs than other radiographs are",
        "unclear": "Whether images are as close to radiographs as other radiographs are cannot be "
        "told",
    }[status]
    sentence = (
        f"{opening}: FID {cell_text(fid)} against {cell_text(floor)}, an excess of "
        f"{cell_text(excess)}; on {label}{incomparable(first)}."
    )
    return Verdict(topic="fidelity", status=status, sentence=sentence)


def headline(found: Numbers) -> Plot | None:
    """FID of each set and of the floor, on the first extractor."""
    label, first = next(iter(found.items()))
    return dots(
        {"FID": {_label(name): estimate for name, estimate in first["fid"].items()}},
        f"Fidelity: FID on {label}{incomparable(first)}; lower is closer.",
        small=True,
    )


def incomparable(numbers: Mapping[str, Any]) -> str:
    """Words for a distance on an extractor of this project, on which nothing is published."""
    is_ours = numbers["extractor"]["name"] == "roentgen"
    return ", not comparable with published FID" if is_ours else ""


def tables(found: Numbers, sharpness: Mapping[str, Any]) -> tuple[Table, ...]:
    """For each extractor: all distances, FID by n, subgroups; the halves of all, and sharpness."""
    result = []
    for k, (label, numbers) in enumerate(found.items()):
        in_file = "".join(letter if letter.isalnum() else "-" for letter in label.lower())
        suffix = "" if k == 0 else f"-{in_file}"
        result += [
            _distances(f"fidelity{suffix}", label, numbers),
            _by_n(f"fidelity-by-n{suffix}", label, numbers),
            _subgroups(f"fidelity-subgroups{suffix}", label, numbers),
            _subgroups(f"fidelity-subgroups-kid{suffix}", label, numbers, "KID"),
        ]
    halves = Table(
        name="fidelity-halves",
        caption="FID between radiographs of different patients",
        columns=("Extractor", "Half of held-out to other half", "Train split to that half"),
        rows=tuple(
            (label, numbers["halves"]["within"], numbers["halves"]["across"])
            for label, numbers in found.items()
        ),
        folded=True,
    )
    return (*result, halves, *sharpness_display.tables(sharpness))


def plots(found: Numbers, sharpness: Mapping[str, Any]) -> tuple[Plot, ...]:
    """FID by number of images, on the first extractor; and spectra."""
    first = next(iter(found.values()))
    by_n = lines(
        {
            _label(name): (
                [point["n"] for point in points],
                [Estimate(value=point["fid"], n=point["n"]) for point in points],
            )
            for name, points in first["fid_by_n"].items()
        },
        "FID by number of images, with the same held-out radiographs: its bias.",
        x_label="images",
        y_label="FID",
        log_x=True,
    )
    made = (by_n and replace(by_n, folded=True), sharpness_display.spectrum_plot(sharpness))
    return tuple(plot for plot in made if plot)


def _distances(name: str, label: str, numbers: Mapping[str, Any]) -> Table:
    sets = list(numbers["fid"])
    return Table(
        name=name,
        caption=f"Distance to {numbers['n_reference']} held-out radiographs on {label}, "
        f"d = {numbers['extractor']['dimension']}{incomparable(numbers)}",
        columns=("Measure", *map(_label, sets)),
        rows=tuple(
            (title, *(numbers[key].get(item) for item in sets)) for key, title in MEASURES.items()
        ),
        better={title: _BETTER.get(key, "higher") for key, title in MEASURES.items()},
        base=sets[0],
        radiographs=FLOOR_LABEL,
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
        caption=f"FID on {label} by number of images (at most {CURVE_PARTS} parts)",
        columns=("Images", *(_label(item) for item in curves)),
        rows=tuple(rows),
        folded=True,
    )


def _subgroups(name: str, label: str, numbers: Mapping[str, Any], measure: str = "FID") -> Table:
    sets = list(numbers["fid"])
    subgroups: Mapping[str, Mapping[str, SubgroupDistances]] = numbers["subgroups"]
    rows: list[tuple[Cell, ...]] = []
    for attribute, of in subgroups.items():
        for group, found in of.items():
            values = found.fid if measure == "FID" else found.kid
            distances = (values[item] for item in sets)
            rows.append((f"{attribute}: {group}", found.n_reference, *distances))
        if not of:
            unknown = NotMeasured("not known of any held-out radiograph")
            rows.append((attribute, 0, *[unknown] * len(sets)))
    return Table(
        name=name,
        caption=f"{measure} within subgroups on {label}",
        columns=("Subgroup", "Held-out radiographs", *map(_label, sets)),
        rows=tuple(rows),
        better="lower",
        base=sets[0],
        radiographs=FLOOR_LABEL,
        folded=True,
    )


def _label(name: str) -> str:
    return FLOOR_LABEL if name == FLOOR else name
