"""A Stable Diffusion of a few thousand weights and datasets of a few images, for tests.

Of drawn images: a bright disc is an effusion, a dark ring a pneumothorax.
"""

import os
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL, PNDMScheduler, UNet2DConditionModel
from transformers import (
    BertConfig,
    BertModel,
    BertTokenizer,
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    T5Config,
    T5ForConditionalGeneration,
    T5Tokenizer,
)

from roentgen.dataset.dataset import DatasetWriter
from roentgen.diffusion.backbones.stable_diffusion import save_model
from roentgen.diffusion.components import Components
from roentgen.diffusion.conditions.clip_tokenizer import clip_tokenizer
from roentgen.imaging.images import encode_png
from roentgen.randomness import numpy_generator
from roentgen.record.finding import Finding
from roentgen.record.radiograph import VIEWS, Radiograph, Report, Split, Synthesis

os.environ.setdefault("OMP_NUM_THREADS", "1")  # else programs choose, and the last bits differ
SIZE = 32  # pixels; latents are 8x8
LICENSE = {"name": "CC0-1.0", "data_use": None, "may_share": True}
SYNTHESIS = partial(  # of an image whose synthesis does not matter; what does is given
    Synthesis,
    prompt="",
    negative_prompt=None,
    seed=0,
    guidance_scale=4.0,
    steps=20,
    scheduler="DDIM",
    model="abcdef",
)
_NAMES = ("Cardiomegaly", "Pleural Effusion", "Pneumothorax")


def small_components(seed: int = 0, prediction_type: str = "epsilon") -> Components:
    """The five components, with random weights."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        vae = AutoencoderKL(
            block_out_channels=(8, 8, 8),
            down_block_types=("DownEncoderBlock2D",) * 3,
            up_block_types=("UpDecoderBlock2D",) * 3,
            norm_num_groups=4,
            latent_channels=4,
        )
        unet = UNet2DConditionModel(
            sample_size=8,
            block_out_channels=(8, 16),
            down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
            up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
            layers_per_block=1,
            norm_num_groups=4,
            cross_attention_dim=16,
            attention_head_dim=2,
        )
        text_encoder = CLIPTextModel(
            CLIPTextConfig(
                hidden_size=16,
                intermediate_size=32,
                num_hidden_layers=2,
                num_attention_heads=2,
                vocab_size=49408,
                bos_token_id=49406,
                eos_token_id=49407,
            )
        )
    scheduler = PNDMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        skip_prk_steps=True,
        steps_offset=1,
        prediction_type=prediction_type,
    )
    return Components(
        vae=vae.eval(),
        unet=unet.eval(),
        text_encoder=text_encoder.eval(),
        tokenizer=clip_tokenizer(),
        scheduler=scheduler,
    )


def save_full_size_model(folder: Path) -> Components:
    """Stable Diffusion 1.5's architecture with random weights and our tokenizer."""
    components = small_components()
    components.vae = AutoencoderKL(
        block_out_channels=(128, 256, 512, 512),
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        layers_per_block=2,
        latent_channels=4,
        sample_size=512,
    )
    components.unet = UNet2DConditionModel(sample_size=64, cross_attention_dim=768)
    components.text_encoder = CLIPTextModel(
        CLIPTextConfig(
            hidden_size=768,
            intermediate_size=3072,
            num_hidden_layers=12,
            num_attention_heads=12,
            bos_token_id=49406,
            eos_token_id=49407,
        )
    )
    save_model(folder, components, licenses=[LICENSE], provenance={})
    return components


def save_small_model(folder: Path, prediction_type: str = "epsilon") -> Path:
    """A small model folder."""
    components = small_components(prediction_type=prediction_type)
    save_model(folder, components, licenses=[LICENSE], provenance={})
    return folder


def save_small_dataset(
    folder: Path, *, train: int = 16, validate: int = 6, size: int = SIZE
) -> Path:
    """A small dataset folder of noise images, one a patient."""
    generator = np.random.default_rng(0)
    counts: dict[Split, int] = {"train": train, "validate": validate}
    with DatasetWriter(
        folder, licenses=[LICENSE], provenance={}, preparation={"size": size, "fit": "pad"}
    ) as writer:
        for split, count in counts.items():
            for i in range(count):
                pixels = generator.integers(0, 256, (size, size), dtype=np.uint8)
                finding = Finding(name=_NAMES[i % 3])  # type: ignore[arg-type]
                writer.add(
                    Radiograph(
                        id=f"{split}-{i}",
                        patient_id=f"{split}-{i}",
                        study_id=f"{split}-{i}",
                        split=split,
                        image=encode_png(pixels),
                        view=VIEWS[i % 3],
                        findings=(finding,),
                        report=Report(impression=f"Stable {finding.name.lower()}."),
                        source="test",
                        license="CC0-1.0",
                    )
                )
    return folder


_WORDS = ["a", "small", "left", "effusion", "cardiomegaly", "no", "pneumothorax", "chest", "view"]
_LETTERS = "abcdefghijklmnopqrstuvwxyz.,"


def save_text_model(folder: Path, kind: str, width: int = 24) -> Path:
    """A small text model with random weights and its tokenizer: bert, clip or t5.

    As such models are published: BERT with its pooler, CLIP with its projection, T5 with its
    decoder; BERT and T5 draw dropout as they train. BERT takes 40 tokens.
    """
    model: BertModel | CLIPTextModelWithProjection | T5ForConditionalGeneration
    tokenizer: BertTokenizer | T5Tokenizer
    layers = {"num_attention_heads": 2, "num_hidden_layers": 2, "intermediate_size": 32}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        if kind == "bert":
            special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
            entries = [*special, *_WORDS[1:], *_LETTERS, *(f"##{letter}" for letter in _LETTERS)]
            tokenizer = BertTokenizer(vocab={token: i for i, token in enumerate(entries)})
            sizes = {"vocab_size": len(entries), "hidden_size": width}
            model = BertModel(BertConfig(**sizes, **layers, max_position_embeddings=40))
        elif kind == "t5":
            special = ["<pad>", "</s>", "<unk>"]
            pieces = [(token, 0.0) for token in special]
            pieces += [(f"\u2581{word}", -2.0) for word in _WORDS]
            pieces += [(letter, -5.0) for letter in f"\u2581{_LETTERS}"]
            tokenizer = T5Tokenizer(vocab=pieces, extra_ids=0)
            sizes = {"vocab_size": 64, "d_model": width, "d_kv": 8, "d_ff": 32}
            model = T5ForConditionalGeneration(T5Config(**sizes, num_layers=2, num_heads=2))
        else:
            tokenizer = clip_tokenizer()
            sizes = {"vocab_size": 49408, "hidden_size": width, "projection_dim": 8}
            ends = {"bos_token_id": 49406, "eos_token_id": 49407}
            model = CLIPTextModelWithProjection(CLIPTextConfig(**sizes, **layers, **ends))
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def make_text_model() -> Callable[..., Path]:
    """Makes a small text model; see `save_text_model`."""
    return save_text_model


@pytest.fixture(scope="session")
def make_small_components() -> Callable[..., Components]:
    """Makes small components; see `small_components`."""
    return small_components


@pytest.fixture(scope="session")
def save_full_size() -> Callable[[Path], Components]:
    """`save_full_size(folder)`: a model of 4 GB."""
    return save_full_size_model


@pytest.fixture(scope="session")
def save_small() -> Callable[[Path], Path]:
    """`save_small(folder)`: a small model folder; see `save_small_model`."""
    return save_small_model


@pytest.fixture(scope="session")
def make_small_dataset() -> Callable[..., Path]:
    """Makes a small dataset; see `save_small_dataset`."""
    return save_small_dataset


@pytest.fixture(scope="session")
def small_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small model folder that predicts epsilon; not to be written to."""
    return save_small_model(tmp_path_factory.mktemp("small") / "model")


@pytest.fixture(scope="session")
def small_dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small dataset folder with 16 images to train on and 6 held out; not to be written to."""
    return save_small_dataset(tmp_path_factory.mktemp("small") / "dataset")


def draw(effusion: bool, ring: bool, view: int, generator: np.random.Generator) -> np.ndarray:
    y, x = np.mgrid[:SIZE, :SIZE] / SIZE
    image = 0.4 + 0.04 * generator.standard_normal((SIZE, SIZE)) + generator.uniform(-0.05, 0.05)
    image += 0.1 * np.sin(20 * (x, y, x + y)[view])
    if effusion:
        centre = generator.uniform(0.3, 0.7, 2)
        image += 0.35 * ((x - centre[0]) ** 2 + (y - centre[1]) ** 2 < 0.03)
    if ring:
        image -= 0.3 * (np.abs(np.hypot(x - 0.5, y - 0.5) - 0.4) < 0.05)
    return (image.clip(0, 1) * 255).astype(np.uint8)


@pytest.fixture(scope="session")
def write_drawn() -> Callable[..., Path]:
    """A writer of drawn datasets; `wrong` is the share of images that are not what is said."""

    def write(
        folder: Path,
        counts: dict[Split, int],
        seed: int,
        *,
        wrong: float = 0.0,
        blur: float = 0.0,
        synthetic: bool = False,
        size: int | None = None,
        fit: str = "pad",
        provenance: dict[str, object] | None = None,
        source: str = "drawn",
    ) -> Path:
        preparation = {"size": size or SIZE, "fit": fit}
        with DatasetWriter(
            folder,
            licenses=[LICENSE],
            provenance=provenance or {"program": "drawn", "made_from": {}},
            preparation=preparation,
        ) as writer:
            for split, count in counts.items():
                for i in range(count):
                    row = _drawn(split, i, seed, wrong, blur, synthetic, size)
                    writer.add(row if synthetic else replace(row, source=source))
        return folder

    return write


def _drawn(
    split: Split, i: int, seed: int, wrong: float, blur: float, synthetic: bool, size: int | None
) -> Radiograph:
    generator = numpy_generator(seed, split, i)
    said = generator.random(2) < 0.5
    view = i % 3
    truth = generator.random(2) < 0.5 if generator.random() < wrong else said
    shown_view = int(generator.integers(3)) if generator.random() < wrong else view
    image = draw(bool(truth[0]), bool(truth[1]), shown_view, generator)
    if blur:
        image = (image * (1 - blur) + image.mean() * blur).astype(np.uint8)
    if size:
        image = np.kron(image, np.ones((size // SIZE, size // SIZE), np.uint8))
    names = ("Pleural Effusion", "Pneumothorax")
    findings = tuple(
        Finding(name=name, state="present" if yes else "absent")  # type: ignore[arg-type]
        for name, yes in zip(names, said, strict=True)
    )
    prompt = f"{VIEWS[view]} {said.tolist()}"
    synthesis = SYNTHESIS(prompt=prompt, seed=i)
    return Radiograph(
        id=f"{seed}-{split}-{i}",
        patient_id=f"{seed}-{split}-{i // 2}",
        study_id=f"{seed}-{split}-{i}",
        split=split,
        image=encode_png(image),
        view=VIEWS[view],
        findings=findings,
        source="synthetic" if synthetic else "drawn",
        license="CC0-1.0",
        synthesis=synthesis if synthetic else None,
    )
