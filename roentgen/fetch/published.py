"""Published models and corpora that recipes name: what is fetched of each, its size and terms."""

from dataclasses import dataclass

_HUB_PAGE = "https://huggingface.co/"
_OPENRAIL = "https://huggingface.co/spaces/CompVis/stable-diffusion-license"
_PHYSIONET = "https://physionet.org"


@dataclass(frozen=True, kw_only=True)
class HubModel:
    """A repository of the hub, and the files of it that are read."""

    repository: str
    revision: str | None = None
    """A commit; None: the newest."""
    files: tuple[str, ...]
    """Patterns; none: a pipeline's, as they are chosen when it is opened."""
    size: str = "unknown size"
    license: str = "see its page"
    terms: str = ""
    """Page of the license."""
    afterwards: str = ""
    """What remains to be done once it is fetched."""

    @property
    def page(self) -> str:
        """Where its terms are."""
        return self.terms or f"{_HUB_PAGE}{self.repository}"


@dataclass(frozen=True, kw_only=True)
class ManualModel:
    """Weights that a command converts, as their publisher offers no safetensors."""

    name: str
    size: str
    license: str
    page: str


@dataclass(frozen=True, kw_only=True)
class Corpus:
    """A corpus, which its publisher gives to those who accept its terms."""

    name: str
    page: str
    size: str = "unknown size"
    path: str | None = None
    """Of its files on PhysioNet."""

    def command(self, folder: str) -> str | None:
        """A line that downloads it into a folder with the reader's own credentials."""
        if self.path is None:
            return None
        depth = self.path.count("/") + 2  # below files/
        return (
            f"wget -r -N -c -np -nH --cut-dirs={depth} -P {folder} --user USER --ask-password "
            f"{_PHYSIONET}/files/{self.path}/"
        )


def pipeline(repository: str, revision: str | None = None) -> HubModel:
    """A pipeline of Stable Diffusion 1.x or 2.x."""
    known = PIPELINES.get(repository)
    size, terms, page = known or ("unknown size", "see its page", "")
    return HubModel(
        repository=repository,
        revision=revision,
        files=(),
        size=size,
        license=terms,
        terms=page,
    )


# Size, license and its page, by repository.
PIPELINES: dict[str, tuple[str, str, str]] = {
    "CompVis/stable-diffusion-v1-4": ("4.3 GB", "CreativeML OpenRAIL-M", _OPENRAIL),
    "stable-diffusion-v1-5/stable-diffusion-v1-5": ("4.3 GB", "CreativeML OpenRAIL-M", _OPENRAIL),
    "stabilityai/stable-diffusion-2-1-base": ("5.2 GB", "CreativeML Open RAIL++-M", ""),
}
_BIOMED_CLIP = "microsoft/BiomedCLIP-PubMedBERT_256-vit_base_patch16_224"
# The other repositories, by name.
NETWORKS: dict[str, tuple[HubModel, ...]] = {
    "microsoft/rad-dino": (
        HubModel(
            repository="microsoft/rad-dino",
            files=("*.json", "*.safetensors"),
            size="0.35 GB",
            license="Microsoft Research License Agreement (MSRLA)",
            terms=f"{_HUB_PAGE}microsoft/rad-dino/blob/main/LICENSE",
        ),
    ),
    _BIOMED_CLIP: (
        HubModel(
            repository=_BIOMED_CLIP,
            files=("*.json", "*.txt", "*.safetensors", "open_clip_pytorch_model.bin"),
            size="0.8 GB",
            license="MIT",
            afterwards=(
                "where it has no safetensors, convert its weights in the folder that was fetched: "
                'python -c "import torch; from safetensors.torch import save_file; save_file('
                "torch.load('open_clip_pytorch_model.bin', weights_only=True), "
                "'open_clip_model.safetensors')\""
            ),
        ),
        HubModel(  # of its text tower
            repository="microsoft/BiomedNLP-BiomedBERT-base-uncased-abstract",
            files=("config.json",),
            size="1 kB",
            license="MIT",
        ),
    ),
    "timm/densenet121.ra_in1k": (
        HubModel(
            repository="timm/densenet121.ra_in1k",
            files=("model.safetensors",),
            size="0.03 GB",
            license="Apache-2.0",
        ),
    ),
    "timm/resnet50.a1_in1k": (
        HubModel(
            repository="timm/resnet50.a1_in1k",
            files=("model.safetensors",),
            size="0.1 GB",
            license="Apache-2.0",
        ),
    ),
}
# Extractors whose weights are files, by name.
WEIGHT_FILES: dict[str, ManualModel] = {
    "inception": ManualModel(
        name="inception",
        size="0.1 GB",
        license="Apache-2.0",
        page="https://github.com/toshas/torch-fidelity",
    ),
    "xrv": ManualModel(
        name="xrv",
        size="0.03 GB",
        license="Apache-2.0",
        page="https://github.com/mlmed/torchxrayvision",
    ),
}
# By the section of a recipe of roentgen.prepare.
CORPORA: dict[str, Corpus] = {
    "mimic_cxr": Corpus(
        name="MIMIC-CXR",
        page=f"{_PHYSIONET}/content/mimic-cxr/",
        size="4.7 TB",
        path="mimic-cxr/2.1.0",
    ),
    "mimic_cxr_jpg": Corpus(
        name="MIMIC-CXR-JPG",
        page=f"{_PHYSIONET}/content/mimic-cxr-jpg/",
        size="570 GB",
        path="mimic-cxr-jpg/2.1.0",
    ),
    "vindr": Corpus(
        name="VinDr-CXR",
        page=f"{_PHYSIONET}/content/vindr-cxr/",
        size="190 GB",
        path="vindr-cxr/1.0.0",
    ),
    "chexpert": Corpus(
        name="CheXpert",
        page="https://stanfordmlgroup.github.io/competitions/chexpert/",
        size="440 GB, small version 11 GB",
    ),
    "nih": Corpus(
        name="NIH ChestX-ray14",
        page="https://nihcc.app.box.com/v/ChestXray-NIHCC",
        size="45 GB",
    ),
    "padchest": Corpus(
        name="PadChest",
        page="https://bimcv.cipf.es/bimcv-projects/padchest/",
        size="1 TB",
    ),
    "open_i": Corpus(
        name="Open-i, Indiana University",
        page="https://openi.nlm.nih.gov/faq",
    ),
    "siim_acr": Corpus(
        name="SIIM-ACR pneumothorax",
        page="https://www.kaggle.com/c/siim-acr-pneumothorax-segmentation",
    ),
    "rsna": Corpus(
        name="RSNA pneumonia",
        page="https://www.kaggle.com/c/rsna-pneumonia-detection-challenge",
    ),
    "candid_ptx": Corpus(
        name="CANDID-PTX",
        page="https://figshare.com/articles/dataset/CANDID-PTX/14173982",
    ),
    "drr_rate": Corpus(
        name="DRR-RATE",
        page="https://huggingface.co/datasets/farrell236/DRR-RATE",
    ),
}
