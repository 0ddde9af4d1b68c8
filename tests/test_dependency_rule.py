"""The shape of the code: who may import whom, how long files and functions are, where tests lie."""

import ast
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

ROOT = Path(__file__).parents[1]
STAGES = ("train", "sample", "eval")
PACKAGES = ("roentgen", *STAGES)
FILES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
TESTS = sorted((ROOT / "tests").rglob("test_*.py"))
# Modules that run code when they read a file; weights are safetensors, the rest JSON or Parquet.
UNSAFE = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
LONGEST_FILE = 500
LONGEST_FUNCTION = 120
MOST_MODULES = 16  # in a folder


def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def imports(tree: ast.AST) -> Iterator[str]:
    """The dotted names of all modules that are imported, also inside functions."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: relative import"
            yield node.module or ""


def unsafe_reads(tree: ast.AST) -> Iterator[int]:
    """Lines that could run code from a file, for lack of a safe setting.

    A pickle that torch or NumPy loads, code that transformers finds in a model's folder, a script
    of `datasets`, and anything of `torch.hub`.
    """
    with_transformers = any(name.split(".")[0] == "transformers" for name in imports(tree))
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and ast.unparse(node).startswith("torch.hub."):
            yield node.lineno
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
            continue
        module = node.func.value.id if isinstance(node.func.value, ast.Name) else ""
        settings = {
            k.arg: k.value.value for k in node.keywords if isinstance(k.value, ast.Constant)
        }
        if (module, node.func.attr) in (("torch", "load"), ("open_clip", "load_checkpoint")):
            if settings.get("weights_only") is not True:
                yield node.lineno
        elif node.func.attr == "from_pretrained":
            local = settings.get("local_files_only") is True
            if not local or (with_transformers and settings.get("trust_remote_code") is not False):
                yield node.lineno
        elif node.func.attr in ("load_dataset", "load_dataset_builder"):
            if settings.get("trust_remote_code") is not False:
                yield node.lineno
        elif (
            module in ("np", "numpy") and node.func.attr == "load" and settings.get("allow_pickle")
        ):
            yield node.lineno


def offences(check: Callable[[Path], Iterable[object]]) -> dict[str, list[object]]:
    """What a check finds, by file."""
    found = {path.relative_to(ROOT).as_posix(): list(check(path)) for path in FILES}
    return {name: what for name, what in found.items() if what}


def test_stages_meet_only_in_roentgen() -> None:
    def check(path: Path) -> Iterator[str]:
        own = path.relative_to(ROOT).parts[0]
        forbidden = {*STAGES, "tests"} - {own}
        return (name for name in imports(tree_of(path)) if name.split(".")[0] in forbidden)

    assert offences(check) == {}


def module_graph() -> dict[str, set[str]]:
    """Each module with the modules of ours that it imports, wherever in the file it does."""
    names = {".".join(path.relative_to(ROOT).with_suffix("").parts): path for path in FILES}
    graph: dict[str, set[str]] = {}
    for name, path in names.items():
        found = {
            f"{node.module}.{alias.name}"
            if f"{node.module}.{alias.name}" in names
            else (node.module or "")
            for node in ast.walk(tree_of(path))
            if isinstance(node, ast.ImportFrom)
            for alias in node.names
        }
        graph[name] = ((found | set(imports(tree_of(path)))) & set(names)) - {name}
    return graph


def circle(graph: dict[str, set[str]]) -> list[str] | None:
    """The names of a circle, the first at its end again; None where there is none."""
    try:
        tuple(TopologicalSorter(graph).static_order())
    except CycleError as error:
        return list(error.args[1])
    return None


def inside(folder: str, graph: dict[str, set[str]]) -> dict[str, set[str]]:
    """The files and folders in a folder, with those beside them that they import."""
    rooms: dict[str, set[str]] = {}
    for name, imported in graph.items():
        if name.startswith(f"{folder}."):
            room = name.removeprefix(f"{folder}.").split(".")[0]
            others = (n.removeprefix(f"{folder}.") for n in imported if n.startswith(f"{folder}."))
            rooms.setdefault(room, set()).update(other.split(".")[0] for other in others)
    return {room: others - {room} for room, others in rooms.items()}


def test_no_files_import_each_other_in_a_circle() -> None:
    assert circle(module_graph()) is None


def test_no_folders_import_each_other_in_a_circle() -> None:
    graph = module_graph()
    folders = {".".join(path.parent.relative_to(ROOT).parts) for path in FILES}
    found = {folder: circle(inside(folder, graph)) for folder in sorted(folders)}
    assert {folder: names for folder, names in found.items() if names} == {}


def test_no_import_hides_from_the_graph() -> None:
    """Under TYPE_CHECKING only other people's packages may be imported, for a light start."""

    def check(path: Path) -> Iterator[str]:
        for node in ast.walk(tree_of(path)):
            if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
                yield from (name for name in imports(node) if name.split(".")[0] in PACKAGES)

    assert offences(check) == {}


def test_folders_stay_small() -> None:
    sizes = Counter(path.parent for path in FILES if path.name != "__init__.py")
    assert {folder: n for folder, n in sizes.items() if n > MOST_MODULES} == {}


def test_tests_lie_where_their_modules_do() -> None:
    tests = [path.parent.relative_to(ROOT / "tests") for path in TESTS]
    folders = {path.parent.relative_to(ROOT) for path in FILES}
    lost = {folder for folder in tests if folder.parts and folder.parts[0] in PACKAGES} - folders
    assert lost == set()
    others = {folder.parts[0] for folder in tests if folder.parts} - set(PACKAGES)
    assert others == {"benchmarks", "end_to_end", "kill", "scale"}  # of the whole, not of a module


def test_no_module_is_named_like_the_standard_librarys() -> None:
    taken = (sys.stdlib_module_names | {"utils", "helpers", "common", "misc"}) - {"__init__"}
    assert offences(lambda path: {path.stem} & taken) == {}


def test_no_pickle_is_read() -> None:
    def check(path: Path) -> Iterator[object]:
        tree = tree_of(path)
        yield from (name for name in imports(tree) if name.split(".")[0] in UNSAFE)
        yield from unsafe_reads(tree)

    assert offences(check) == {}


def test_files_and_functions_stay_short() -> None:
    def check(path: Path) -> Iterator[object]:
        if len(path.read_text(encoding="utf-8").splitlines()) > LONGEST_FILE:
            yield "the file"
        for node in ast.walk(tree_of(path)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                assert node.end_lineno is not None
                if node.end_lineno - node.lineno >= LONGEST_FUNCTION:
                    yield node.name

    assert offences(check) == {}


def test_no_global_seed_is_set() -> None:
    seeding = {"torch.manual_seed", "np.random.seed", "numpy.random.seed", "random.seed"}
    seeding |= {"set_seed", "torch.cuda.manual_seed_all", "seed_everything"}

    def calls(tree: ast.AST) -> list[str]:
        nodes = (node for node in ast.walk(tree) if isinstance(node, ast.Call))
        return [ast.unparse(node) for node in nodes if ast.unparse(node.func) in seeding]

    def check(path: Path) -> list[str]:
        """All such calls but those in a block that puts the global state back."""
        tree = tree_of(path)
        blocks = [node for node in ast.walk(tree) if isinstance(node, ast.With)]
        forked = [b for b in blocks if "fork_rng" in ast.unparse(b.items[0].context_expr)]
        allowed = [call for block in forked for call in calls(block)]
        return [call for call in calls(tree) if call not in allowed]

    assert offences(check) == {}


def test_the_checks_see_what_they_forbid() -> None:
    assert len(FILES) > 10
    bad = "import pickle as p\ntorch.load(x)\nnp.load(x, allow_pickle=True)\n"
    bad += "torch.load(x, weights_only=False)\nimport transformers\nopen_clip.load_checkpoint(x)\n"
    bad += "transformers.AutoModel.from_pretrained(x, local_files_only=True)\n"
    bad += "y.from_pretrained(x, trust_remote_code=False)\ndatasets.load_dataset(x)\n"
    bad += "torch.hub.load(x)"
    assert sorted(set(unsafe_reads(ast.parse(bad)))) == [2, 3, 4, 6, 7, 8, 9, 10]
    assert list(imports(ast.parse(bad))) == ["pickle", "transformers"]
    good = "torch.load(x, weights_only=True)\nnp.load(x)\ndatasets.load(x)\n"
    good += "import transformers\ny.from_pretrained(x, local_files_only=True, "
    good += "trust_remote_code=False)"
    assert list(unsafe_reads(ast.parse(good))) == []
    assert circle({"a": {"b"}, "b": {"a"}}) is not None
    graph = {
        "roentgen.a.x": {"roentgen.b.y"},
        "roentgen.b.y": set(),
        "roentgen.b.z": {"roentgen.a.x"},
    }
    assert circle(graph) is None
    assert circle(inside("roentgen", graph)) is not None
    nested = "def f():\n    from train.loop import step\n    import eval.report"
    assert list(imports(ast.parse(nested))) == ["train.loop", "eval.report"]
