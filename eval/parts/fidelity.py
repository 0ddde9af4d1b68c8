"""Fidelity: how close to held-out real films."""

from eval.config import EvaluateConfig
from eval.features import features_of
from eval.fidelity import FLOOR, fidelity
from eval.page.plots import dots
from eval.part import Line, Part, Table
from eval.sections import FidelityConfig
from eval.sets import Sets
from roentgen.models.extractor import Extractor, load_extractor


def check_fidelity(config: EvaluateConfig, sets: Sets) -> None:
    """Raise InputError for absent weights."""
    for extractor in _section(config).extractors:
        load_extractor(extractor.name, extractor.weights)


def fill_fidelity(config: EvaluateConfig, sets: Sets) -> None:
    """Make the features."""


def measure_fidelity(config: EvaluateConfig, sets: Sets) -> Part:
    """FID and KID of every set and of the floor, with what they were computed on."""
    section = _section(config)
    chosen = section.extractors[0]
    extractor = load_extractor(chosen.name, chosen.weights)
    numbers = fidelity(
        {name: features_of(images, extractor) for name, images in sets.synthetic.items()},
        features_of(sets.train, extractor),
        features_of(sets.test, extractor),
        subsets=section.subsets,
        samples=section.bootstrap,
        seed=config.seed,
    )
    size = sets.test.size
    definition = (
        f"Fréchet distance of features to {numbers['n_reference']} held-out real films; images "
        f"are {size}x{size}; {extractor.definition}.",
        "FID of few images is biased upwards, so every set and the floor are compared at the same "
        f"n = {numbers['n']} with the same held-out films; of a set with more images, the mean of "
        f"{section.subsets} random subsets of n. The floor is real films of the train split, "
        "which share no patient with the held-out ones.",
        f"95 % interval: 1.96 standard deviations over {section.bootstrap} bootstrap resamples "
        "of patients and prompts on both sides, paired between sets (resampling with repeats "
        "raises FID itself, so its spread is used and not its level).",
        "KID: squared MMD with the kernel (x.y / d + 1)^3, unbiased at any n, same features.",
    )
    fid = numbers["fid"]
    rows = tuple(
        (
            "floor: real train films" if name == FLOOR else name,
            fid[name],
            numbers["excess"].get(name),
            numbers["excess_lost"].get(name),
            numbers["kid"][name],
        )
        for name in fid
    )
    table = Table(
        name="fidelity",
        caption=f"Distance to {numbers['n_reference']} held-out real films",
        columns=("Set", "FID", "Excess over the floor", "Share of excess lost", "KID"),
        rows=rows,
    )
    plot = dots(
        {"FID": {("floor (real)" if name == FLOOR else name): e for name, e in fid.items()}},
        "FID to held-out real films, with 95 % intervals; lower is closer.",
    )
    return Part(
        name="fidelity",
        title="Fidelity: how close to held-out real films?",
        definition=definition,
        numbers={"extractor": _definition(extractor, size), **numbers},
        summary=(
            Line(
                measure="FID (lower is closer)",
                sets={name: fid[name] for name in sets.synthetic},
                real=fid[FLOOR],
            ),
            Line(measure="Share of the first set's excess FID lost", sets=numbers["excess_lost"]),
        ),
        tables=(table,),
        plots=(plot,) if plot else (),
    )


def _section(config: EvaluateConfig) -> FidelityConfig:
    assert config.fidelity is not None
    return config.fidelity


def _definition(extractor: Extractor, size: int) -> dict[str, object]:
    return {**vars(extractor.definition), "image_size": size}
