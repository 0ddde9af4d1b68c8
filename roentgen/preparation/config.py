"""Settings of `roentgen.prepare`, and the readers of all corpora."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from roentgen.corpora.candid_ptx import CandidPtxConfig, CandidPtxReader
from roentgen.corpora.chexpert.chexpert import ChexpertConfig, ChexpertReader
from roentgen.corpora.drr_rate import DrrRateConfig, DrrRateReader
from roentgen.corpora.image_corpus import ImageCorpusReader
from roentgen.corpora.image_folder import ImageFolderConfig, ImageFolderReader
from roentgen.corpora.mimic.mimic_cxr import MimicCxrConfig, MimicCxrReader
from roentgen.corpora.mimic.mimic_cxr_jpg import MimicCxrJpgConfig, MimicCxrJpgReader
from roentgen.corpora.nih import NihConfig, NihReader
from roentgen.corpora.open_i.open_i import OpenIConfig, OpenIReader
from roentgen.corpora.padchest.padchest import PadchestConfig, PadchestReader
from roentgen.corpora.phantom import PhantomConfig, PhantomReader
from roentgen.corpora.reader import CorpusReader
from roentgen.corpora.rsna import RsnaConfig, RsnaReader
from roentgen.corpora.siim_acr import SiimAcrConfig, SiimAcrReader
from roentgen.corpora.table import TableConfig, TableReader
from roentgen.corpora.vindr import VindrConfig, VindrReader
from roentgen.errors import InputError, require_range
from roentgen.imaging.images import Fit
from roentgen.preparation.postprocess import ReportRules
from roentgen.prompts.filters import RadiographFilter
from roentgen.record.splits import SplitRules

READERS: dict[str, type[ImageCorpusReader[Any]]] = {
    "table": TableReader,
    "mimic_cxr": MimicCxrReader,
    "mimic_cxr_jpg": MimicCxrJpgReader,
    "chexpert": ChexpertReader,
    "nih": NihReader,
    "padchest": PadchestReader,
    "vindr": VindrReader,
    "open_i": OpenIReader,
    "siim_acr": SiimAcrReader,
    "rsna": RsnaReader,
    "candid_ptx": CandidPtxReader,
    "drr_rate": DrrRateReader,
    "image_folder": ImageFolderReader,
}
CORPORA = ("phantom", *READERS)  # the sections, of which one is given


@dataclass(frozen=True, kw_only=True)
class PrepareConfig:
    """Prepare a corpus into a radiograph dataset. Give exactly one corpus section."""

    output: Path
    """The dataset folder to write."""
    overwrite: bool = False
    """Replace the output folder if it is there."""
    size: int
    """Width and height of the images in pixels."""
    fit: Fit = "pad"
    """"pad" keeps all of the image, centered on black; "crop" keeps its center square."""
    seed: int = 0
    """Seed of the split of each patient, and of the phantoms."""
    workers: int | None = None
    """Number of processes; null: one per core. The result does not depend on it."""
    max_bad_share: float = 0.05
    """The share of items that may be bad; more and the run fails. Filtered rows do not count."""
    split: SplitRules | None = None
    """How the corpus is split by patient; phantoms bring their own split."""
    disjoint_from: tuple[Path, ...] = ()
    """Datasets that must not have a patient of the same source."""
    same_splits_as: tuple[Path, ...] = ()
    """Datasets that must not have a patient of the same source in another split."""
    reports: ReportRules | None = None
    """Processing of the reports; null: none."""
    filter: RadiographFilter | None = None
    """Which radiographs enter the dataset, after report processing; the others are listed in
    excluded.csv."""
    phantom: PhantomConfig | None = None
    """Corpus: phantoms, simulated when they are read."""
    table: TableConfig | None = None
    """Corpus: a table of image paths."""
    mimic_cxr: MimicCxrConfig | None = None
    """Corpus: MIMIC-CXR, the DICOM release."""
    mimic_cxr_jpg: MimicCxrJpgConfig | None = None
    """Corpus: MIMIC-CXR-JPG."""
    chexpert: ChexpertConfig | None = None
    """Corpus: CheXpert, or CheXpert Plus."""
    nih: NihConfig | None = None
    """Corpus: NIH ChestX-ray14."""
    padchest: PadchestConfig | None = None
    """Corpus: PadChest."""
    vindr: VindrConfig | None = None
    """Corpus: VinDr-CXR."""
    open_i: OpenIConfig | None = None
    """Corpus: Open-i, the Indiana University collection."""
    siim_acr: SiimAcrConfig | None = None
    """Corpus: SIIM-ACR pneumothorax."""
    rsna: RsnaConfig | None = None
    """Corpus: RSNA pneumonia."""
    candid_ptx: CandidPtxConfig | None = None
    """Corpus: CANDID-PTX."""
    drr_rate: DrrRateConfig | None = None
    """Corpus: DRR-RATE, radiographs computed from CT."""
    image_folder: ImageFolderConfig | None = None
    """Corpus: Hugging Face's image folder."""

    def __post_init__(self) -> None:
        given = [name for name in CORPORA if getattr(self, name) is not None]
        if len(given) != 1:
            found = f", not {len(given)}: {', '.join(given)}" if given else ""
            raise InputError(f"give exactly one corpus section{found}; of: {', '.join(CORPORA)}")
        if given != ["phantom"] and self.split is None:
            raise InputError("split is missing: see split in --help")
        if given == ["phantom"] and self.split is not None:
            raise InputError("split does not go with phantom: set the split's sizes in phantom")
        require_range(self, "size", at_least=1)
        require_range(self, "workers", at_least=1, note="or null")
        require_range(self, "max_bad_share", at_least=0, at_most=1)
        if self.filter is not None and self.phantom is None:
            self._check_filter(self.filter, READERS[given[0]])

    def _check_filter(self, rules: RadiographFilter, reader: type[ImageCorpusReader[Any]]) -> None:
        """Raises InputError where nothing would pass, as the corpus lacks what the filter needs."""
        name = "filter" if rules.preset is None else f"filter.preset {rules.preset}"
        corpus = reader.section
        settings = getattr(self, corpus)
        assert self.split is not None
        instance = reader(settings, self.split, self.size, self.fit, self.seed)
        if rules.section is not None and not instance.gives_section(rules.section):
            raise InputError(
                f"{name} needs the report section {rules.section!r}, which {corpus} does not give: "
                f"{reader.report_remedy()}, or set another filter"
            )
        for known in rules.known or ():
            if getattr(settings, reader.patient_settings.get(known, ""), "") is None:
                raise InputError(
                    f"{name} needs the patient's {known}, which {corpus} does not give: "
                    f"{reader.patient_remedy(known)}, or set another filter"
                )


def make_reader(config: PrepareConfig) -> CorpusReader:
    """The reader of the one corpus section that is given."""
    if config.phantom is not None:
        return PhantomReader(config.phantom, config.size, config.seed)
    name = next(name for name in READERS if getattr(config, name) is not None)
    assert config.split is not None
    return READERS[name](getattr(config, name), config.split, config.size, config.fit, config.seed)
