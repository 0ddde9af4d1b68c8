"""Phantom corpus: simulated studies, computed when they are read, with exact ground truth."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, get_args

import numpy as np

from roentgen.corpora.reader import CorpusPlan
from roentgen.errors import require, require_range
from roentgen.imaging.images import encode_png
from roentgen.manifest import License
from roentgen.phantom.context import draw_context, is_febrile
from roentgen.phantom.reports import INDICATIONS, indications, plain_caption, write_report
from roentgen.phantom.study import Film, Study, draw_study
from roentgen.randomness import numpy_generator
from roentgen.record.context import ContextValue
from roentgen.record.radiograph import Radiograph, Report, Split, View

LICENSE = License(name="Apache-2.0", data_use=None, may_share=True)


@dataclass(frozen=True, kw_only=True)
class PhantomConfig:
    """Number of phantom studies to simulate; one study is one patient."""

    train: int
    """Number of training studies."""
    validate: int
    """Number of validation studies."""
    test: int
    """Number of held-out test studies."""
    ap_share: float = 0.4
    """Share of studies taken at the bedside: one AP radiograph. The others: PA and lateral."""
    masks: bool = True
    """Keep the masks of lungs, heart and findings."""
    words: Literal["radiology", "plain", "generic"] = "radiology"
    """Wording of the reports: a radiologist's; captions in lay words ("large left white water
    level at the bottom"); or "a chest radiograph" for all."""
    context: bool = False
    """Give patients a temperature, an oxygen saturation and a blood glucose: consolidations cause
    fever, pneumothoraces, edema and large effusions a low saturation, and nothing causes a high
    glucose. Indications then agree with the temperature."""
    missing_bones: float = 0.0
    """Share of each patient's ribs, clavicles and scapulae that are not shown: a planted defect."""

    def __post_init__(self) -> None:
        counts = ("phantom.train", "phantom.validate", "phantom.test")
        require_range(self, *counts, at_least=0, note="it counts studies")
        require_range(self, "phantom.ap_share", "phantom.missing_bones", at_least=0, at_most=1)


class PhantomStudy(NamedTuple):
    """One study to draw."""

    id: str
    split: Split


@dataclass(frozen=True)
class PhantomReader:
    """Simulates phantoms of `size` pixels; the same seed and study give the same pixels."""

    config: PhantomConfig
    size: int
    seed: int

    @property
    def licenses(self) -> Sequence[License]:
        """Phantoms are ours to give away."""
        return (LICENSE,)

    def plan(self) -> CorpusPlan:
        """The studies of all splits."""
        splits: tuple[Split, ...] = get_args(Split)
        studies = [
            PhantomStudy(f"phantom-{self.seed}-{split}-{number:06d}", split)
            for split in splits
            for number in range(getattr(self.config, split))
        ]
        return CorpusPlan(studies)

    def __post_init__(self) -> None:
        require(
            self.size % 2 == 0 and self.size >= 32,
            f"size is {self.size}: phantoms need an even number of at least 32",
        )

    def read(self, item: PhantomStudy) -> list[Radiograph]:
        """Draw one study: a PA and a lateral radiograph, or one AP radiograph."""
        rng = numpy_generator(self.seed, "phantom", item.id)
        views: tuple[View, ...] = ("PA", "LATERAL")
        if rng.random() < self.config.ap_share:
            views = ("AP",)
        study = draw_study(rng, views, self.size, self.config.missing_bones)
        context: tuple[ContextValue, ...] = ()
        if self.config.context:
            rng = numpy_generator(self.seed, "context", item.id)
            context = draw_context(rng, study.lesions.findings)
        return [self._radiograph(item, study, film, context) for film in study.films]

    def _radiograph(
        self, item: PhantomStudy, study: Study, film: Film, context: tuple[ContextValue, ...]
    ) -> Radiograph:
        findings = study.lesions.findings
        views = [other.view for other in study.films]
        match self.config.words:
            case "radiology":  # one report for all images of a study
                rng = numpy_generator(self.seed, "report", item.id)
                reasons = indications(is_febrile(context)) if context else INDICATIONS
                report = write_report(rng, findings, views, reasons)
            case "plain":
                report = Report(impression=plain_caption(findings, film.view))
            case "generic":
                report = Report(impression="a chest radiograph")
        masks = {}
        if self.config.masks:
            present = {name: mask for name, mask in film.masks.items() if mask.any()}
            masks = {name: encode_png(255 * m.astype(np.uint8)) for name, m in present.items()}
        return Radiograph(
            id=f"{item.id}-{film.view.lower()}",
            patient_id=item.id,
            study_id=item.id,
            split=item.split,
            image=encode_png(film.image),
            view=film.view,
            findings=findings,
            report=report,
            masks=masks,
            age=study.thorax.age,
            sex=study.thorax.sex,
            context=context,
            source="phantom",
            license=LICENSE.name,
        )
