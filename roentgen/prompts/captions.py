"""Captions of pictures, in the words of the prompt grammar."""

import re

from roentgen.prompts.grammar import PromptStyle, prompt_of
from roentgen.record.radiograph import VIEW_TOKENS, Radiograph

_VIEWS = {token: view.lower() if len(view) > 2 else view for view, token in VIEW_TOKENS.items()}


def prompt_caption(prompt: str) -> str:
    """A prompt with the view in letters in place of its token: "PA: 63 year old woman, edema"."""
    for token, view in _VIEWS.items():
        prompt = re.sub(f" *{token}", f" {view}:", prompt, flags=re.IGNORECASE)
    return prompt.strip().removesuffix(":")


def radiograph_caption(radiograph: Radiograph) -> str:
    """View, patient and findings present or uncertain; if there are none, the absent ones."""
    shown = any(finding.state != "absent" for finding in radiograph.findings)
    style = PromptStyle(demographics=True, mention_absent=not shown)
    known = prompt_caption(prompt_of(radiograph, style))
    unknown = "" if radiograph.findings else "findings unknown"
    return ", ".join(words for words in (known, unknown) if words)
