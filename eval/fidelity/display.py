"""Fidelity display: its methods, tables, plots and summary lines."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from eval.config import FidelityConfig
from eval.fidelity import sharpness_display
from eval.fidelity.scores import CURVE_PARTS, FLOOR
from eval.fidelity.sharpness_display import FLOOR_LABEL
from eval.fidelity.subgroup_distances import SubgroupDistances
from eval.fidelity.two_sample import FOLDS, PENALTY
from eval.report.plots import Plot, dots, lines
from eval.report.section import Cell, SummaryLine, Table, cell_text
from eval.report.verdict import Verdict, status_excess
from roentgen.metrics.estimates import Estimate
from roentgen.metrics.features.fid_at_n import JACKKNIFE_GROUPS, MOST_PARTS

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
    "Lopez-Paz and Oquab, Revisiting classifier two-sample tests, ICLR 2017.",
    "Jayasumana et al., Rethinking FID: towards a better evaluation metric for image "
    "generation, CVPR 2024 (CMMD).",
)

_TOLD = 0.1  # AUROC above chance that an interval must exclude before images count as not told
MEASURES = {  # columns of the first table
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
        f"Distances of features to those of {first['n_reference']} held-out real radiographs; "
        f"images are {size}x{size}. "
        + "; ".join(f"{label}: {text}" for label, text in described.items()),
        "FID (Heusel et al. 2017) of few images is biased upwards, and neighborhoods shrink with "
        f"more images, so every set and the floor are compared at the same n = {first['n']} with "
        "the same held-out radiographs; FID of a larger set is the mean of "
        f"{settings.subsets} random subsets of n, all else is of the first subset. The floor is "
        "real radiographs of the train split, which share no patient with the held-out ones.",
        f"95% interval: 1.96 standard deviations over {settings.bootstrap} bootstrap resamples of "
        "patients and prompts on both sides, paired between sets (resampling with replacement "
        "raises FID itself, so its spread is used and not its level).",
        "FID, extrapolated to infinitely many images on both sides: the bias falls as 1/n (Chong "
        f"and Forsyth 2020), so the mean FID of k parts of a set, k = 1 to {MOST_PARTS} while "
        "parts have at least as many images as the features have dimensions, is extrapolated to "
        "k = 0, in both sets. Interval: 1.96 standard deviations of a jackknife over "
        f"{JACKKNIFE_GROUPS} groups of patients.",
        "KID (Binkowski et al. 2018): squared MMD with the kernel (x.y / d + 1)^3, unbiased at any "
        "n, over all pairs and not over subsets. CMMD (Jayasumana et al. 2024): 1000 times the "
        "squared MMD of CLIP's embeddings with a Gaussian kernel, sigma 10.",
        "Precision and recall (Kynkäänniemi et al. 2019), density and coverage (Naeem et al. "
        f"2020), k = {settings.neighbors}: precision is the share of synthetic images within real "
        "radiographs' neighborhoods, recall that of real radiographs within synthetic images'; "
        "density is the mean number of neighborhoods that contain an image, over k (1 for equal "
        "distributions), coverage the share of real neighborhoods that contain a synthetic image. "
        "Their intervals fix the neighborhoods and resample the images that are counted; those of "
        "shares are Wilson's at the effective sample size (Korn and Graubard 1998).",
        "Halves: FID between halves of the held-out radiographs that share no patient, and of as "
        f"many train radiographs to such a half, means over {settings.subsets} splits. If the "
        "second is well above the first, the two splits differ and the floor is too high.",
        "Subgroups (findings that are present, views, sex, age bands, race): within each attribute "
        "all sets have the same n, and so have the held-out radiographs; a subgroup needs "
        f"{settings.min_subgroup_images} in each, and more than {settings.max_subgroup_images} are "
        "sampled down. FID's interval is a jackknife's. Compare a set's FID with the floor of its "
        "subgroup.",
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
    named = {
        f"FID on {label} (lower is closer)": first["fid"],
        "KID (0 is as close as real radiographs)": first["kid"],
        "Coverage of real radiographs (higher is better)": first["coverage"],
        "Share of the first set's FID gap closed": first["gap_closed"],  # empty with one set
    }
    return (
        *(SummaryLine.of(name, values, FLOOR) for name, values in named.items() if values),
        SummaryLine.of(
            "AUROC of telling images from real radiographs",
            first["two_sample"],
            FLOOR,
            better="closer",
        ),
        *sharpness_display.summary(sharpness),
    )


def verdicts(found: Numbers, sharpness: Mapping[str, Any], main: str) -> tuple[Verdict, ...]:
    """Sharpness, and whether the first extractor's features tell the main set from radiographs."""
    numbers = next(iter(found.values()))["two_sample"]
    auroc, floor = numbers[main], numbers[FLOOR]
    if auroc.value is None:
        return sharpness_display.verdicts(sharpness, main)
    status = status_excess(replace(auroc, low=auroc.low - 0.5, high=auroc.high - 0.5), _TOLD)
    words = {"fails": "tells", "works": "does not tell", "unclear": "may tell"}
    told = Verdict(
        topic="told from radiographs",
        status=status,
        sentence=f"A linear probe {words[status]} images from real radiographs: AUROC "
        f"{cell_text(auroc)}, 0.5 at chance and {cell_text(floor)} for other real ones.",
    )
    return (*sharpness_display.verdicts(sharpness, main), told)


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
        ]
    halves = Table(
        name="fidelity-halves",
        caption="FID between real radiographs of different patients",
        columns=("Extractor", "Half of held-out to other half", "Train split to that half"),
        rows=tuple(
            (label, numbers["halves"]["within"], numbers["halves"]["across"])
            for label, numbers in found.items()
        ),
    )
    return (*result, halves, *sharpness_display.tables(sharpness))


def plots(found: Numbers, sharpness: Mapping[str, Any]) -> tuple[Plot, ...]:
    """FID of each set, and by number of images, on the first extractor; and spectra."""
    first = next(iter(found.values()))
    made = (
        dots(
            {_label(name): {"FID": estimate} for name, estimate in first["fid"].items()},
            "FID to held-out real radiographs, with 95% intervals; lower is closer.",
        ),
        lines(
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
        ),
        sharpness_display.spectrum_plot(sharpness),
    )
    return tuple(plot for plot in made if plot is not None)


def _distances(name: str, label: str, numbers: Mapping[str, Any]) -> Table:
    return Table(
        name=name,
        caption=f"Distance to {numbers['n_reference']} held-out real radiographs on {label}, "
        f"d = {numbers['extractor']['dimension']}",
        columns=("Set", *MEASURES.values()),
        rows=tuple(
            (_label(item), *(numbers[key].get(item) for key in MEASURES)) for item in numbers["fid"]
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
        caption=f"FID on {label} by number of images (at most {CURVE_PARTS} parts)",
        columns=("Images", *(_label(item) for item in curves)),
        rows=tuple(rows),
    )


def _subgroups(name: str, label: str, numbers: Mapping[str, Any]) -> Table:
    sets = list(numbers["fid"])
    subgroups: Mapping[str, Mapping[str, SubgroupDistances]] = numbers["subgroups"]
    columns = [f"{measure}: {_label(item)}" for measure in ("FID", "KID") for item in sets]
    rows: list[tuple[Cell, ...]] = []
    for attribute, of in subgroups.items():
        for group, found in of.items():
            distances = (values[item] for values in (found.fid, found.kid) for item in sets)
            rows.append((f"{attribute}: {group}", found.n, found.n_reference, *distances))
        if not of:
            blank = [None] * 2 * len(sets)
            rows.append((f"{attribute}: not known of any held-out radiograph", 0, 0, *blank))
    return Table(
        name=name,
        caption=f"Distances within subgroups on {label}",
        columns=("Subgroup", "Images", "Held-out radiographs", *columns),
        rows=tuple(rows),
    )


def _label(name: str) -> str:
    return FLOOR_LABEL if name == FLOOR else name
