"""Stable Diffusion 1.x and 2.x pipelines: find, load, extend with view tokens, save."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import load_file, save_file

from roentgen.diffusion.backbones.model_folder import (
    CONDITIONS,
    CONTROLNET,
    find_model,
    pipeline_fingerprint,
    read_component_json,
    weight_files,
)
from roentgen.diffusion.backbones.transformers_compatibility import make_compatible
from roentgen.diffusion.components import Components
from roentgen.diffusion.conditions.record_conditions import new_network
from roentgen.diffusion.conditions.text_encoder import (
    fold_projection,
    read_text_encoder,
    read_tokenizer,
)
from roentgen.diffusion.model_card import write_model_card
from roentgen.errors import InputError
from roentgen.manifest import read_manifest, verify_files, write_manifest
from roentgen.record.radiograph import VIEW_TOKENS, VIEW_WORDS
from roentgen.storage import MANIFEST, atomic_folder
from roentgen.terminal.progress import without_library_bars
from roentgen.untrusted_files import check_network_files, check_weights

if TYPE_CHECKING:
    from diffusers import ControlNetModel

MOST_TIMESTEPS = 10_000  # of a noise schedule; Stable Diffusion has 1000


def load_components(base: str) -> Components:
    """Load any Stable Diffusion 1.x or 2.x pipeline: "tiny", a folder or a repository id.

    Raises InputError if it cannot be found or a component, which it names, cannot be read.
    """
    import diffusers

    folder = find_model(base)
    index = read_component_json(folder, "model_index.json")
    scheduler = _scheduler_class(folder, index["scheduler"])
    readers: dict[str, Callable[[], Any]] = {
        "vae": lambda: _network(diffusers.AutoencoderKL, folder, "vae"),
        "unet": lambda: _network(diffusers.UNet2DConditionModel, folder, "unet"),
        "text_encoder": lambda: _text_encoder(folder),
        "tokenizer": lambda: load_tokenizer(str(folder)),
        "scheduler": lambda: _scheduler(scheduler, folder),
    }
    if CONTROLNET in index:
        readers[CONTROLNET] = lambda: _network(diffusers.ControlNetModel, folder, CONTROLNET)
    loaded = {component: _read(folder, component, read) for component, read in readers.items()}
    _check_tokenizer(folder, loaded["tokenizer"], loaded["text_encoder"])
    structures = _structures(folder, loaded.get(CONTROLNET))
    components = Components(**loaded, prompt_chunks=_prompt_chunks(folder), structures=structures)
    for file in sorted((folder / CONDITIONS).glob("*.safetensors")):
        network = new_network(file.stem, components)
        _read(folder, CONDITIONS, lambda: network.load_state_dict(load_file(file)))  # noqa: B023
        components.condition_networks[file.stem] = network
    return components


def _network(reader: Any, folder: Path, component: str) -> Any:
    check_network_files(folder / component)
    network, report = reader.from_pretrained(
        folder / component,
        torch_dtype=torch.float32,
        use_safetensors=True,
        local_files_only=True,
        output_loading_info=True,
        **_variant(folder, component),
    )
    check_weights(network, report)
    return network


def _scheduler_class(folder: Path, named: Any) -> Any:
    """The scheduler that an index names. Raises InputError unless it is one of diffusers."""
    import diffusers

    found = getattr(diffusers, str(named[1]), None)
    if not (isinstance(found, type) and issubclass(found, diffusers.SchedulerMixin)):
        raise InputError(
            f"base model {folder} names {named} as its scheduler in model_index.json: a scheduler "
            'of diffusers is needed, such as ["diffusers", "DDIMScheduler"]'
        )
    steps = read_component_json(folder, "scheduler/scheduler_config.json").get(
        "num_train_timesteps"
    )
    if not (isinstance(steps, int) and 0 < steps <= MOST_TIMESTEPS):
        raise InputError(
            f"the scheduler of base model {folder} has num_train_timesteps={steps!r}: 1 to "
            f"{MOST_TIMESTEPS} are supported"
        )
    return found


def _scheduler(kind: Any, folder: Path) -> Any:
    """The scheduler of a folder, once one of its configuration has set some timesteps."""
    scheduler = kind.from_pretrained(folder / "scheduler", local_files_only=True)
    trial = kind.from_config(scheduler.config)
    trial.set_timesteps(min(10, trial.config.num_train_timesteps))
    return scheduler


def _check_tokenizer(folder: Path, tokenizer: Any, text_encoder: Any) -> None:
    """Raises InputError for a tokenizer of more tokens, or longer prompts, than its encoder has."""
    embeddings = text_encoder.get_input_embeddings().num_embeddings
    positions = getattr(text_encoder.config, "max_position_embeddings", None)
    if len(tokenizer) > embeddings:
        raise InputError(
            f"the tokenizer of base model {folder} has {len(tokenizer)} tokens, its text encoder "
            f"{embeddings}: give the tokenizer that belongs to it"
        )
    limit = tokenizer.model_max_length
    if not isinstance(limit, int) or not 2 < limit <= (positions or limit):
        raise InputError(
            f"the tokenizer of base model {folder} has model_max_length={limit!r}, but its text "
            f"encoder takes {positions} tokens"
        )


def _read(folder: Path, component: str, read: Callable[[], Any]) -> Any:
    """A component of a pipeline, verified first. Raises InputError, naming it, if it is damaged."""
    verify_files(folder, "model", component)
    try:
        return read()
    except Exception as error:  # each library has its own; all mean the folder cannot be read
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        if not _local_weights(folder, component) and _pickled(folder / component):
            reason = "its weights are pickled, which can run code: save them as safetensors"
        raise InputError(f"cannot read the {component} of base model {folder}: {reason}") from error


def load_controlnet(folder: Path) -> tuple["ControlNetModel", tuple[str, ...]]:
    """The ControlNet of a folder alone, and the structures that it knows.

    Raises InputError if it cannot be read.
    """
    from diffusers import ControlNetModel

    read = _read(folder, CONTROLNET, lambda: _network(ControlNetModel, folder, CONTROLNET))
    return read, _structures(folder, read)


def load_text_encoder(base: str) -> tuple[Any, Any, int]:
    """The text encoder of a pipeline alone, its tokenizer and the chunks a prompt is given.

    Raises InputError if it cannot be found or read.
    """
    folder = find_model(base)
    encoder = _read(folder, "text_encoder", lambda: _text_encoder(folder))
    return encoder, load_tokenizer(base), _prompt_chunks(folder)


def _text_encoder(folder: Path) -> Any:
    return read_text_encoder(folder / "text_encoder", **_variant(folder, "text_encoder"))


def load_tokenizer(base: str) -> Any:
    """The tokenizer of a pipeline alone."""
    folder = find_model(base)
    verify_files(folder, "model", "text_encoder/config.json", "tokenizer")
    kind = read_component_json(folder, "text_encoder/config.json").get("model_type", "")
    return read_tokenizer(folder / "tokenizer", kind)


def _variant(folder: Path, component: str) -> dict[str, Any]:
    """What names the files of a component that has its weights in half precision alone."""
    half = any(".fp16" in name for name in _local_weights(folder, component))
    return {"variant": "fp16" if half else None}


def _local_weights(folder: Path, component: str) -> list[str]:
    files = (folder / component).glob("*.safetensors")
    return weight_files(path.relative_to(folder).as_posix() for path in files)


def _pickled(folder: Path) -> bool:
    return any(folder.glob("*.bin")) or any(folder.glob("*.ckpt"))


def _prompt_chunks(folder: Path) -> int:
    """The chunks a model's prompts were given in training; one if its manifest has none."""
    if not (folder / MANIFEST).exists():
        return 1
    return int(read_manifest(folder, "model").get("prompt_chunks", 1))


def _structures(folder: Path, controlnet: "ControlNetModel | None") -> tuple[str, ...]:
    """The structures that a model's ControlNet knows. Raises InputError if it does not say them."""
    if controlnet is None:
        return ()
    has_manifest = (folder / MANIFEST).exists()
    structures = read_manifest(folder, "model").get("structures") if has_manifest else []
    channels = controlnet.config.conditioning_channels
    if not isinstance(structures, list) or len(structures) != channels:
        raise InputError(
            f"the ControlNet of {folder} has {channels} channels, but {MANIFEST} does not say of "
            "which structures: train one with train.controlnet"
        )
    return tuple(structures)


def add_view_tokens(tokenizer: Any, text_encoder: Any) -> None:
    """Add the view tokens; their embeddings start as the mean of ordinary words' (VIEW_WORDS).

    Tokens that are there already stay as they are.
    """
    new = [view for view, token in VIEW_TOKENS.items() if token not in tokenizer.get_vocab()]
    if not new:
        return
    tokenizer.add_tokens([VIEW_TOKENS[view] for view in new])
    if len(tokenizer) > text_encoder.get_input_embeddings().num_embeddings:
        text_encoder.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    weight = text_encoder.get_input_embeddings().weight
    with torch.no_grad():
        for view in new:
            words = tokenizer(VIEW_WORDS[view], add_special_tokens=False).input_ids
            weight[tokenizer.convert_tokens_to_ids(VIEW_TOKENS[view])] = weight[words].mean(dim=0)


def save_model(
    folder: Path,
    components: Components,
    *,
    licenses: Sequence[Mapping[str, Any]],
    provenance: Mapping[str, Any],
    half: bool = False,
    overwrite: bool = False,
) -> None:
    """Save a plain diffusers pipeline folder with its card and roentgen.json, atomically.

    `StableDiffusionPipeline.from_pretrained(folder)` opens it and draws without our code, whatever
    precision is stored, in older transformers too; with a ControlNet
    `StableDiffusionControlNetPipeline` does; networks of other conditions it ignores. A projection
    is folded into the UNet and weights are rounded if `half`, both in memory too.
    """
    fold_projection(components)  # before anything is rounded
    for net in components.networks().values() if half else ():
        net.half()
    extra: dict[str, Any] = {"prompt_chunks": components.prompt_chunks}
    if components.controlnet:
        extra["structures"] = list(components.structures)
    with atomic_folder(folder, overwrite=overwrite) as partial, without_library_bars():
        pipeline_of(components).save_pretrained(partial, safe_serialization=True)
        for name, network in components.condition_networks.items():
            (partial / CONDITIONS).mkdir(exist_ok=True)
            save_file(network.state_dict(), partial / CONDITIONS / f"{name}.safetensors")
        make_compatible(partial, components.text_encoder, components.tokenizer)
        write_model_card(partial, "model", licenses=licenses, provenance=provenance, **extra)
        fingerprint = pipeline_fingerprint(partial)
        write_manifest(partial, "model", fingerprint, list(licenses), dict(provenance), **extra)


def pipeline_of(components: Components) -> Any:
    """A StableDiffusionPipeline over the live modules, nothing copied; or a ControlNet one."""
    from diffusers import StableDiffusionControlNetPipeline, StableDiffusionPipeline

    controlnet = {} if components.controlnet is None else {CONTROLNET: components.controlnet}
    return (StableDiffusionControlNetPipeline if controlnet else StableDiffusionPipeline)(
        **controlnet,
        vae=components.vae,
        unet=components.unet,
        text_encoder=components.text_encoder,
        tokenizer=components.tokenizer,
        scheduler=components.scheduler,
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def module_fingerprint(module: torch.nn.Module) -> str:
    """Fingerprint of a module's weights: names, shapes and float32 values; 16 hex digits."""
    digest = hashlib.sha256()
    for name, weight in sorted(module.state_dict().items()):
        digest.update(f"{name}{tuple(weight.shape)}".encode())
        digest.update(weight.detach().float().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]
