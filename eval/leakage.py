"""Leakage checks: held-out patients in sets, prompts and models, as far as manifests tell."""

from eval.sets import Sets, fitted, not_synthetic
from roentgen.dataset.image_set import ImageSet
from roentgen.diffusion.training_record import model_manifest, recorded_model, trained_split
from roentgen.errors import InputError

Check = dict[str, str]


def checks(sets: Sets, trained_on: str | None) -> list[Check]:
    """The checks with their results; `trained_on` is the set that utility trains on.

    That train and test share a patient was refused earlier. Raises InputError for a set of a model
    that was trained on the test split.
    """
    train, test = sets.train, sets.test
    patients = f"holds: {len(set(train.patients))} and {len(set(test.patients))} patients"
    result = [{"check": "train and test share no patient", "result": patients}]
    for name, images in sets.synthetic.items():
        found = {
            "patients of the test split whose prompts were used": _prompts(images, test),
            "the model was not trained on the test split": _model_training(images, test),
        }
        own = len(named_patients(images, test))
        if own:
            found["patients of the test split named as its own"] = (
                f"{own}: this set may contain real radiographs"
            )
        real = len(not_synthetic(images, test.dataset))
        if real:
            found["all images are synthetic"] = (
                f"no: {real} of {len(images)} are radiographs of the reference"
            )
        ours, theirs = fitted(test.dataset), fitted(images.dataset)
        if ours and theirs and ours != theirs:
            found["images fitted as the reference's"] = f"no: {theirs}, the reference {ours}"
        if name == trained_on:
            found["utility trains on it"] = _use(images, test)
        result += [{"check": f"{name}: {check}", "result": text} for check, text in found.items()]
    return result


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


def _model_training(images: ImageSet, test: ImageSet) -> str:
    """The training split of the set's model, as far as manifests lead to it."""
    model = recorded_model(images.dataset.manifest["provenance"])
    try:
        manifest = model_manifest(str(model)) if model else None
    except InputError:
        manifest = None
    if manifest is None:
        return "unknown: the set does not lead to a model folder"
    sources = manifest["provenance"].get("made_from", {})
    prints = [s.get("fingerprint") for s in sources.values() if s.get("kind") == "dataset"]
    if not prints:
        return "unknown: the model records no training dataset"
    if test.dataset.fingerprint not in prints:
        return f"unknown: it was trained on another dataset ({', '.join(map(str, prints))})"
    split = trained_split(manifest)
    if split in [held_out.name for held_out in test.splits]:
        raise InputError(
            f"synthetic.{images.name} was generated by a model trained on split {split!r} of "
            f"{test.dataset.folder}, which is held out here: choose another reference.test_split"
        )
    if not split:
        return "trained on the same dataset; its split is not recorded"
    return f"holds: trained on split {split!r} of the same dataset"
