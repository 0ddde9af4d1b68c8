import json
import os
from pathlib import Path

import pytest

from roentgen.errors import InputError
from roentgen.untrusted_files import open_regular, read_bounded, read_json, refuse_code


def test_only_regular_files_are_opened(tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    plain.write_bytes(b"abc")
    (tmp_path / "link").symlink_to(plain)
    assert read_bounded(tmp_path / "link", 3) == b"abc"
    os.mkfifo(tmp_path / "pipe")  # to open it in the usual way would wait for a writer
    (tmp_path / "endless").symlink_to("/dev/zero")
    for special in ("pipe", "endless"):
        with pytest.raises(OSError, match="pipe or a device") as error:
            open_regular(tmp_path / special)
        assert error.value.filename == str(tmp_path / special)
    with pytest.raises(IsADirectoryError):
        open_regular(tmp_path)
    with pytest.raises(FileNotFoundError):
        open_regular(tmp_path / "absent")


def test_a_file_has_a_largest_size(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(bytes(11))
    assert len(read_bounded(tmp_path / "x", 11)) == 11
    with pytest.raises(OSError, match="larger than 10 bytes"):
        read_bounded(tmp_path / "x", 10)


def test_json_of_any_depth_is_read_or_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_text('{"a": [1]}')
    assert read_json(path) == {"a": [1]}
    for text in ("[" * 100_000 + "]" * 100_000, "{", "", "\ud800".encode("utf-8", "surrogatepass")):
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        with pytest.raises(ValueError):  # noqa: PT011
            read_json(path)


@pytest.mark.parametrize(
    ("name", "config", "named"),
    [
        ("config.json", {"auto_map": {"AutoConfig": "code.Config"}}, "auto_map"),
        ("config.json", {"text_config": {"auto_map": {"AutoModel": "o/r--code.M"}}}, "auto_map"),
        ("tokenizer_config.json", {"auto_map": {"AutoTokenizer": ["c.T", None]}}, "auto_map"),
        ("config.4.30.0.json", {"auto_map": "code.Config"}, "auto_map"),
        ("config.json", {"attn_implementation": "owner/kernel"}, "attn_implementation"),
        ("config.json", {"a": [{"_attn_implementation": {"": "o/k"}}]}, "_attn_implementation"),
    ],
)
def test_code_in_a_model_folder_is_refused(
    tmp_path: Path, name: str, config: dict[str, object], named: str
) -> None:
    (tmp_path / name).write_text(json.dumps({"model_type": "bert"} | config))
    with pytest.raises(InputError, match=f"{name} names code of its own \\({named}"):
        refuse_code(tmp_path)


def test_a_model_folder_without_code_passes(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"auto_map": null, "attn_implementation": "sdpa"}')
    (tmp_path / "tokenizer_config.json").write_text("{")  # for the library to report
    refuse_code(tmp_path)
    (tmp_path / "preprocessor_config.json").symlink_to("/dev/zero")
    with pytest.raises(InputError, match=r"preprocessor_config\.json cannot be read: it is a pipe"):
        refuse_code(tmp_path)
