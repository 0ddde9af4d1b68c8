"""Diversity: how alike images are that were asked for alike."""

from eval.config import EvaluateConfig
from eval.diversity import diversity
from eval.estimates import BOOTSTRAP
from eval.ms_ssim import scale_weights
from eval.part import Line, Part, Table
from eval.sets import Sets


def check_diversity(config: EvaluateConfig, sets: Sets) -> None:
    """Raise InputError for images too small for MS-SSIM."""
    scale_weights(sets.test.size)


def measure_diversity(config: EvaluateConfig, sets: Sets) -> Part:
    """MS-SSIM of every set and of held-out real films."""
    assert config.diversity is not None
    per_prompt = config.diversity.images_per_prompt
    compared = {**sets.synthetic, "test": sets.test}
    numbers = diversity(
        {name: (images.images, images.radiographs) for name, images in compared.items()},
        per_group=per_prompt,
        samples=config.bootstrap,
        seed=config.seed,
    )
    size = sets.test.size
    weights = scale_weights(size)
    fewer = ", the first ones renormalised to sum 1, since five need 176 pixels"
    definition = (
        f"MS-SSIM on gray images in [0, 1], resize none ({size}x{size}), {len(weights)} scales "
        f"(weights {', '.join(f'{w:.4f}' for w in weights)}: Wang et al. 2003"
        f"{fewer if len(weights) < 5 else ''}), window 11 pixels, sigma 1.5, the coarsest scale "
        "with a reflected border, as torchmetrics.",
        f"All pairs among at most {per_prompt} images that share a prompt, or view and findings "
        "present (real films have no prompt; two of one patient are not paired); mean over pairs, "
        "then over groups; n is the number of pairs.",
        BOOTSTRAP.format(samples=config.bootstrap, what="groups"),
    )
    alike = numbers["within_view_and_findings"]
    table = Table(
        name="diversity",
        caption="MS-SSIM of pairs; lower is more diverse, real films give the scale",
        columns=("Set", "Same prompt", "Same view and findings"),
        rows=tuple(
            (
                "held-out real" if name == "test" else name,
                numbers["within_prompt"].get(name, "no prompts"),
                estimate,
            )
            for name, estimate in alike.items()
        ),
    )
    line = Line(
        measure="MS-SSIM of pairs, same view and findings (lower is more diverse)",
        sets={name: alike[name] for name in sets.synthetic},
        real=alike["test"],
    )
    return Part(
        name="diversity",
        title="Diversity: how alike are images asked for alike?",
        definition=definition,
        numbers=numbers,
        summary=(line,),
        tables=(table,),
    )
