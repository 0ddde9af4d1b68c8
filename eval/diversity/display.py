"""Diversity display: its methods, tables and summary lines."""

from collections.abc import Mapping

from eval.config import DiversityConfig
from eval.report.plots import Plot, dots
from eval.report.section import HELD_OUT, SummaryLine, Table, cell_text
from eval.report.verdict import Verdict, status_below
from roentgen.metrics.estimates import BOOTSTRAP, Estimate, NotMeasured
from roentgen.metrics.images.ms_ssim import scale_weights

REFERENCES = {  # sources, each with the key of what is measured
    "Wang et al., Multiscale structural similarity for image quality assessment, Asilomar"
    " 2003 (MS-SSIM).": "whole_set",
    "Friedman and Dieng, The Vendi score, TMLR 2023.": "vendi",
    "Chambon et al., RoentGen, arXiv:2211.12737, 2022 (pairs within a prompt).": "within_prompt",
}
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
        "RoentGen (radiographs have no prompt; two of one patient are not paired); mean over "
        "pairs, then "
        "over prompts.",
        f"Same finding (present), and whole set: at most {settings.pairs} random pairs, no image "
        "(of radiographs: no patient) in two of them. n is the number of pairs.",
        BOOTSTRAP.format(samples=samples, what="prompts, or of random pairs"),
        "Vendi score (Friedman and Dieng 2023): the exponential of the entropy of the "
        f"eigenvalues of the features' cosine similarities, at n = {vendi_images} images of each "
        f"set: the effective number of different images; {extractor}. 95% interval: 1.96 standard "
        "deviations of a jackknife over 20 groups of patients or prompts.",
    )


def summary(alike: Estimates, vendi: Estimates) -> tuple[SummaryLine, ...]:
    """MS-SSIM within view and findings, and the Vendi score."""
    return (
        SummaryLine.of("MS-SSIM of pairs, same view and findings", alike, better="closer"),
        SummaryLine.of("Vendi score", vendi, better="closer"),
    )


def verdict(alike: Estimates, main: str) -> tuple[Verdict, ...]:
    """Whether images of the same view and findings differ as much as radiographs of these do.

    They do if the interval of their similarity lies below the upper end of the radiographs'.
    """
    own, real = alike[main], alike["test"]
    if own.value is None or real.high is None:
        return ()
    status = status_below(own, real.high)
    opening = {
        "works": "Images of the same view and findings differ as much as radiographs do",
        "fails": "Images of the same view and findings differ less than radiographs do",
        "unclear": "Whether images of the same view and findings differ as much as radiographs do "
        "cannot be told",
    }[status]
    sentence = f"{opening}: MS-SSIM {cell_text(own)}; {cell_text(real)} of held-out radiographs."
    return (Verdict(topic="diversity", status=status, sentence=sentence),)


def headline(alike: Estimates) -> Plot | None:
    """Similarity of images of the same view and findings, by set."""
    return dots(
        {"MS-SSIM": {HELD_OUT if name == "test" else name: e for name, e in alike.items()}},
        "Diversity: MS-SSIM of pairs of the same view and findings; lower is more diverse.",
        small=True,
    )


def tables(pairs: Mapping[str, Estimates], vendi: Estimates) -> tuple[Table, ...]:
    """MS-SSIM by kind of pair, and the Vendi score; a set a column."""
    sets = tuple(HELD_OUT if name == "test" else name for name in vendi)
    no_prompts = NotMeasured("radiographs have no prompt")

    def table(name: str, caption: str, values: Mapping[str, Estimates]) -> Table:
        return Table(
            name=name,
            caption=caption,
            columns=("Pairs of" if name == "diversity" else "Measure", *sets),
            rows=tuple(
                (what, *(of.get(each, no_prompts) for each in vendi)) for what, of in values.items()
            ),
            better="closer",
            base=sets[0],
            radiographs=HELD_OUT,
        )

    return (
        table("diversity", "MS-SSIM of pairs", pairs),
        table("vendi", "Effective number of different images", {"Vendi score": vendi}),
    )
