"""Diversity: how alike images are."""

from eval.config import EvaluateConfig
from eval.config_sections import DiversityConfig, ExtractorConfig
from eval.diversity.pairs import asked_key, matched_vendi, prompt_key, random_pairs, within_group
from eval.features import features_of
from eval.report.section import Cell, Line, Part, Table
from eval.sets import ImageSet, Sets
from roentgen.distributed import this_launch
from roentgen.metrics.estimates import BOOTSTRAP, Estimate
from roentgen.metrics.images.ms_ssim import scale_weights
from roentgen.record.findings import FindingName
from roentgen.vision.features.extractor import load_extractor

REAL = "held-out real"


def check_diversity(config: EvaluateConfig, sets: Sets) -> None:
    """Raise InputError for images too small for MS-SSIM, or absent weights of the extractor."""
    scale_weights(sets.test.size)
    chosen = _extractor(config)
    load_extractor(chosen.name, chosen.weights)


def fill_diversity(config: EvaluateConfig, sets: Sets) -> None:
    """Make this process's share of the features."""
    chosen, launch = _extractor(config), this_launch()
    extractor = load_extractor(chosen.name, chosen.weights, launch.device())
    for images in (*sets.synthetic.values(), sets.test):
        features_of(config, images, extractor, launch)


def measure_diversity(config: EvaluateConfig, sets: Sets) -> Part:
    """MS-SSIM and Vendi score of every set and of held-out real films."""
    compared = {**sets.synthetic, "test": sets.test}
    chosen = _extractor(config)
    extractor = load_extractor(chosen.name, chosen.weights)
    features = {name: features_of(config, images, extractor) for name, images in compared.items()}
    vendi = matched_vendi(features, config.seed)
    prompted = {
        name: images
        for name, images in compared.items()
        if any(r.synthesis for r in images.radiographs)
    }
    within_prompt = {n: _grouped(config, images, prompt=True) for n, images in prompted.items()}
    alike = {n: _grouped(config, images, prompt=False) for n, images in compared.items()}
    within_finding: dict[str, dict[str, Estimate]] = {
        finding: {name: _drawn(config, images, finding) for name, images in compared.items()}
        for finding in config.findings
    }
    whole_set = {name: _drawn(config, images, None) for name, images in compared.items()}
    columns: dict[str, dict[str, Estimate]] = {
        "Same prompt": within_prompt,
        "Same view and findings": alike,
        **within_finding,
        "Whole set": whole_set,
    }
    rows: list[tuple[Cell, ...]] = [
        (what, *(of.get(name, "no prompts") for name in compared)) for what, of in columns.items()
    ]
    shown = tuple(REAL if name == "test" else name for name in compared)
    tables = (
        Table(
            name="diversity",
            caption="MS-SSIM of pairs; lower is more diverse, real films give the scale",
            columns=("Pairs of", *shown),
            rows=tuple(rows),
        ),
        Table(
            name="vendi",
            caption="Vendi score; higher is more diverse, real films give the scale",
            columns=("Measure", *shown),
            rows=(("Vendi score", *vendi.values()),),
        ),
    )

    def line(measure: str, of: dict[str, Estimate]) -> Line:
        return Line(
            measure=measure, sets={name: of[name] for name in sets.synthetic}, real=of["test"]
        )

    return Part(
        name="diversity",
        title="Diversity: how alike are images?",
        definition=(
            *_definition(config, sets),
            "Vendi score (Friedman and Dieng 2023): the exponential of the entropy of the "
            "eigenvalues of the features' cosine similarities, at n = "
            f"{vendi['test'].n} images of each set: how many different images it is worth; "
            f"{extractor.definition}. 95 % interval: 1.96 standard deviations of a jackknife over "
            "20 groups of patients or prompts.",
        ),
        numbers={
            "within_prompt": within_prompt,
            "within_view_and_findings": alike,
            "within_finding": within_finding,
            "whole_set": whole_set,
            "vendi": vendi,
        },
        summary=(
            line("MS-SSIM of pairs, same view and findings (lower is more diverse)", alike),
            line("Vendi score (higher is more diverse)", vendi),
        ),
        tables=tables,
    )


def _definition(config: EvaluateConfig, sets: Sets) -> tuple[str, ...]:
    section, size = _section(config), sets.test.size
    weights = scale_weights(size)
    fewer = ", the first ones renormalised to sum 1, since five need 176 pixels"
    return (
        f"MS-SSIM on gray images in [0, 1], resize none ({size}x{size}), {len(weights)} scales "
        f"(weights {', '.join(f'{w:.4f}' for w in weights)}: Wang et al. 2003"
        f"{fewer if len(weights) < 5 else ''}), window 11 pixels, sigma 1.5, the coarsest scale "
        "with a reflected border, as torchmetrics.",
        f"Same prompt, and same view and findings present: all pairs among at most "
        f"{section.images_per_prompt} images of at most {section.prompts} prompts, as RoentGen "
        "(real films have no prompt; two of one patient are not paired); mean over pairs, then "
        "over prompts.",
        f"Same finding (present), and whole set: at most {section.pairs} random pairs, no image "
        "and of real films no patient in two of them. n is the number of pairs.",
        BOOTSTRAP.format(samples=config.bootstrap, what="prompts, or of random pairs"),
    )


def _grouped(config: EvaluateConfig, images: ImageSet, *, prompt: bool) -> Estimate:
    return within_group(
        images.images,
        images.radiographs,
        prompt_key if prompt else asked_key,
        per_group=_section(config).images_per_prompt,
        max_groups=_section(config).prompts,
        samples=config.bootstrap,
        seed=config.seed,
    )


def _drawn(config: EvaluateConfig, images: ImageSet, finding: FindingName | None) -> Estimate:
    return random_pairs(
        images.images,
        images.radiographs,
        finding,
        pairs=_section(config).pairs,
        samples=config.bootstrap,
        seed=config.seed,
    )


def _extractor(config: EvaluateConfig) -> ExtractorConfig:
    """The first one of fidelity."""
    return config.fidelity.extractors[0] if config.fidelity else ExtractorConfig()


def _section(config: EvaluateConfig) -> DiversityConfig:
    assert config.diversity is not None
    return config.diversity
