"""Gain by the number of radiographs: its plots, and at which numbers synthetic images help."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from eval.networks import Regime
from eval.report.plots import Plot, lines
from eval.report.section import cell_text
from eval.report.verdict import Status, Verdict
from roentgen.metrics.paired_scores import MEAN, Gain

SIGNIFICANT = 0.05  # Bonferroni-corrected p
_TEST = f"one-tailed paired t-test over seeds, Bonferroni-corrected p < {SIGNIFICANT:g}"
_CAPTION = (
    "Gain in mean AUROC from synthetic images by the number of training radiographs, with 95% "
    "intervals. Dashed: no gain."
)


@dataclass(frozen=True, kw_only=True)
class GainCurve:
    """The gain in mean AUROC of a regime at each number of radiographs, fewest first."""

    regime: str
    gains: Mapping[int, Gain]

    @property
    def better(self) -> list[int]:
        """The numbers of radiographs at which the gain is significant."""
        ps = {n: gain.p_corrected.value for n, gain in self.gains.items()}
        return [n for n, p in ps.items() if p is not None and p < SIGNIFICANT]

    @property
    def worse(self) -> list[int]:
        """The numbers at which the gain's interval lies below 0."""
        highs = {n: gain.estimate.high for n, gain in self.gains.items()}
        return [n for n, high in highs.items() if high is not None and high < 0]

    @property
    def status(self) -> Status:
        """Whether synthetic images help at any number; "fails" if they cost at one, and at none."""
        if self.better:
            return "works"
        return "fails" if self.worse else "unclear"

    @property
    def sentence(self) -> str:
        """At which numbers of radiographs synthetic images help, and from where on no longer."""
        better = self.better
        rest = [n for n in self.gains if n not in better]
        untested = [gain.p.note for gain in self.gains.values() if gain.p.value is None]
        is_better = "is significantly better than on radiographs alone"
        if not rest:
            text = f"{is_better} at every number of radiographs ({_listed(better)})"
        elif not better:
            text = f"{is_better.replace('is', 'is not', 1)} at any number of radiographs"
            text += f" ({_listed(rest)})"
        elif max(better) < min(rest):
            text = f"{is_better} with up to {max(better)} radiographs"
            text += f", from {min(rest)} on no longer"
        elif max(rest) < min(better):
            text = f"{is_better} from {min(better)} radiographs on, not with up to {max(rest)}"
        else:
            text = f"{is_better} with {_listed(better)} radiographs, not with {_listed(rest)}"
        worse = f", and worse with {_listed(self.worse)}" if self.worse else ""
        test = untested[0] if len(untested) == len(self.gains) else _TEST
        return f"Training on {self.regime} {text}{worse} ({test})."

    @property
    def verdict(self) -> Verdict:
        """The sentence with the gain at each number."""
        gains = "; ".join(f"{cell_text(gain.estimate)} with {n}" for n, gain in self.gains.items())
        sentence = f"{self.sentence.removesuffix('.')}: gain in mean AUROC {gains}."
        return Verdict(topic="utility", status=self.status, sentence=sentence)


def gain_curves(
    requested: Sequence[Regime],
    gains: Mapping[str, Mapping[str, Mapping[str, Gain]]],
    all_radiographs: int,
) -> list[GainCurve]:
    """The curve of each regime with radiographs; none if all have the same number of them.

    `gains` are by regime, metric and finding or mean; what is not measured is no point of a curve.
    """
    if len({regime.radiographs for regime in requested}) < 2:
        return []
    points: dict[str, dict[int, Gain]] = {}
    for regime in reversed(requested):
        gain = gains[regime.name]["auroc"][MEAN] if regime.name in gains else None
        if gain and gain.estimate.value is not None and regime.kind != "synthetic":
            number = all_radiographs if regime.radiographs is None else regime.radiographs
            points.setdefault(replace(regime, radiographs=None).name, {})[number] = gain
    return [
        GainCurve(regime=name, gains=dict(sorted(found.items()))) for name, found in points.items()
    ]


def gain_plot(curves: Sequence[GainCurve], *, small: bool = False) -> Plot | None:
    """The gain over the number of radiographs, with each curve's sentence; None without curves."""
    return lines(
        {
            curve.regime: (list(curve.gains), [gain.estimate for gain in curve.gains.values()])
            for curve in curves
        },
        " ".join([_CAPTION, *(curve.sentence for curve in curves if not small)]),
        x_label="training radiographs",
        y_label="gain in mean AUROC",
        log_x=True,
        zero=True,
        small=small,
    )


def _listed(numbers: Sequence[int]) -> str:
    """Such as "60, 250 and 1000"."""
    *first, last = map(str, numbers)
    return f"{', '.join(first)} and {last}" if first else last
