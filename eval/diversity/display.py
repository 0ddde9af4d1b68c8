"""Diversity display: its methods, tables and summary lines."""

from collections.abc import Mapping

from eval.config import DiversityConfig
from eval.report.section import HELD_OUT, SummaryLine, Table
from roentgen.metrics.estimates import BOOTSTRAP, Estimate
from roentgen.metrics.images.ms_ssim import scale_weights

REFERENCES = (
    "Wang et al., Multiscale structural similarity for image quality assessment, Asilomar "
    "2003 (MS-SSIM).",
    "Friedman and Dieng, The Vendi score, TMLR 2023.",
    "Chambon et al., RoentGen, arXiv:2211.12737, 2022 (pairs within a prompt).",
)
Estimates = Mapping[str, Estimate]  # by set


def methods(
    settings: DiversityConfig, *, size: int, samples: int, vendi_images: int, extractor: str
) -> tuple[str, ...]:
    """What was measured, on what, at which n."""
    weights = scale_weights(size)
    fewer = ", the first ones renormalized to sum to 1, since five need 176 pixels"
    return (
        f"MS-SSIM on gray images in [0, 1], resize none ({size}x{size}), {len(weights)} scales "
        f"(weights {', '.join(f'{w:.4f}' for w in weights)}: Wang et al. 2003"
        f"{fewer if len(weights) < 5 else ''}), window 11 pixels, sigma 1.5, the coarsest scale "
        "with a reflected border, as torchmetrics.",
        "Same prompt, and same view and findings present: all pairs among at most "
        f"{settings.images_per_prompt} images of at most {settings.prompts} prompts, as in "
        "RoentGen (real radiographs have no prompt; two of one patient are not paired); mean over "
        "pairs, then "
        "over prompts.",
        f"Same finding (present), and whole set: at most {settings.pairs} random pairs, no image "
        "(of real radiographs: no patient) in two of them. n is the number of pairs.",
        BOOTSTRAP.format(samples=samples, what="prompts, or of random pairs"),
        "Vendi score (Friedman and Dieng 2023): the exponential of the entropy of the "
        f"eigenvalues of the features' cosine similarities, at n = {vendi_images} images of each "
        f"set: the effective number of different images; {extractor}. 95% interval: 1.96 standard "
        "deviations of a jackknife over 20 groups of patients or prompts.",
    )


def summary(alike: Estimates, vendi: Estimates) -> tuple[SummaryLine, ...]:
    """MS-SSIM within view and findings, and the Vendi score."""
    measure = "MS-SSIM of pairs, same view and findings (lower is more diverse)"
    return (
        SummaryLine.of(measure, alike),
        SummaryLine.of("Vendi score (higher is more diverse)", vendi),
    )


def tables(pairs: Mapping[str, Estimates], vendi: Estimates) -> tuple[Table, ...]:
    """MS-SSIM by kind of pair, and the Vendi score; a set a column."""
    sets = tuple(HELD_OUT if name == "test" else name for name in vendi)
    return (
        Table(
            name="diversity",
            caption="MS-SSIM of pairs; lower is more diverse, real radiographs give the scale",
            columns=("Pairs of", *sets),
            rows=tuple(
                (what, *(of.get(name, "no prompts") for name in vendi))
                for what, of in pairs.items()
            ),
        ),
        Table(
            name="vendi",
            caption="Vendi score; higher is more diverse, real radiographs give the scale",
            columns=("Measure", *sets),
            rows=(("Vendi score", *vendi.values()),),
        ),
    )
