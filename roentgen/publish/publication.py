"""Publication: a verified copy of a folder with a complete card, for the Hugging Face hub."""

import shlex
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from roentgen.cards.hub_license import LICENSE_FILE, license_header, license_lines, sharing
from roentgen.cards.markdown import (
    PLACE,
    card_text,
    parse_card,
    plain,
    with_section,
    with_title,
)
from roentgen.checksums import read_checksums
from roentgen.dataset.card import patients_notice
from roentgen.diffusion.card_code import hub_base
from roentgen.diffusion.model_card import EVALUATION, model_card
from roentgen.diffusion.training_record import training_config
from roentgen.errors import InputError
from roentgen.manifest import (
    Kind,
    fingerprint_of,
    is_unstated,
    read_any_manifest,
    read_manifest,
    write_manifest,
)
from roentgen.publish.config import PublishConfig
from roentgen.publish.evaluation import PublishedEvaluation
from roentgen.storage import (
    CARD,
    MANIFEST,
    atomic_folder,
    check_apart,
    check_free_space,
    check_output,
    readable_size,
    reserve_output,
    write_file,
)
from roentgen.verify import verify

KINDS = ("model", "adapter", "dataset")
_OWN = ("kind", "fingerprint", "checksums", "licenses", "provenance", "path")  # of any manifest


def publish(config: PublishConfig) -> str:
    """Write the folder to upload; returns what to do next, a line each.

    Raises InputError for terms that forbid sharing, what is missing, and what is damaged.
    """
    manifest = read_any_manifest(config.folder, "model, adapter or dataset")
    if manifest["kind"] not in KINDS:
        raise InputError(
            f"{config.folder} is a {manifest['kind']} folder: give a model, adapter or dataset"
        )
    check_apart(config.upload, {"folder": str(config.folder)})
    licenses = shared_licenses(config, manifest)
    _check_complete(config, manifest, licenses)
    evaluation = None
    if config.evaluation is not None:
        evaluation = PublishedEvaluation.read(config.evaluation, manifest)
    card = completed_card(config, manifest, licenses, evaluation)
    identity = fingerprint_of({"card": card, "fingerprint": manifest["fingerprint"]})
    with reserve_output(config.upload):
        if _is_made(config.upload, manifest["kind"], identity):
            return "\n".join([f"already made: {config.upload}", *_next_steps(config, manifest)])
        check_output(config.upload, overwrite=config.overwrite)
        size = _copy(config, manifest, licenses, card, identity)
    notes = [f"verified and copied: {size}", f"folder to upload: {config.upload}"]
    if notice := _notice(manifest, licenses):
        notes.append(notice)
    return "\n".join([*notes, *_next_steps(config, manifest)])


def shared_licenses(config: PublishConfig, manifest: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The inherited terms, with the stated license of a base. Raises InputError if one forbids."""
    for terms in manifest["licenses"]:
        if not terms["may_share"] and not is_unstated(terms):
            reason = f": {terms['data_use']}" if terms["data_use"] else ""
            raise InputError(
                f"{config.folder} must not be shared, by the terms of {terms['name']}{reason}"
            )
    stated = {"name": config.base_license, "data_use": None, "may_share": True}
    licenses: list[dict[str, Any]] = []
    for terms in manifest["licenses"]:
        known = stated if is_unstated(terms) and config.base_license else dict(terms)
        licenses += [known] if known not in licenses else []
    return licenses


def _check_complete(
    config: PublishConfig, manifest: Mapping[str, Any], licenses: Sequence[Mapping[str, Any]]
) -> None:
    """Raise InputError that names all settings that are missing."""
    missing = []
    if config.repository is None:
        missing.append("--repository=OWNER/NAME, its name on the hub")
    if config.contact is None:
        missing.append('--contact="NAME, ADDRESS", who answers questions')
    if unstated := [str(terms["name"]) for terms in licenses if is_unstated(terms)]:
        missing.append(f"--base_license=NAME, the license {' and '.join(unstated)}")
    is_adapter = manifest["kind"] == "adapter"
    if is_adapter and config.base_model is None and hub_base(manifest) is None:
        missing.append("--base_model=OWNER/NAME, the base of the adapters on the hub")
    if missing:
        raise InputError(f"the card of {config.folder} needs more: add {'; '.join(missing)}")
    if is_adapter and config.evaluation is not None:
        raise InputError(
            "evaluation: images are drawn by whole models, not by adapters: publish the model "
            "beside them with it"
        )


def completed_card(
    config: PublishConfig,
    manifest: Mapping[str, Any],
    licenses: Sequence[Mapping[str, Any]],
    evaluation: PublishedEvaluation | None,
) -> str:
    """The folder's card, as it is there, with all that only its publisher knows."""
    header, lines = parse_card(_own_card(config.folder, manifest))
    assert config.repository is not None
    assert config.contact is not None
    name = config.repository.partition("/")[2]
    for key in ("license", "license_name", "license_link"):
        header.pop(key, None)
    header = license_header(licenses) | header
    if header["license"] == "other":
        header["license_link"] = LICENSE_FILE
    if manifest["kind"] == "dataset":
        header["pretty_name"] = name
    if config.base_model:
        relation = "adapter" if manifest["kind"] == "adapter" else "finetune"
        header |= {"base_model": config.base_model, "base_model_relation": relation}
        base = str(training_config(manifest).get("base"))
        link = f"[{config.base_model}](https://huggingface.co/{config.base_model})"
        lines = [line.replace(f'"{base}"', f'"{config.base_model}"') for line in lines]
        lines = [line.replace(f"`{plain(Path(base).name)}`", link) for line in lines]
    if config.datasets:
        header["datasets"] = list(config.datasets)
    if evaluation is not None:
        lines = with_section(lines, EVALUATION, evaluation.lines())
        if manifest["kind"] == "model" and (index := evaluation.model_index(name)):
            header["model-index"] = index
    lines = with_section(lines, "Licenses and data use", license_lines(licenses))
    lines = with_section(lines, "Contact", [plain(config.contact)])
    return card_text(header, with_title(_with_repository(lines, config.repository), name))


def _own_card(folder: Path, manifest: Mapping[str, Any]) -> str:
    """The card of a folder, which may have been edited; of a model without one a new card."""
    path = folder / CARD
    try:
        if path.exists():
            return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise InputError(f"{path} is not text in UTF-8: save it so") from None
    if manifest["kind"] == "dataset":
        raise InputError(f"{folder} lacks its card, {CARD}: restore it, or make the folder again")
    return model_card(folder, manifest)


def _with_repository(lines: Sequence[str], repository: str) -> list[str]:
    """The lines with a repository of the hub in place of the folder."""
    fetched = f'open_dataset(snapshot_download("{repository}", repo_type="dataset"))'
    imported = "from roentgen import open_dataset"
    result: list[str] = []
    for line in lines:
        if line == imported:
            result.append("from huggingface_hub import snapshot_download")
        of_set = line.replace(f'open_dataset("{PLACE}")', fetched)
        result.append(of_set.replace(PLACE, repository))
    return result


def _is_made(output: Path, kind: Kind, identity: str) -> bool:
    """Whether a folder is this publication, finished by an earlier run."""
    if not (output / MANIFEST).exists():
        return False
    return bool(read_manifest(output, kind).get("publication") == identity)


def _copy(
    config: PublishConfig,
    manifest: Mapping[str, Any],
    licenses: Sequence[Mapping[str, Any]],
    card: str,
    identity: str,
) -> str:
    """Verify the folder and copy its own files; returns their number and size."""
    folder = config.folder
    found = verify(folder)
    if found.damaged:
        raise InputError(f"{folder} is damaged: {found.damaged[0]}")
    sums = read_checksums(folder, manifest["checksums"])
    sums.pop(CARD, None)
    total = sum(each.bytes for each in sums.values())
    check_free_space(config.upload, total)
    with atomic_folder(config.upload, overwrite=config.overwrite) as new:
        for name in sums:
            (new / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(folder / name, new / name)
        write_file(new / CARD, card)
        if LICENSE_FILE in card:
            write_file(new / LICENSE_FILE, "\n".join(license_lines(licenses)) + "\n")
        extra = {key: value for key, value in manifest.items() if key not in _OWN}
        write_manifest(
            new,
            manifest["kind"],
            manifest["fingerprint"],
            licenses,
            _without_places(manifest["provenance"]),
            known=sums,
            **extra | {"publication": identity},
        )
    return f"{len(sums)} files, {readable_size(total)}"


def _without_places(value: Any) -> Any:
    """JSON values in which paths out of the working directory are names: they are no one's."""
    if isinstance(value, Mapping):
        return {key: _without_places(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_without_places(item) for item in value]
    is_place = isinstance(value, str) and value.startswith(("../", "/", "~/"))
    return Path(value).name if is_place else value


def _notice(manifest: Mapping[str, Any], licenses: Sequence[Mapping[str, Any]]) -> str | None:
    if manifest["kind"] == "dataset":
        return patients_notice(manifest["counts"], licenses)
    return f"the model {sharing(licenses)}, by the terms of its card"


def _next_steps(config: PublishConfig, manifest: Mapping[str, Any]) -> list[str]:
    kind = "dataset" if manifest["kind"] == "dataset" else "model"
    command = [
        "hf",
        "upload",
        str(config.repository),
        str(config.upload),
        ".",
        f"--repo-type={kind}",
    ]
    return [
        f"nothing has been uploaded. Read {config.upload / CARD}, then upload it with:",
        f"  {shlex.join(command)}",
    ]
