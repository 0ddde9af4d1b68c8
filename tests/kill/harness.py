"""Kill programs at each of their file-system events, run them again, and compare the bytes.

`python -m tests.kill.harness FOLDER [--sample=N] [--overwrite] [PROGRAM ...]`

A program is killed in a fork of this process, which has imported everything. After each kill the
output is absent or whole, and the same command then makes the same bytes, with nothing beside them.
At last it is run once more, which changes nothing, and with another setting, which is an error.
"""

import argparse
import hashlib
import importlib
import json
import os
import shutil
import signal
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from fnmatch import fnmatch
from functools import partial
from itertools import count
from pathlib import Path
from types import SimpleNamespace

import yaml

from roentgen.errors import run_program
from tests.kill.events import End, run_forked
from tests.kill.programs import PROGRAMS, Program, make_base

Tree = dict[str, str]  # digests of files by their path; "" of empty folders
_OLD = "out/old"  # a file of the output that is overwritten, if that is a folder
_IS_THERE = ("is not empty", "exists: choose another")  # what a program says of a whole output
_WORK = (  # what the programs import after their configuration
    "roentgen.annotate.annotating",
    "train.finetuning",
    "train.controlnet_training",
    "train.averaging",
    "train.vae.pipeline",
    "sample.generation",
    "sample.screening.screened_set",
    "sample.benchmark.measurement",
    "eval.evaluation",
    "eval.vae_fidelity",
    "eval.extractor.training",
)


class Kills:
    """A program with its inputs below `folder`, killed again and again."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name, self.program = name, PROGRAMS[name]
        self.root, self.log = folder / "tree", folder / "log"
        self.inputs = folder / "inputs"
        self.config = folder / f"{name}.yaml"
        self.config.write_text(yaml.safe_dump(self.program.settings(self.inputs)))
        self.log.mkdir(exist_ok=True)

    def run(self, kill_at: int | None = None, *, overwrite: bool = False) -> End:
        """Run the program; its output is below the root."""
        return run_forked(partial(self._main, overwrite), self.root, self.log, kill_at)

    def run_first(self, *, overwrite: bool = False) -> End:
        """Run it to its end; what it imports on the way, further runs find imported."""
        modules = self.log / "modules"

        def main() -> None:
            self._main(overwrite)
            modules.write_text("\n".join(sys.modules))

        end = run_forked(main, self.root, self.log, None)
        assert end.code == 0, end.lines
        for name in modules.read_text().splitlines():
            if name not in sys.modules and not name.startswith("torch."):
                with suppress(Exception):  # some are no modules
                    importlib.import_module(name)
        return end

    def repeat(self) -> str | None:
        """What is wrong when it runs again on its own result, as it is and with another setting."""
        change = self.program.change
        if change is None:
            return None
        before = tree_of(self.root, self.program)
        same = self.run()
        main = partial(self._main, False, change, *["--resume=false"] * self._resumes)
        other = run_forked(main, self.root, self.log, None)
        key = change.removeprefix("--").partition("=")[0]
        if same.code != 0 or "already made: " not in same.lines:
            return f"run again, it ended with {same.code}: {same.lines[-500:]}"
        if other.code != 2 or f"({key}" not in other.lines:
            return f"with {change} it ended with {other.code}: {other.lines[-500:]}"
        if difference := _difference(tree_of(self.root, self.program), before):
            return f"run again, it left {difference}"
        return None

    def _main(self, overwrite: bool, *options: str) -> None:
        again = ["--overwrite=true", "--resume=false"] if self._resumes else ["--overwrite=true"]
        output = f"--output={self.root / self.program.output}"
        sys.argv = [self.name, str(self.config), output, *(again if overwrite else []), *options]
        module = importlib.import_module(self.name)
        if self.program.clock:
            clock = SimpleNamespace(monotonic=lambda: 0.0, perf_counter=count().__next__)
            vars(importlib.import_module(self.program.clock))["time"] = clock
        run_program(module.main)

    @property
    def _resumes(self) -> bool:
        return "resume" in self.program.settings(self.inputs)

    def begin(self, before: Path | None) -> None:
        """Start with nothing, or with an older output: a copy of `before` with a file more."""
        shutil.rmtree(self.root, ignore_errors=True)
        if before is None:
            self.root.mkdir(parents=True)
        else:
            shutil.copytree(before, self.root)
            is_folder = (self.root / self.program.output).is_dir()
            (self.root / (_OLD if is_folder else self.program.output)).write_text("old")

    def make(self) -> Path:
        """The program's uninterrupted result, which other programs read."""
        result = self.inputs / self.name
        if not result.exists():
            self.begin(None)
            self.run_first()
            shutil.copytree(self.root / "out", result)
        return result


def tree_of(root: Path, program: Program) -> Tree:
    """What is below a folder, without the content of files that differ from run to run."""
    tree = {}
    for path in sorted(root.rglob("*")):
        name = path.relative_to(root).as_posix()
        if any(fnmatch(name, pattern) for pattern in program.varying):
            if path.is_file() and "tensorboard" not in name:
                tree[name] = "varying"
        elif path.is_file():
            tree[name] = hashlib.sha256(path.read_bytes()).hexdigest()
        elif not any(path.iterdir()):
            tree[name] = ""
    return tree


def output_in(tree: Tree, program: Program) -> Tree:
    """The output alone."""
    name = program.output
    return {
        path: each for path, each in tree.items() if path == name or path.startswith(f"{name}/")
    }


def kills_of(name: str, folder: Path, sample: int | None, overwrite: bool) -> Iterator[str]:
    """How each kill of a program ended: "equal", "already whole", or what was wrong.

    Of a `sample`, the program is killed at so many of its events, evenly spaced, the last among
    them.
    """
    for needed in PROGRAMS[name].needs:
        list(kills_needed(needed, folder))
    kills = Kills(name, folder)
    kills.begin(None)
    first = kills.run_first()
    right = tree_of(kills.root, kills.program)
    hidden = [path for path in right if "/." in f"/{path}"]
    assert not hidden, hidden
    before = None
    older: Tree = {}
    if overwrite:
        before = folder / "before"
        shutil.rmtree(before, ignore_errors=True)
        shutil.copytree(kills.root, before)
        kills.begin(before)
        older = output_in(tree_of(kills.root, kills.program), kills.program)
        first = kills.run_first(overwrite=True)
        right = tree_of(kills.root, kills.program)  # its configuration says overwrite
        assert _OLD not in right
    whole = output_in(right, kills.program)
    events = len(first.events)
    wanted = events if sample is None else min(sample, events)
    for number in (events * (i + 1) // wanted - 1 for i in range(wanted)):
        kills.begin(before)
        end = kills.run(number, overwrite=overwrite)
        state = output_in(tree_of(kills.root, kills.program), kills.program)
        again = kills.run(overwrite=overwrite)
        after = tree_of(kills.root, kills.program)
        event = end.events[-1] if end.events else "none"
        where = f"{name} at event {number} ({event})"
        if end.code != -signal.SIGKILL:
            yield f"{where}: ended with {end.code}: {end.lines}"
        elif not kills._resumes and state not in (older, whole):
            yield f"{where}: half an output: {_difference(state, whole)}"
        elif after != right:
            yield f"{where}: then {_difference(after, right)}; {again.lines[-500:]}"
        elif again.code == 0:
            yield "equal"
        elif again.code == 2 and any(words in again.lines for words in _IS_THERE):
            yield "already whole"
        else:
            yield f"{where}: the second run ended with {again.code}: {again.lines[-500:]}"


def kills_needed(name: str, folder: Path) -> Iterator[Path]:
    """Make what a program needs, and then its own result."""
    for needed in PROGRAMS[name].needs:
        yield from kills_needed(needed, folder)
    yield Kills(name, folder).make()


def _difference(found: Tree, right: Tree) -> str:
    names = sorted(n for n in found.keys() | right.keys() if found.get(n) != right.get(n))
    words = [
        f"{'other' if n in found and n in right else 'more' if n in found else 'no'} {n}"
        for n in names
    ]
    return ", ".join(words[:5]) + (f" and {len(words) - 5} more" if words[5:] else "")


def main() -> None:
    """Print counts for each program, and each failure; exit 1 if there is one."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--sample", type=int)
    parser.add_argument("--overwrite", action="store_true")
    parser.add_argument("programs", nargs="*")
    options = parser.parse_intermixed_args()
    folder = options.folder.resolve()
    (folder / "inputs").mkdir(parents=True, exist_ok=True)
    (folder / "log").mkdir(exist_ok=True)
    for name in (*PROGRAMS, *_WORK):
        importlib.import_module(name)
    if not (folder / "inputs" / "base").exists():
        end = run_forked(partial(make_base, folder / "inputs"), folder / "no", folder / "log", None)
        assert end.code == 0, end.lines
    failed = False
    for name in options.programs or PROGRAMS:
        if options.overwrite and not PROGRAMS[name].overwrites:
            continue
        ends: Counter[str] = Counter()
        for how in kills_of(name, folder, options.sample, options.overwrite):
            failed |= how not in ("equal", "already whole")
            ends[how if how in ("equal", "already whole") else "failed"] += 1
            if failed and how not in ("equal", "already whole"):
                print(how, flush=True)
        if not options.overwrite and (wrong := Kills(name, folder).repeat()):
            failed = True
            print(f"{name}: {wrong}", flush=True)
        print(json.dumps({"program": name, "kills": ends.total(), **ends}), flush=True)
    raise SystemExit(failed)


if __name__ == "__main__":
    with suppress(BrokenPipeError):
        os.environ.setdefault("OMP_NUM_THREADS", "1")
        main()
