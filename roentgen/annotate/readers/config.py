"""Settings of language models that read reports: a local one, and a server; free of torch."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from roentgen.errors import InputError, require, require_distinct, require_range

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True, kw_only=True)
class LocalModelConfig:
    """A causal language model in local files, which scores the choices of a question."""

    path: Path
    """A folder that transformers' AutoModelForCausalLM opens (safetensors), or a GGUF file."""
    device: Literal["cpu", "cuda", "mps"] | None = None
    """Device; null: a GPU if there is one."""
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """Precision; auto: bfloat16 where the device computes it faster (GPUs since Ampere, CPUs with
    AVX-512 BF16), else float32."""
    batch_size: int = 16
    """Questions of a report that are computed together; each holds a copy of the report's keys and
    values in memory."""
    max_tokens: int | None = None
    """Longest prompt in tokens; of a longer one the questions have no answer ("too long"), as a
    report is never cut. null: what the model's configuration states."""
    plain_prompt: bool = False
    """Use a model without a chat template, which completes "Report: ... Answer:"."""
    subtract_prior: bool = False
    """Divide the probability of each choice by the one that it has without a report (Zhao et al.
    2021): for small models that prefer a choice whatever the report says."""

    def __post_init__(self) -> None:
        require_range(self, "model.batch_size", at_least=1)
        require_range(self, "model.max_tokens", at_least=1, note="or null")


@dataclass(frozen=True, kw_only=True)
class ServerConfig:
    """A server that speaks OpenAI's API: vLLM, llama.cpp, Ollama."""

    url: str
    """Its base URL, such as http://127.0.0.1:8000/v1; http+unix://%2Frun%2Fllm.sock/v1 is a UNIX
    socket."""
    model: str | None = None
    """The model, by the name that the server lists; null: the only one that it lists."""
    structure: Literal["json_schema", "vllm", "llama.cpp"] | None = "json_schema"
    """How the server is held to the choices: json_schema (response_format: Ollama, llama.cpp,
    vLLM), vllm (structured_outputs), llama.cpp (grammar); null: by the question alone. Answers are
    checked all the same."""
    api_key_variable: str | None = None
    """The environment variable that holds the API key; null: the server needs none."""
    timeout: float = 120
    """Seconds until an answer is complete."""
    parallel: int = 8
    """Requests at the same time."""
    attempts: int = 5
    """Attempts for each question of a server that is busy, fails or does not reply, with growing
    pauses between them."""
    seed: int = 0
    """Seed that is sent with temperature 0."""
    may_leave_this_machine: bool = False
    """Send reports to another machine; their licenses must be named."""
    licenses: tuple[str, ...] = ()
    """The licenses of the reports, which you have found to allow that, by name."""

    def __post_init__(self) -> None:
        require_range(self, "server.timeout", above=0)
        require_range(self, "server.parallel", "server.attempts", at_least=1)
        if self.may_leave_this_machine:
            note = "name the licenses of the reports that may_leave_this_machine allows to leave"
            require_distinct(self, "server.licenses", note=note)
        variable = self.api_key_variable
        if variable is not None and not _VARIABLE.fullmatch(variable):
            # It may be the key itself, which is not repeated.
            raise InputError(
                "server.api_key_variable is no name of an environment variable: put the key in a "
                "variable, and give its name"
            )
        require(self.model != "", "server.model is empty: give a name or null")
