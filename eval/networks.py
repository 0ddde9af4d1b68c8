"""Networks that evaluation trains: once for each training set and seed, kept in the caches."""

import numpy as np

from eval.config import EvaluateConfig
from eval.sets import ImageSet
from roentgen.config import config_to_dict
from roentgen.data.pixels import Joined
from roentgen.models.classifier import Classifier, load_classifier, train_classifier
from roentgen.runs import fingerprint_of, whole_folder


def trained(config: EvaluateConfig, seed: int, *sets: ImageSet) -> Classifier:
    """The network trained on these sets together, or as it was kept when that was done before."""
    said = [s.key for s in sets] + [fingerprint_of(s.labels.tolist()) for s in sets]
    key = fingerprint_of([said, seed, list(config.findings), config_to_dict(config.classifier)])
    folder = config.caches_folder / f"classifier-{key}"
    if not folder.exists():
        classifier = train_classifier(
            Joined([s.images for s in sets]),
            np.concatenate([s.labels for s in sets]),
            np.concatenate([s.views for s in sets]),
            findings=config.findings,
            config=config.classifier,
            seed=seed,
        )
        with whole_folder(folder) as partial:
            classifier.save(partial)
    return load_classifier(folder)


def network_text(config: EvaluateConfig, size: int) -> str:
    """The network in words, for images of `size` pixels."""
    c = config.classifier
    start = f"from the layers of {c.pretrained}" if c.pretrained else "from scratch"
    return (
        f"Network: residual CNN, widths {', '.join(map(str, c.widths))}, {c.steps} steps of "
        f"{c.batch_size} images {start}, no flips; resize none ({size}x{size}), pixels [-1, 1]. "
        f"A finding that is uncertain is left out; one not mentioned is "
        f"{'left out' if config.not_mentioned == 'ignore' else 'taken as absent'}."
    )
