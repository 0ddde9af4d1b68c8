"""Whole runs of `roentgen.prepare` with all their processes, to be killed and counted."""

import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from roentgen.config import load_config
from roentgen.imaging.images import encode_png
from roentgen.preparation.part_record import PART_ITEMS, preparation_folder
from roentgen.prepare import PrepareConfig, prepare

ROOT = Path(__file__).parents[2]
_MARK = "ROENTGEN_TEST_RUN"  # in the environment of all processes of a run


def write_corpus(root: Path, items: int, pixels: int) -> Path:
    """The configuration of a table of noise images, of which all items share ten."""
    root.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(0).integers(0, 256, (10, pixels, pixels), dtype=np.uint8)
    for i, image in enumerate(noise):
        (root / f"{i}.png").write_bytes(encode_png(image))
    lines = [f"{i},{i % 10}.png,p{i // 2}" for i in range(items)]
    (root / "t.csv").write_text("\n".join(["id,image,patient", *lines]) + "\n")
    config = root / "config.yaml"
    config.write_text(f"""
output: {root / "unset"}
size: {pixels}
workers: 2
split: {{fractions: {{train: 0.7, validate: 0.1, test: 0.2}}}}
table:
  root: {root}
  file: t.csv
  id: id
  image: image
  patient_id: patient
  licenses: [{{name: CC0-1.0, data_use: null, may_share: true}}]
""")
    return config


class Run:
    """A run of the program, which leads a group of its own as in a terminal."""

    def __init__(
        self,
        config: Path,
        out: Path,
        *overrides: str,
        launcher: Sequence[str] = (sys.executable,),
        **environment: str,
    ) -> None:
        self.out, self.work = out, preparation_folder(out)
        mark = uuid.uuid4().hex
        self._mark = f"{_MARK}={mark}"
        self.process = subprocess.Popen(
            [*launcher, "-m", "roentgen.prepare", str(config), f"--output={out}", *overrides],
            cwd=ROOT,
            env={**os.environ, "OMP_NUM_THREADS": "1", _MARK: mark, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def processes(self, rank: int | None = None) -> dict[int, str]:
        """The command lines of its living processes, of all or of a launcher's rank, by id."""
        found = {}
        for folder in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                environment = (folder / "environ").read_text().split("\0")
                if self._mark in environment and rank in (None, _rank(environment)):
                    command = (folder / "cmdline").read_text().replace("\0", " ")
                    found[int(folder.name)] = command
        return dict(sorted(found.items()))

    def workers(self) -> list[int]:
        """The worker processes: they have the fork server's command line, and are younger."""
        return [p for p, line in self.processes().items() if ".forkserver " in line][1:]

    def wait_for_parts(self, number: int) -> None:
        """Until so many parts are finished, of more."""
        self.wait_for(lambda: len(self.work.finished()) >= number)

    def wait_for(self, what: Callable[[], object]) -> None:
        """Until something is so."""
        deadline = time.monotonic() + 120
        while not what():
            assert self.process.poll() is None, self.process.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.005)

    def end(self, code: int | None = None) -> tuple[str, str]:
        """(stdout, stderr), once all of its processes have ended as they must."""
        told = self.process.communicate(timeout=100)  # whoever holds the pipes has ended
        deadline = time.monotonic() + 20
        while left := self.processes():
            assert time.monotonic() < deadline, left
            time.sleep(0.05)
        assert code in (None, self.process.returncode), told
        return told

    def kill(self, rank: int | None = None) -> None:
        """Kill all of its processes, or those of a launcher's rank."""
        for pid in self.processes(rank):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def _rank(environment: Sequence[str]) -> int | None:
    ranks = [line.removeprefix("RANK=") for line in environment if line.startswith("RANK=")]
    return int(ranks[0]) if ranks else None


def shards(out: Path) -> dict[str, bytes]:
    """All Arrow files of a dataset."""
    return {str(path.relative_to(out)): path.read_bytes() for path in out.rglob("*.arrow")}


@pytest.fixture(scope="session")
def make_corpus() -> Callable[[Path, int, int], Path]:
    """Writes a corpus; see `write_corpus`."""
    return write_corpus


@pytest.fixture(scope="session")
def shards_of() -> Callable[[Path], dict[str, bytes]]:
    """Reads a dataset's Arrow files."""
    return shards


@pytest.fixture(scope="session")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The configuration of a corpus of eight parts, a second of work or two."""
    return write_corpus(tmp_path_factory.mktemp("corpus"), 7 * PART_ITEMS + 9, 64)


@pytest.fixture(scope="session")
def whole(table: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The Arrow files of an uninterrupted run of one process."""
    out = tmp_path_factory.mktemp("whole") / "out"
    prepare(load_config(PrepareConfig, [str(table), f"--output={out}", "--workers=1"]))
    return shards(out)


@pytest.fixture
def start(request: pytest.FixtureRequest) -> Callable[..., Run]:
    """Starts a run; see `Run`."""

    def run(*arguments: Path | str, **environment: str) -> Run:
        started = Run(*arguments, **environment)  # type: ignore[arg-type]

        def leave_nothing() -> None:
            started.kill()
            started.process.communicate()

        request.addfinalizer(leave_nothing)
        return started

    return run


@pytest.fixture(scope="session")
def resume() -> Callable[[Path, Path], dict[str, bytes]]:
    """Runs to the end what was interrupted; gives the Arrow files."""

    def run(config: Path, out: Path) -> dict[str, bytes]:
        prepare(load_config(PrepareConfig, [str(config), f"--output={out}", "--workers=1"]))
        assert [path.name for path in out.parent.iterdir()] == [out.name]
        return shards(out)

    return run


@pytest.fixture(autouse=True)
def no_rank(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever runs the tests under a launcher does not share them out."""
    for name in ("RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
