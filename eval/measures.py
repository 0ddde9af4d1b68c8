"""The parts of an evaluation: each measures the sets and says in words what it measured."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from eval.alignment import alignment, trainable
from eval.checks import held_out_prompts
from eval.config import EvaluateConfig
from eval.diversity import diversity
from eval.fidelity import FeatureSet, fidelity
from eval.ms_ssim import scale_weights
from eval.sets import ImageSet
from eval.utility import utility
from roentgen.models.classifier import Classifier, train_classifier
from roentgen.models.extractor import Extractor

BOOTSTRAP = "95 % interval: percentiles of {samples} bootstrap resamples of {what}."


def fit(config: EvaluateConfig, seed: int, *sets: ImageSet) -> Classifier:
    """The small network trained on these sets together."""
    return train_classifier(
        np.concatenate([s.images for s in sets]),
        np.concatenate([s.labels for s in sets]),
        np.concatenate([s.views for s in sets]),
        findings=config.findings,
        config=config.classifier,
        seed=seed,
    )


def network_text(config: EvaluateConfig, test: ImageSet) -> str:
    """The small network in words."""
    size, c = test.images.shape[1], config.classifier
    start = f"from the layers of {c.pretrained}" if c.pretrained else "from scratch"
    return (
        f"Network: residual CNN, widths {', '.join(map(str, c.widths))}, {c.steps} steps of "
        f"{c.batch_size} images {start}, no flips; resize none ({size}x{size}), pixels [-1, 1]. "
        f"A finding that is uncertain is left out; one not mentioned is "
        f"{'left out' if config.not_mentioned == 'ignore' else 'taken as absent'}."
    )


def measure_alignment(
    config: EvaluateConfig,
    classifier: Classifier,
    train: ImageSet,
    test: ImageSet,
    synthetic: Mapping[str, ImageSet],
) -> dict[str, Any]:
    """Judge every set, and the held-out real films, which are the ceiling."""
    untrained = trainable(train.labels, config.findings, config.min_cases)
    judged = {
        name: alignment(
            classifier.predict(images.images),
            images.labels,
            images.views,
            images.patients,
            config.findings,
            untrained,
            min_cases=config.min_cases,
            samples=config.bootstrap,
            seed=config.seed,
        )
        for name, images in (*synthetic.items(), ("ceiling", test))
    }
    what = "prompts (of patients for real films)"
    definition = [
        f"A classifier trained on {len(train)} real films of the train split (seed "
        f"{config.classifier_seeds[0]}) judges each set against what was asked; its own score on "
        "held-out real films is the ceiling. AUROC 0.5 is chance.",
        network_text(config, test),
        BOOTSTRAP.format(samples=config.bootstrap, what=what) + " Shares: Wilson's interval.",
    ]
    return {"definition": definition, **judged}


def measure_fidelity(
    config: EvaluateConfig,
    extractor: Extractor,
    train: ImageSet,
    test: ImageSet,
    synthetic: Mapping[str, ImageSet],
) -> dict[str, Any]:
    """FID and KID of every set and of the floor, with what they were computed on."""

    def features(images: ImageSet) -> FeatureSet:
        return FeatureSet(features=extractor(images.images), patients=images.patients)

    numbers = fidelity(
        {name: features(images) for name, images in synthetic.items()},
        features(train),
        features(test),
        subsets=config.fid_subsets,
        samples=config.fid_bootstrap,
        seed=config.seed,
    )
    size = test.images.shape[1]
    definition = [
        f"Fréchet distance of features to {numbers['n_reference']} held-out real films; images "
        f"are {size}x{size}; {extractor.definition}.",
        "FID of few images is biased upwards, so every set and the floor are compared at the same "
        f"n = {numbers['n']} with the same held-out films; of a set with more images, the mean of "
        f"{config.fid_subsets} random subsets of n. The floor is real films of the train split, "
        "which share no patient with the held-out ones.",
        f"95 % interval: 1.96 standard deviations over {config.fid_bootstrap} bootstrap resamples "
        "of patients and prompts on both sides, paired between sets (resampling with repeats "
        "raises FID itself, so its spread is used and not its level).",
        "KID: squared MMD with the kernel (x.y / d + 1)^3, unbiased at any n, same features.",
    ]
    definition_fields = {**vars(extractor.definition), "image_size": size}
    return {"definition": definition, "extractor": definition_fields, **numbers}


def measure_diversity(
    config: EvaluateConfig, test: ImageSet, synthetic: Mapping[str, ImageSet]
) -> dict[str, Any]:
    """MS-SSIM of every set and of held-out real films."""
    sets = {**synthetic, "test": test}
    numbers = diversity(
        {name: (images.images, images.radiographs) for name, images in sets.items()},
        per_group=config.images_per_prompt,
        samples=config.bootstrap,
        seed=config.seed,
    )
    size = test.images.shape[1]
    weights = scale_weights(size)
    definition = [
        f"MS-SSIM on gray images in [0, 1], resize none ({size}x{size}), {len(weights)} scales "
        f"(weights {', '.join(f'{w:.4f}' for w in weights)}: Wang et al. 2003"
        + (
            ", the first ones renormalised to sum 1, since five need 176 pixels"
            if len(weights) < 5
            else ""
        )
        + "), window 11 pixels, sigma 1.5, the coarsest scale with a reflected border, "
        "as torchmetrics.",
        f"All pairs among at most {config.images_per_prompt} images that share a prompt, or view "
        "and findings present (real films have no prompt; two of one patient are not paired); "
        "mean over pairs, then over groups.",
        BOOTSTRAP.format(samples=config.bootstrap, what="groups"),
    ]
    return {"definition": definition, **numbers}


def measure_utility(
    config: EvaluateConfig,
    real: Sequence[Classifier],
    train: ImageSet,
    test: ImageSet,
    synthetic: ImageSet,
) -> dict[str, Any]:
    """The same network trained on real, synthetic and both, judged on held-out real films."""
    seeds = config.classifier_seeds
    trained = {
        "real": real,
        "synthetic": [fit(config, seed, synthetic) for seed in seeds],
        "both": [fit(config, seed, train, synthetic) for seed in seeds],
    }
    labels = {
        "real": train.labels,
        "synthetic": synthetic.labels,
        "both": np.concatenate([train.labels, synthetic.labels]),
    }
    numbers = utility(
        {k: [c.predict(test.images).findings for c in each] for k, each in trained.items()},
        test.labels,
        test.patients,
        config.findings,
        {k: trainable(v, config.findings, config.min_cases) for k, v in labels.items()},
        {k: len(v) for k, v in labels.items()},
        min_cases=config.min_cases,
        samples=config.bootstrap,
        seed=config.seed,
    )
    definition = [
        f"The same network from the same start, for the same number of steps, trained on "
        f"{len(train)} real films, on the {len(synthetic)} images of {synthetic.name!r}, and on "
        f"both; AUROC on held-out real films, mean over {len(seeds)} training seed(s).",
        network_text(config, test),
        BOOTSTRAP.format(samples=config.bootstrap, what="held-out patients, the same for all")
        + " It covers the choice of patients, not of the training seed.",
    ]
    held_out = len(held_out_prompts(synthetic, test))
    if held_out:
        definition.append(
            f"{synthetic.name!r} was made with the prompts of {held_out} held-out patients: labels "
            "only, no pixels."
        )
    return {"definition": definition, "set": synthetic.name, **numbers}
