"""Display of sharpness: its methods, tables, plot, summary lines and verdict."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from eval.fidelity.scores import FLOOR
from eval.fidelity.sharpness import ALL_VIEWS, MIN_PATIENTS, NUMBERS, REAL, TAIL
from eval.report.plots import Plot, lines
from eval.report.section import FLOOR_LABEL, HELD_OUT, Better, SummaryLine, Table, cell_text
from eval.report.verdict import Verdict
from roentgen.metrics.estimates import Estimate
from roentgen.record.radiograph import VIEWS

_LABELS = {FLOOR: FLOOR_LABEL, REAL: HELD_OUT}
_MEASURES = {"detail": "Detail", "fine_power": "Fine power"}
_NUMBERS = {
    "median": "median",
    "spread": "interquartile range",
    "ratio": "median over that of radiographs",
    "below": "share below the radiographs' 1st percentile",
    "above": "share above their 99th percentile",
}
_ALARM = 0.05  # share of images below or above, where a hundredth is expected


def methods(sharpness: Mapping[str, Any]) -> tuple[str, ...]:
    """How sharpness was measured."""
    expected = sharpness[ALL_VIEWS]["expected_beyond"]
    excluded = "; ".join(f"{v}: {e.reason}" for v, e in sharpness["not_measured"].items())
    return (
        "Sharpness, independent of brightness and contrast: an image's detail is the standard "
        "deviation of its Laplacian (4 neighbors) over that of the image (Pech-Pacheco et al. "
        "2000); its fine power is the share of its power spectrum (Hann window) above a quarter of "
        "a cycle per pixel. Spectrum distance: root mean square difference to the radiographs' "
        "mean spectrum over octaves, in decibels.",
        f"The limits of radiographs are the {TAIL:.0%} and {1 - TAIL:.0%} quantiles of the "
        "held-out ones (Weibull's, type 6 of Hyndman and Fan 1996); of further ones a share "
        f"of {expected:.3g} is expected below and above each. Intervals resample the patients and "
        "prompts of both sides; percentiles of the resamples, for shares Wilson's at the effective "
        f"sample size. By view with at least {MIN_PATIENTS} held-out patients"
        + (f" (not measured: {excluded})." if excluded else "."),
    )


def summary(sharpness: Mapping[str, Any]) -> tuple[SummaryLine, ...]:
    """The ratio of median detail, and the share of images that are softer than radiographs."""
    detail = sharpness[ALL_VIEWS]["detail"]
    return (
        SummaryLine.of(
            "Median detail over that of radiographs", detail["ratio"], FLOOR, better="closer"
        ),
        SummaryLine.of(
            "Share of images softer than 99% of radiographs",
            detail["below"],
            FLOOR,
            better="closer",
        ),
    )


def verdicts(sharpness: Mapping[str, Any], main: str) -> tuple[Verdict, ...]:
    """Whether the main set is as sharp as radiographs; none if it is not measured.

    It fails if the share below the 1st or above the 99th percentile is, by its interval, above
    0.05, and is right if both are by theirs below that.
    """
    detail = sharpness[ALL_VIEWS]["detail"]
    shares = {"softer": detail["below"][main], "sharper": detail["above"][main]}
    ratio: Estimate = detail["ratio"][main]
    if ratio.value is None:
        return ()
    word = max(shares, key=lambda key: shares[key].value)
    worst = shares[word]
    numbers = (
        f"median detail is {cell_text(ratio)} of theirs, and a share of {cell_text(worst)} of the "
        f"images is {word} than 99% of radiographs"
    )
    if worst.low > _ALARM:
        sentence = f"Images are {word} than radiographs: {numbers}."
        return (Verdict(topic="sharpness", status="fails", sentence=sentence),)
    if worst.high < _ALARM:
        sentence = f"Images are as sharp as radiographs: {numbers}."
        return (Verdict(topic="sharpness", status="works", sentence=sentence),)
    sentence = f"Whether images are as sharp as radiographs is not certain: {numbers}."
    return (Verdict(topic="sharpness", status="unclear", sentence=sentence),)


def tables(sharpness: Mapping[str, Any]) -> tuple[Table, ...]:
    """Detail of all images; folded, fine power, and both of each view."""
    made = []
    for part in (ALL_VIEWS, *(view for view in VIEWS if view in sharpness)):
        suffix, images = ("", "all") if part == ALL_VIEWS else (f"-{part.lower()}", part)
        for measure, label in _MEASURES.items():
            name = "sharpness" if measure == "detail" else "fine-power"
            made.append(
                _table(
                    sharpness[part],
                    measure,
                    name=f"fidelity-{name}{suffix}",
                    caption=f"{label} of {images} images",
                    folded=(part, measure) != (ALL_VIEWS, "detail"),
                )
            )
    return tuple(made)


def spectrum_plot(sharpness: Mapping[str, Any]) -> Plot | None:
    """Mean spectra by octave."""
    ends = np.array([*sharpness["band_ends"], 0.5])
    middles = (ends / np.sqrt(2)).tolist()
    spectra = sharpness[ALL_VIEWS]["spectrum"]
    return lines(
        {
            _LABELS.get(name, name): (middles, [Estimate(value=y, n=0) for y in spectrum])
            for name, spectrum in spectra.items()
        },
        "Mean power spectrum: each octave's share of an image's power.",
        x_label="cycles per pixel",
        y_label="decibels",
        log_x=True,
    )


def _table(
    numbers: Mapping[str, Any], measure: str, *, name: str, caption: str, folded: bool
) -> Table:
    sets = [*(item for item in numbers["detail"]["median"] if item != REAL), REAL]
    rows = {_NUMBERS[key].capitalize(): numbers[measure][key] for key in NUMBERS}
    if measure == "detail":
        rows["Spectrum distance, decibels"] = numbers["spectrum_distance"]
    better: dict[str, Better] = {
        _NUMBERS[key].capitalize(): "closer" if key in NUMBERS[:2] else "lower"
        for key in NUMBERS
        if key != "ratio"
    }
    return Table(
        name=name,
        caption=caption,
        columns=("Measure", *(_LABELS.get(item, item) for item in sets)),
        rows=tuple((label, *(values.get(item) for item in sets)) for label, values in rows.items()),
        better=better,
        base=sets[0],
        radiographs=HELD_OUT,
        folded=folded,
    )
