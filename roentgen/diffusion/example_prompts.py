"""Example prompts of a model, in the words of its training and of no patient's report."""

from collections.abc import Mapping
from typing import Any

from roentgen.diffusion.training_record import training_config
from roentgen.prompts.grammar import PromptStyle, compose, findings_text
from roentgen.record.finding import Finding

_EXAMPLE = (  # where no prompt of the training is known to state a finding
    Finding(name="Cardiomegaly", state="present"),
    Finding(name="Pleural Effusion", state="present", side="left", severity="small"),
)


def examples(manifest: Mapping[str, Any], style: PromptStyle) -> list[str]:
    """Prompts of the training's previews; without any, one of what its prompts state most often.

    Prompts of the training images themselves may be the words of patients' reports.
    """
    preview = training_config(manifest).get("preview") or {}
    if prompts := preview.get("prompts"):
        return [str(prompt) for prompt in prompts[:3]]
    stated = stated_counts(manifest)
    years = most_frequent(stated.get("age", {}))
    return [
        compose(
            findings_text(frequent_findings(manifest, style), style),
            style,
            view=most_frequent(stated.get("view", {})),  # type: ignore[arg-type]
            age=int(years.split("-")[0].split()[0]) + 5 if years else None,
            sex=most_frequent(stated.get("sex", {})),  # type: ignore[arg-type]
        )
    ]


def frequent_findings(manifest: Mapping[str, Any], style: PromptStyle) -> tuple[Finding, ...]:
    """The finding that training prompts state most often, and that which they most often deny."""
    stated = stated_counts(manifest)
    counts = stated.get("finding", {})
    absent = {k.removesuffix(" absent"): n for k, n in counts.items() if k.endswith(" absent")}
    present = {
        name: n
        for name, n in counts.items()
        if not name.endswith((" absent", " uncertain")) and name != "No Finding"
    }
    if not present:
        return _EXAMPLE
    name = most_frequent(present)
    words = {
        kind: most_frequent(
            {
                value.partition(" ")[0]: n
                for value, n in stated.get(kind, {}).items()
                if value.partition(" ")[2] == name
            }
        )
        for kind in ("side", "severity")
    }
    found = [Finding(name=name, state="present", **words)]  # type: ignore[arg-type]
    other = most_frequent({k: n for k, n in absent.items() if k not in (name, "No Finding")})
    if other and style.mention_absent:
        found.append(Finding(name=other, state="absent"))  # type: ignore[arg-type]
    return tuple(found)


def most_frequent(counts: Mapping[str, int]) -> str | None:
    """The value with the largest count; None if there is none."""
    return max(counts, key=lambda value: (counts[value], value), default=None)


def stated_counts(manifest: Mapping[str, Any]) -> dict[str, dict[str, int]]:
    """What the prompts of the model's own training state, if it is recorded."""
    stages = manifest["provenance"].get("training_prompts") or [{}]
    return stages[0].get("stated") or {}
