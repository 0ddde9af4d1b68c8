"""What is known of who is held out, as far as sets and manifests tell: statements for the page."""

from pathlib import Path

from eval.sets import Sets, fitted
from roentgen.dataset.image_set import ImageSet
from roentgen.errors import InputError
from roentgen.manifest import read_manifest

Check = dict[str, str]


def checks(sets: Sets, trained_on: str | None) -> list[Check]:
    """What holds and what does not; `trained_on` is the set that utility trains on.

    Train against test was refused if they met. Raises InputError for a set by a model that was
    trained on the test split.
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
                f"{own}: this set may hold real films"
            )
        ours, theirs = fitted(test.dataset), fitted(images.dataset)
        if ours and theirs and ours != theirs:
            found["images fitted as the reference's"] = f"no: {theirs}, the reference {ours}"
        if name == trained_on:
            found["utility trains on it"] = _use(images, test)
        result += [{"check": f"{name}: {check}", "result": text} for check, text in found.items()]
    return result


def prompt_patients(images: ImageSet) -> set[str]:
    """The patients whose prompts a synthetic set was made with, as far as it says."""
    made = [r.synthesis for r in images.radiographs if r.synthesis]
    return {synthesis.from_patient for synthesis in made if synthesis.from_patient is not None}


def held_out_prompts(images: ImageSet, test: ImageSet) -> set[str]:
    """The held-out patients among them."""
    return prompt_patients(images) & _held_out(test)


def named_patients(images: ImageSet, test: ImageSet) -> set[str]:
    """The held-out patients that a synthetic set calls its own: it may hold real films."""
    return set(images.patients) & _held_out(test)


def _held_out(test: ImageSet) -> set[str]:
    """All patients of the test split, whether or not `max_images` left them in the set."""
    return set().union(*(split.patients() for split in test.splits))


def _untold(images: ImageSet) -> bool:
    """Whether a set has prompts of a dataset's films but does not say of which."""
    made_from = images.dataset.manifest["provenance"].get("made_from", {})
    return "prompts" in made_from and not prompt_patients(images)


def _prompts(images: ImageSet, test: ImageSet) -> str:
    if _untold(images):
        return "unknown: its prompts are a dataset's, but it does not say of which patients"
    sources, held_out = prompt_patients(images), held_out_prompts(images, test)
    if not sources:
        return "none: no prompt is said to be a patient's"
    if not held_out:
        return f"none of the {len(sources)} patients whose prompts were used"
    return (
        f"{len(held_out)} of the {len(sources)} patients whose prompts were used: what their "
        "prompts tell was asked for, no pixel of theirs is in the set"
    )


def _use(images: ImageSet, test: ImageSet) -> str:
    if _untold(images):
        return "unknown whether it uses held-out prompts"
    count = len(held_out_prompts(images, test))
    if not count:
        return "it uses no held-out prompt"
    return (
        f"it uses held-out prompts, of {count} patients (labels only, no pixels): the gain may not "
        "be that of a set made from other prompts"
    )


def _model_training(images: ImageSet, test: ImageSet) -> str:
    """Follow the set's model to the dataset that it was tuned on, as far as manifests say."""
    model = images.dataset.manifest["provenance"].get("made_from", {}).get("model") or {}
    try:
        manifest = read_manifest(Path(model["path"]), "model")
    except (InputError, KeyError, TypeError):
        return "unknown: the set does not lead to a model folder"
    sources = manifest["provenance"].get("made_from", {})
    prints = [s.get("fingerprint") for s in sources.values() if s.get("kind") == "dataset"]
    if not prints:
        return "the model names no dataset that it was trained on"
    if test.dataset.fingerprint not in prints:
        return f"unknown: it was trained on another dataset ({', '.join(map(str, prints))})"
    config = manifest["provenance"].get("config", {})
    data = config.get("data", config)
    split = data.get("split") or data.get("train_split") if isinstance(data, dict) else None
    if split in [held_out.name for held_out in test.splits]:
        raise InputError(
            f"synthetic.{images.name} was made by a model trained on split {split!r} of "
            f"{test.dataset.folder}, which is held out here: choose another reference.test_split"
        )
    if not split:
        return "trained on the same dataset; its split is not recorded"
    return f"holds: trained on split {split!r} of the same dataset"
