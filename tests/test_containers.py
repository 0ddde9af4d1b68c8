"""Container recipes: they copy what exists, run without root and network, and agree."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
DOCKERFILE = (ROOT / "containers/Dockerfile").read_text()
DEFINITION = (ROOT / "containers/roentgen.def").read_text()
IGNORE = (ROOT / "containers/Dockerfile.dockerignore").read_text()
PACKAGED = {"pyproject.toml", "README.md", "LICENSE", "configs", "roentgen", "train", "sample"}
PACKAGED |= {"eval"}


def instructions(text: str) -> list[tuple[str, str]]:
    """The instructions of a Dockerfile."""
    joined = re.sub(r"\\\n", " ", re.sub(r"^#.*\n", "", text, flags=re.MULTILINE))
    lines = [line.split(maxsplit=1) for line in joined.splitlines() if line.strip()]
    return [(name, rest) for name, rest in lines]


def sections(text: str) -> dict[str, str]:
    """The sections of a definition file."""
    parts = re.split(r"^%(\w+)\n", text, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def test_each_copies_the_parts_that_programs_need() -> None:
    copied = [rest.split()[:-1] for name, rest in instructions(DOCKERFILE) if name == "COPY"]
    assert {part for parts in copied for part in parts} == PACKAGED
    files = [line.split() for line in sections(DEFINITION)["files"].splitlines() if line.strip()]
    assert {source for source, _ in files} == PACKAGED
    assert all(target == f"/opt/roentgen/{source}" for source, target in files)
    assert {line[1:] for line in IGNORE.splitlines() if line.startswith("!")} == PACKAGED
    assert all((ROOT / part).exists() for part in PACKAGED)


def test_the_last_user_is_not_root_and_nothing_is_installed_after_it() -> None:
    names = [name for name, _ in instructions(DOCKERFILE)]
    assert set(names) <= {"FROM", "ARG", "ENV", "RUN", "WORKDIR", "COPY", "USER"} | {
        "ENTRYPOINT",
        "CMD",
    }
    assert dict(instructions(DOCKERFILE))["USER"] == "roentgen"
    assert "RUN" not in names[names.index("USER") :]
    assert "useradd" in DOCKERFILE


def test_both_choose_torch_by_an_argument_and_are_offline() -> None:
    index = "https://download.pytorch.org/whl/"
    assert index + "${TORCH}" in DOCKERFILE
    assert index + "{{ TORCH }}" in DEFINITION
    assert "ARG TORCH=cpu" in DOCKERFILE
    assert sections(DEFINITION)["arguments"].strip() == "TORCH=cpu"
    base = dict(instructions(DOCKERFILE))["FROM"]
    assert f"From: {base}\n" in DEFINITION
    assert "HF_HUB_OFFLINE=1" in sections(DEFINITION)["environment"]
    assert "HF_HUB_OFFLINE=1" in DOCKERFILE
    assert 'exec python -m "$@"' in sections(DEFINITION)["runscript"]
    assert dict(instructions(DOCKERFILE))["ENTRYPOINT"] == '["python", "-m"]'
