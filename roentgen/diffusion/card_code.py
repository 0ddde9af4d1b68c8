"""Code in a model card that draws with the model."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from roentgen.cards.markdown import PLACE, code, plain
from roentgen.diffusion.example_prompts import (
    examples,
    frequent_findings,
    most_frequent,
    stated_counts,
)
from roentgen.diffusion.sampling.settings import SamplerSettings
from roentgen.diffusion.training_record import training_config
from roentgen.prompts.grammar import GRAMMAR_TEXTS, PromptStyle, findings_text


def hub_base(manifest: Mapping[str, Any]) -> str | None:
    """The repository of the hub that a model's base was fetched from; None for any other base."""
    source = (manifest["provenance"].get("made_from") or {}).get("base") or {}
    found = re.search(r"models--([\w.-]+?)--([\w.-]+)/snapshots/", str(source.get("path")))
    return f"{found[1]}/{found[2]}" if found else None


class CardCode:
    """Code that draws with a model: with diffusers alone, and with our Generator."""

    def __init__(
        self, manifest: Mapping[str, Any], style: PromptStyle, side: int | None, solver: str
    ) -> None:
        """`side` is that of the images in pixels, None for an adapter."""
        self.manifest, self.style, self.solver, self.side = manifest, style, solver, side or 512
        self.hub_base = hub_base(manifest)
        self.base = self.hub_base or str(training_config(manifest).get("base") or "")
        self.structures: list[str] = manifest.get("structures") or []

    @property
    def base_phrase(self) -> str:
        """The base in words."""
        if self.hub_base:
            return f"from [{self.hub_base}](https://huggingface.co/{self.hub_base})"
        if self.base == "tiny":
            return "from the tiny base that `roentgen-cxr` ships"
        if not self.base:
            return "from scratch"
        folder = Path(self.base)
        run = folder.parent if folder.name == "model" else folder  # all runs have a folder `model`
        return f"from `{plain(run.name)}`"

    def lines(self) -> list[str]:
        """The lines of both, under their names."""
        plain_use = self._adapters() if self.manifest["kind"] == "adapter" else self._pipeline()
        lines = ["With diffusers alone:", "", *code("python", *plain_use)]
        if self.manifest["kind"] == "adapter":  # Generator takes whole models
            return lines
        return [*lines, "", "With `roentgen-cxr`:", "", *code("python", *self._generator())]

    def _pipeline(self) -> list[str]:
        name = f"StableDiffusion{'ControlNet' if self.structures else ''}Pipeline"
        lines = [
            *(["import torch"] if self.structures else []),
            f"from diffusers import DPMSolverMultistepScheduler, {name}",
            "",
            f'pipeline = {name}.from_pretrained("{PLACE}")',
        ]
        return [*lines, *self._drawing()]

    def _adapters(self) -> list[str]:
        lines = [
            "from diffusers import DPMSolverMultistepScheduler, StableDiffusionPipeline",
            "",
            f'pipeline = StableDiffusionPipeline.from_pretrained("{self.base}")',
        ]
        if self.style.view_token:
            lines += [
                'for view in ("pa", "ap", "lateral"):',
                '    file = f"view-{view}.safetensors"',
                f'    pipeline.load_textual_inversion("{PLACE}", weight_name=file)',
            ]
        return [*lines, f'pipeline.load_lora_weights("{PLACE}")', *self._drawing()]

    def _drawing(self) -> list[str]:
        karras = ", use_karras_sigmas=True" if self.solver.endswith("Karras") else ""
        settings = SamplerSettings()
        prompt = examples(self.manifest, self.style)[0]
        lines = [
            "pipeline.scheduler = DPMSolverMultistepScheduler.from_config(",
            f"    pipeline.scheduler.config{karras}",
            ")",
        ]
        masks = ""
        if self.structures:
            masks = "image=masks, "
            lines += [
                f"masks = torch.zeros(1, {len(self.structures)}, {self.side}, {self.side})"
                f"  # 1 inside of: {', '.join(self.structures)}",
                f"masks[:, 0, {self._inside}] = 1",
            ]
        return [
            *lines,
            f"prompt = {json.dumps(prompt)}",
            f"image = pipeline(prompt, {masks}guidance_scale={settings.guidance_scale:g}, "
            f"num_inference_steps={settings.steps}).images[0]",
        ]

    def _generator(self) -> list[str]:
        has_findings = self.style.text in GRAMMAR_TEXTS
        imports, given, masks = ["from roentgen import Generator"], [], ""
        if self.structures:
            imports.insert(0, "import numpy as np")
            given = [
                f"mask = np.zeros(({self.side}, {self.side}), bool)  # True inside",
                f"mask[{self._inside}] = True",
            ]
            masks = f", masks={{{json.dumps(self.structures[0])}: mask}}"
        if has_findings or masks:
            findings = findings_text(frequent_findings(self.manifest, self.style), PromptStyle())
            view = most_frequent(stated_counts(self.manifest).get("view", {})) or "PA"
            views = f', views=("{view}",)' if self.style.view_token else ""
            given.append(f"findings = {json.dumps(findings)}")
            call = f"generator(findings{views}{masks}, count=2)"
        else:
            imports.append("from roentgen.generation.prompt_rows import PromptRow")
            given.append(f"prompt = {json.dumps(examples(self.manifest, self.style)[0])}")
            call = "generator.draw(generator.plan([PromptRow(prompt=prompt)]))"
        return [
            *imports,
            "",
            f'generator = Generator("{PLACE}")',
            *given,
            f"for radiograph in {call}:",
            '    with open(f"{radiograph.id}.png", "wb") as file:',
            "        file.write(radiograph.image)",
        ]

    @property
    def _inside(self) -> str:
        """An area of a mask, as an index: the middle of the right half."""
        return f"{self.side // 3}:{2 * self.side // 3}, {self.side // 2}:"
