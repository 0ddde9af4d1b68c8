import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from safetensors.torch import load_file, save_file
from torch import Tensor

from roentgen import cache
from roentgen.cache import Cache, CacheContents, open_cache
from roentgen.distributed import SINGLE_PROCESS, Launch, Processes
from roentgen.errors import InputError
from roentgen.file_lock import locked_file

CONTENTS = CacheContents(
    key="k", items=10, tensors={"a": (torch.float16, (2, 3)), "n": (torch.int64, (1,))}
)


class Rank(Launch):
    """One of several processes, which runs without waiting for the others."""

    def wait_for_everyone(self, timeout: timedelta = timedelta()) -> None: ...


@pytest.fixture(autouse=True)
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "SHARD_BYTES", 4 * CONTENTS.item_bytes)  # 10 items: 4, 4, 2


def truth(items: range) -> dict[str, Tensor]:
    """Item i holds i, i + 0.5, ... and i^2."""
    numbers = torch.tensor(items)
    return {
        "a": numbers[:, None, None] + torch.arange(6).view(2, 3) / 2,
        "n": numbers[:, None] ** 2,
    }


class Encoder:
    """The truth, with a record of what was asked."""

    def __init__(self, of: Callable[[range], dict[str, Tensor]] = truth) -> None:
        self.asked: list[int] = []
        self._of = of

    def __call__(self, items: range) -> dict[str, Tensor]:
        self.asked += items
        return self._of(items)


def opened(
    folder: Path,
    encode: Any,
    contents: CacheContents = CONTENTS,
    processes: Processes = SINGLE_PROCESS,
) -> Cache:
    return open_cache(
        folder,
        contents,
        encode,
        label="tests",
        chunk=3,
        name_of=lambda item: f"item {item}",
        processes=processes,
    )


def test_what_is_read_is_what_was_encoded(tmp_path: Path) -> None:
    encode = Encoder()
    made = opened(tmp_path / "new" / "cache", encode)
    assert encode.asked == list(range(10))
    items = [9, 0, 5, 5]
    assert made.read("a", items).equal(truth(range(10))["a"][items])
    assert made.read("a", items).dtype == torch.float32
    assert made.read("n", items).equal(torch.tensor([[81], [0], [25], [25]]))
    again = Encoder()
    assert opened(tmp_path / "new" / "cache", again).read("n", [3]).item() == 9
    assert again.asked == []


def test_each_process_makes_its_share(tmp_path: Path) -> None:
    encoders = [Encoder(), Encoder()]
    with pytest.raises(OSError, match="shard-00000"):  # the other has not made it yet
        opened(tmp_path, encoders[1], processes=Rank(1, 2))
    made = opened(tmp_path, encoders[0], processes=Rank(0, 2))
    assert [encoder.asked for encoder in encoders] == [[0, 1, 2, 3, 8, 9], [4, 5, 6, 7]]
    assert made.read("n", range(10)).flatten().tolist() == [i**2 for i in range(10)]


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1  # the last byte of the last tensor
    path.write_bytes(content)


def another(path: Path) -> None:
    """The same tensors, signed by none."""
    save_file({name: tensor.clone() for name, tensor in load_file(path).items()}, path)


@pytest.mark.parametrize(
    "damage",
    [
        flip,
        another,
        lambda path: path.write_bytes(path.read_bytes()[:-1]),
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(b"\xff" * 200),
        lambda path: path.write_bytes((path.parent / "shard-00000.safetensors").read_bytes()),
    ],
)
def test_a_damaged_shard_is_named_and_made_again_alone(
    tmp_path: Path, damage: Callable[[Path], Any], capsys: pytest.CaptureFixture[str]
) -> None:
    opened(tmp_path, truth)
    path = tmp_path / "shard-00001.safetensors"
    whole = path.read_bytes()
    damage(path)
    encode = Encoder()
    opened(tmp_path, encode)
    assert encode.asked == [4, 5, 6, 7]
    assert path.read_bytes() == whole
    assert f"{path} is damaged: it is encoded again" in capsys.readouterr().out


def test_what_a_killed_run_finished_is_kept(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def die(items: range) -> dict[str, Tensor]:
        if items[0] >= 4:
            raise KeyboardInterrupt
        return truth(items)

    with pytest.raises(KeyboardInterrupt):
        opened(tmp_path, die)
    encode = Encoder()
    opened(tmp_path, encode)
    assert encode.asked == [4, 5, 6, 7, 8, 9]
    assert "damaged" not in capsys.readouterr().out


def test_another_key_is_made_anew(tmp_path: Path) -> None:
    opened(tmp_path, truth)
    encode = Encoder()
    contents = CacheContents(key="other", items=10, tensors=CONTENTS.tensors)
    opened(tmp_path, encode, contents)
    assert encode.asked == list(range(10))


@pytest.mark.parametrize("value", [float("nan"), 70_000.0])  # the latter is beyond float16
def test_what_is_not_finite_is_told_by_its_item(tmp_path: Path, value: float) -> None:
    def broken(items: range) -> dict[str, Tensor]:
        tensors = truth(items)
        if 5 in items:
            tensors["a"][items.index(5), 1, 1] = value
        return tensors

    with pytest.raises(InputError, match="item 5: 'a' is not finite"):
        opened(tmp_path, broken)
    assert [path.name for path in tmp_path.iterdir()] == ["shard-00000.safetensors"]


def test_leftovers_go_but_not_what_another_run_writes(tmp_path: Path) -> None:
    (tmp_path / ".dead.partial").write_text("half")
    with locked_file(tmp_path / ".alive.partial", wait=False):
        opened(tmp_path, truth)
        assert {path.name for path in tmp_path.glob(".*")} == {".alive.partial"}


def test_a_whole_cache_that_may_not_be_written_to_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened(tmp_path, truth)
    monkeypatch.setattr("os.access", lambda path, mode: False)
    assert opened(tmp_path, truth).read("n", [2]).item() == 4
    (tmp_path / "shard-00002.safetensors").unlink()
    with pytest.raises(InputError, match="lacks 1 of its 3 shards and is not writable"):
        opened(tmp_path, truth)


def test_runs_that_make_a_cache_at_once_do_each_other_no_harm(tmp_path: Path) -> None:
    for i in range(10):  # the others are begun from nothing
        opened(tmp_path / str(i), truth)
        flip(tmp_path / str(i) / "shard-00001.safetensors")
    barrier = threading.Barrier(3)

    def run(_: int) -> None:
        for i in range(20):
            barrier.wait()
            made = opened(tmp_path / str(i), truth)
            assert made.read("n", range(10)).flatten().tolist() == [i**2 for i in range(10)]

    with ThreadPoolExecutor(3) as pool:
        assert list(pool.map(run, range(3))) == [None, None, None]


def test_accelerate_is_such_a_process(tmp_path: Path) -> None:
    AcceleratorState._reset_state(reset_partial_state=True)
    assert opened(tmp_path, truth, processes=Accelerator(cpu=True)).read("n", [3]).item() == 9
