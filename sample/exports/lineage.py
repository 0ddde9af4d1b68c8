"""Lineage in exports: which identifiers and report texts leave with the images."""

import hmac
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

from roentgen.errors import InputError
from roentgen.prompts.context_words import ContextRule, shipped_rules
from roentgen.prompts.parser import parse_prompt
from roentgen.record.radiograph import Radiograph, Synthesis

Lineage = Literal["none", "hashed", "full"]


def lineage_of(requested: Lineage | None, licenses: Sequence[Mapping[str, Any]]) -> Lineage:
    """The lineage of an export: none of data whose license forbids sharing, unless requested."""
    return requested or ("full" if all(terms["may_share"] for terms in licenses) else "none")


class LineageFilter:
    """Radiographs with what a lineage lets out of identifiers and texts.

    full: everything. none: real radiographs, their studies and patients are numbered in the order
    of the export; reports and their statements, the context of patients, pointers to source
    radiographs, and prompts that say more than the labels are removed: a table or a list of prompts
    may quote reports as well.
    hashed: as none, but identifiers and pointers are replaced by keyed hashes (HMAC-SHA-256, 16
    hexadecimal digits), equal for equal identifiers; the key is drawn for each export and not kept.
    """

    def __init__(self, lineage: Lineage) -> None:
        self.lineage = lineage
        self._key = secrets.token_bytes(32)
        self._numbers: dict[str, dict[str, int]] = {"image": {}, "patient": {}, "study": {}}

    def withheld(self) -> str | None:
        """What does not leave, in words; None if everything does."""
        if self.lineage == "full":
            return None
        ids = "numbered" if self.lineage == "none" else "replaced by keyed hashes"
        sources = " and the radiographs that images were drawn for" * (self.lineage == "none")
        return (
            f"lineage {self.lineage}: without reports, the context of patients, prompts that say "
            f"more than the labels{sources}; identifiers are {ids}"
        )

    def __call__(self, radiograph: Radiograph) -> Radiograph:
        """The radiograph as it leaves; its pixels and labels are unchanged."""
        if self.lineage == "full":
            return radiograph
        synthesis = radiograph.synthesis
        if synthesis is not None:
            synthesis = self._synthesis(radiograph, synthesis)
            return replace(radiograph, report=None, statements=(), synthesis=synthesis)
        return replace(
            radiograph,
            report=None,
            statements=(),
            context=(),
            id=self._name("image", radiograph.id),
            patient_id=self._name("patient", radiograph.patient_id),
            study_id=self._name("study", radiograph.study_id),
        )

    def _synthesis(self, radiograph: Radiograph, synthesis: Synthesis) -> Synthesis:
        sources = {name: v for name, v in vars(synthesis).items() if name.startswith("from_") and v}
        hashed = self.lineage == "hashed"
        changes: dict[str, Any] = {n: self._hash(v) if hashed else None for n, v in sources.items()}
        if not _says_only_labels(radiograph, synthesis.prompt):
            changes["prompt"] = ""
        return replace(synthesis, **changes)

    def _name(self, kind: str, identifier: str) -> str:
        if self.lineage == "hashed":
            return self._hash(identifier)
        numbers = self._numbers[kind]
        return f"{kind}-{numbers.setdefault(identifier, len(numbers) + 1):07d}"

    def _hash(self, identifier: str) -> str:
        return hmac.digest(self._key, identifier.encode(), "sha256").hex()[:16]


def _says_only_labels(radiograph: Radiograph, prompt: str) -> bool:
    """Whether a prompt has the radiograph's labels in the grammar's words, and nothing else."""
    own = {rule.word: rule for rule in shipped_rules()}
    for value in radiograph.context:
        own.setdefault(value.name, ContextRule(word=value.name, name=value.name))
    try:
        content = parse_prompt(prompt, tuple(own.values()))
    except InputError:
        return False
    return (
        set(content.findings) <= set(radiograph.findings)
        and {(v.name, v.value) for v in content.context}
        <= {(v.name, v.value) for v in radiograph.context}
        and not content.others
        and (content.age is None or content.age == _years(radiograph.age))
        and content.sex in (None, radiograph.sex)
        and content.race in (None, radiograph.race)
    )


def _years(age: float | None) -> float | None:
    return None if age is None else float(int(age))  # as prompts have it
