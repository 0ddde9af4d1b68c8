import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from eval.config import ReconstructionConfig, ReferenceSetConfig
from eval.vae_fidelity import measure
from roentgen.errors import InputError
from roentgen.manifest import read_manifest


def test_what_a_vae_keeps_is_measured_and_signed(
    tmp_path: Path, small_model: Path, make_small_dataset: Callable[..., Path]
) -> None:
    folder = make_small_dataset(tmp_path / "set", train=20, validate=20)
    config = ReconstructionConfig(
        model=str(small_model),
        reference=ReferenceSetConfig.of(folder, test="validate"),
        output=tmp_path / "results",
    )
    results = measure(config)
    assert json.loads((config.output / "reconstruction.json").read_text()) == results
    assert 0 < results["psnr_db"]["mean"] < 20  # noise through random weights
    manifest = read_manifest(config.output, "results")
    assert [terms["name"] for terms in manifest["licenses"]] == ["CC0-1.0"]
    assert manifest["provenance"]["made_from"]["model"]["fingerprint"] == results["model"]
    with pytest.raises(InputError, match="is not empty"):
        measure(config)
    assert measure(replace(config, overwrite=True)) == results
