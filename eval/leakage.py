"""Leakage checks: held-out patients in sets, prompts and models, as far as manifests tell."""

from dataclasses import dataclass

from eval.sets import Sets, fitted, kind_of, mentioned, reference_images
from eval.shared_patients import near_duplicates
from roentgen.dataset.image_set import ImageSet
from roentgen.diffusion.backbones.model_folder import model_manifest, recorded_model
from roentgen.diffusion.training_record import trained_split
from roentgen.errors import InputError

Check = dict[str, str]


def checks(sets: Sets, trained_on: str | None, seed: int = 0) -> list[Check]:
    """The checks with their results; `trained_on` is the set that utility trains on.

    `seed` samples the images that are searched for among the reference's.

    That train and test share a patient was refused earlier. Raises InputError for a set of a model
    that was trained on the test split.
    """
    train, test = sets.train, sets.test
    patients = f"holds: {len(set(train.patients))} and {len(set(test.patients))} patients"
    result = [{"check": "train and test share no patient", "result": patients}]
    if sets.two_datasets:
        result += _two_datasets(train, test)
    for name, images in sets.synthetic.items():
        found = {
            "patients of the test split whose prompts were used": _prompts(images, test),
            "the model was not trained on the test split": _model_training(images, test),
        }
        training = recorded_training(images)
        if training is not None and training.is_of(train) is False:
            found["the model was trained on the train radiographs"] = (
                "no: near-duplicates are searched among radiographs that it has not seen, and "
                "membership is not measured"
            )
        own = len(named_patients(images, test))
        if own:
            found["patients of the test split named as its own"] = (
                f"{own}: this set may contain real radiographs"
            )
        others = sum(r.synthesis is None for r in images.radiographs)
        if others:
            found["all images are synthetic"] = (
                f"no: {others} of {len(images)} have no record of a synthesis; the set is "
                f"{kind_of(images.radiographs)}"
            )
        own, n = reference_images(images, sets, seed)
        if own:
            found["no image is a radiograph of the reference"] = f"no: {own} of {n} are"
        ours, theirs = fitted(test.dataset), fitted(images.dataset)
        if ours and theirs and ours != theirs:
            found["images fitted as the reference's"] = f"no: {theirs}, the reference {ours}"
        if name == trained_on:
            found["utility trains on it"] = _use(images, test)
        result += [{"check": f"{name}: {check}", "result": text} for check, text in found.items()]
    return result


def _two_datasets(train: ImageSet, test: ImageSet) -> list[Check]:
    """Checks of train and test radiographs that are of two datasets."""
    limit, pairs = near_duplicates(train, test)
    text = f"none of {len(test)} held-out radiographs is (similarity above {limit:.3f})"
    if pairs:
        named = "; ".join(f"{p.test} of {p.train} ({p.similarity:.3f})" for p in pairs[:5])
        more = f"; and {len(pairs) - 5} more" if len(pairs) > 5 else ""
        text = (
            f"{len(pairs)} of {len(test)} held-out radiographs may be of train patients: "
            f"similarity above {limit:.3f}: {named}{more}"
        )
    in_train, in_test = mentioned(train), mentioned(test)
    of = ((name, name in in_train, name in in_test) for name in test.findings)
    lacking = [
        f"{name} ({'train alone' if by_train else 'test alone' if by_test else 'neither'})"
        for name, by_train, by_test in of
        if not (by_train and by_test)
    ]
    return [
        {
            "check": "train and test are of one dataset",
            "result": f"no: {train.dataset.folder} and {test.dataset.folder}: floors and ceilings "
            "include the shift between the datasets",
        },
        {"check": "no held-out radiograph is a near-duplicate of a train one", "result": text},
        {
            "check": "train and test mention the same findings",
            "result": f"not measured: {', '.join(lacking)}" if lacking else "holds",
        },
    ]


def prompt_patients(images: ImageSet) -> set[str]:
    """The patients whose prompts a synthetic set was generated from, if recorded."""
    syntheses = [r.synthesis for r in images.radiographs if r.synthesis]
    return {synthesis.from_patient for synthesis in syntheses if synthesis.from_patient is not None}


def held_out_prompts(images: ImageSet, test: ImageSet) -> set[str]:
    """The held-out patients among them."""
    return prompt_patients(images) & _held_out(test)


def named_patients(images: ImageSet, test: ImageSet) -> set[str]:
    """The held-out patients listed as a synthetic set's own: it may contain real radiographs."""
    return set(images.patients) & _held_out(test)


def _held_out(test: ImageSet) -> set[str]:
    """All patients of the test split, also those that `max_images` excluded."""
    return set().union(*(split.patients() for split in test.splits))


def _has_unknown_patients(images: ImageSet) -> bool:
    """Whether a set's prompts are from a dataset, but not recorded of which patients."""
    made_from = images.dataset.manifest["provenance"].get("made_from", {})
    return "prompts" in made_from and not prompt_patients(images)


def _prompts(images: ImageSet, test: ImageSet) -> str:
    if _has_unknown_patients(images):
        return "unknown: its prompts are from a dataset, of patients that are not recorded"
    sources, held_out = prompt_patients(images), held_out_prompts(images, test)
    if not sources:
        return "none: no prompt is recorded to be from a patient"
    if not held_out:
        return f"none of the {len(sources)} patients whose prompts were used"
    return (
        f"{len(held_out)} of the {len(sources)} patients whose prompts were used: the set "
        f"uses their {_used(images)}, not their pixels"
    )


def _used(images: ImageSet) -> str:
    """What of the patients a set was generated from."""
    syntheses = [r.synthesis for r in images.radiographs if r.synthesis]
    with_masks = any(synthesis.conditioning_scale is not None for synthesis in syntheses)
    return "labels and masks" if with_masks else "labels"


def _use(images: ImageSet, test: ImageSet) -> str:
    if _has_unknown_patients(images):
        return "unknown whether it uses held-out prompts"
    count = len(held_out_prompts(images, test))
    if not count:
        return "it uses no held-out prompt"
    return (
        f"it uses held-out prompts, of {count} patients (their {_used(images)}, not their "
        "pixels): the gain may differ from that of a set generated from other prompts"
    )


@dataclass(frozen=True, kw_only=True)
class RecordedTraining:
    """What a set's model was trained on, as far as manifests lead to it."""

    datasets: tuple[str, ...]  # fingerprints; empty if none is recorded
    split: str | None

    def is_of(self, images: ImageSet) -> bool | None:
        """Whether it was these radiographs; None if it is not known."""
        if not self.datasets:
            return None
        if images.dataset.fingerprint not in self.datasets:
            return False
        return None if self.split is None else self.split in [s.name for s in images.splits]


def recorded_training(images: ImageSet) -> RecordedTraining | None:
    """The training data of a set's model; None if the set does not lead to a model folder."""
    model = recorded_model(images.dataset.manifest["provenance"])
    try:
        manifest = model_manifest(str(model)) if model else None
    except InputError:
        manifest = None
    if manifest is None:
        return None
    sources = manifest["provenance"].get("made_from", {})
    prints = [s.get("fingerprint") for s in sources.values() if s.get("kind") == "dataset"]
    return RecordedTraining(datasets=tuple(map(str, prints)), split=trained_split(manifest))


def _model_training(images: ImageSet, test: ImageSet) -> str:
    """The training split of the set's model, as far as manifests lead to it."""
    training = recorded_training(images)
    if training is None:
        return "unknown: the set does not lead to a model folder"
    if not training.datasets:
        return "unknown: the model records no training dataset"
    if test.dataset.fingerprint not in training.datasets:
        return f"unknown: it was trained on another dataset ({', '.join(training.datasets)})"
    if training.is_of(test):
        raise InputError(
            f"synthetic.{images.name} was generated by a model trained on split "
            f"{training.split!r} of {test.dataset.folder}, which is held out here: choose another "
            "reference.test"
        )
    if not training.split:
        return "trained on the same dataset; its split is not recorded"
    return f"holds: trained on split {training.split!r} of the same dataset"
