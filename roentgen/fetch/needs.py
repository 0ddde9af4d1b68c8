"""What a recipe or a model needs of others: repositories of the hub, weight files, corpora."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from roentgen.config import read_yaml
from roentgen.errors import InputError
from roentgen.fetch.published import (
    CORPORA,
    NETWORKS,
    WEIGHT_FILES,
    Corpus,
    HubModel,
    ManualModel,
    pipeline,
)
from roentgen.vision.published_weights import HUB

_MODEL_KEYS = ("base", "model", "initial_controlnet")
_REPOSITORY = re.compile(r"(?!runs/)[\w-][\w.-]*/[\w.-]+(@[\w.-]+)?")
_WEIGHTS = ("*.json", "*.txt", "*.model", "*.safetensors")  # of a repository that is not known


@dataclass(kw_only=True)
class Needs:
    """What is fetched beforehand, by name."""

    models: dict[str, HubModel] = field(default_factory=dict)
    files: dict[str, ManualModel] = field(default_factory=dict)
    corpora: dict[str, tuple[Corpus, str]] = field(default_factory=dict)
    """With the folder where the recipe expects it."""
    header: str = ""
    """What the recipe itself says that it needs."""

    def add(self, *models: HubModel) -> None:
        """Add repositories."""
        self.models |= {model.repository: model for model in models}


def needs_of(name: str) -> Needs:
    """The needs of a recipe, a YAML file, or of a model. Raises InputError for another name."""
    if name.endswith((".yaml", ".yml")):
        return _needs_of_recipe(Path(name))
    needs = Needs()
    by_short_name = {repository.partition("/")[2]: repository for repository in NETWORKS}
    repository = name.removeprefix(HUB)
    repository = by_short_name.get(repository, repository)
    if name in WEIGHT_FILES:
        needs.files[name] = WEIGHT_FILES[name]
    elif repository in NETWORKS:
        needs.add(*NETWORKS[repository])
    elif _REPOSITORY.fullmatch(repository) and not Path(name).exists():
        _add_repository(needs, name, is_pipeline=not name.startswith(HUB))
    elif name != "tiny":  # which is shipped
        known = ", ".join(sorted([*by_short_name, *WEIGHT_FILES]))
        raise InputError(
            f"{name!r} is neither a recipe (configs/.../x.yaml), nor a repository of the hub "
            f"(owner/name or owner/name@revision), nor one of: {known}"
        )
    return needs


def _needs_of_recipe(path: Path) -> Needs:
    values = read_yaml(path)
    needs = Needs(header=_header(path))
    for section, settings in values.items():
        if section in CORPORA and isinstance(settings, Mapping):
            root = str(settings.get("root", f"data/{section}"))
            needs.corpora[section] = (CORPORA[section], root)
    for keys, value in _texts(values):
        if value.startswith(HUB):
            _add_repository(needs, value, is_pipeline=False)
        elif keys[-2:] == ("swap_text_encoder", "model"):
            if _is_repository(value):
                _add_repository(needs, value, is_pipeline=False)
        elif keys[-1] in _MODEL_KEYS and _is_repository(value):
            _add_repository(needs, value, is_pipeline=True)
        elif keys[-1] in ("name", "extractor") and value in WEIGHT_FILES:
            needs.files[value] = WEIGHT_FILES[value]
    return needs


def _add_repository(needs: Needs, name: str, *, is_pipeline: bool) -> None:
    repository, _, revision = name.removeprefix(HUB).partition("@")
    if repository in NETWORKS:
        needs.add(*NETWORKS[repository])
    elif is_pipeline:
        needs.add(pipeline(repository, revision or None))
    else:
        needs.add(HubModel(repository=repository, revision=revision or None, files=_WEIGHTS))


def _is_repository(value: str) -> bool:
    return bool(_REPOSITORY.fullmatch(value)) and not Path(value).exists()


def _texts(values: Any, keys: Sequence[str] = ()) -> Iterator[tuple[tuple[str, ...], str]]:
    """All texts of a configuration with the keys that lead to them."""
    if isinstance(values, str):
        yield tuple(keys), values
    elif isinstance(values, Mapping):
        for key, value in values.items():
            yield from _texts(value, (*keys, str(key)))
    elif isinstance(values, list):
        for value in values:
            yield from _texts(value, keys)


def _header(path: Path) -> str:
    """The paragraph "Needs:" of the comment that a recipe begins with."""
    lines = path.read_text(encoding="utf-8").splitlines()
    comment = "\n".join(line[1:] for line in lines if line.startswith("#"))
    found = re.search(r"^ *Needs:(.*?)(?=^ *\w+:|\Z)", comment, re.MULTILINE | re.DOTALL)
    return " ".join(found[1].split()) if found else ""
