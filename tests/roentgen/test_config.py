import json
import re
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pytest
import yaml

from roentgen.config import config_to_dict, config_to_yaml, load_config
from roentgen.errors import InputError


@dataclass(frozen=True, kw_only=True)
class Optimizer:
    learning_rate: float
    """Peak learning rate."""
    steps: int = 3  # optimizer steps
    kind: Literal["adamw", "adafactor"] = "adamw"
    """Which one."""

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise InputError(f"optimizer.steps is {self.steps}, but must be at least 1")
        if self.learning_rate > 1:
            raise ValueError("not an InputError\nand of two lines")


@dataclass(frozen=True, kw_only=True)
class Phantom:
    patients: int


@dataclass(frozen=True, kw_only=True)
class Table:
    rows: Path


@dataclass(frozen=True, kw_only=True)
class Config:
    """Train something."""

    optimizer: Optimizer
    output: Path
    """Where the result goes."""
    ema: Optimizer | None = None
    corpus: Phantom | Table | None = None
    size: tuple[int, float] = (128, 0.5)
    views: tuple[Literal["PA", "AP"], ...] = ()
    sets: dict[str, Optimizer] = field(default_factory=dict)
    weights: dict[str, float] = field(default_factory=dict)
    precision: Literal["bf16", "fp16"] | None = None
    rate: float | Literal["auto"] = "auto"
    overwrite: bool = False
    note: str = ""


MINIMAL = "output: runs/a\noptimizer: {learning_rate: 1e-4}\n"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "config.yaml"
    path.write_text(MINIMAL)
    return path


def read(file: Path, *overrides: str) -> Config:
    return load_config(Config, [str(file), *overrides])


def message(file: Path, *overrides: str) -> str:
    with pytest.raises(InputError) as error:
        read(file, *overrides)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_defaults_fill_in(file: Path) -> None:
    expected = Config(optimizer=Optimizer(learning_rate=1e-4), output=Path("runs/a"))
    assert read(file) == expected


def test_every_type_is_read(file: Path) -> None:
    file.write_text("""
optimizer: {learning_rate: 1, steps: 7, kind: adafactor}
output: /runs/b
ema: {learning_rate: 0.5}
corpus: {rows: films.csv}
size: [64, 1]
views: [AP, PA]
sets: {small: {learning_rate: 2.0e-1}}
weights: {edema: 1, fracture: .5}
precision: bf16
rate: 3
overwrite: true
note: "12"
""")
    assert read(file) == Config(
        optimizer=Optimizer(learning_rate=1.0, steps=7, kind="adafactor"),
        output=Path("/runs/b"),
        ema=Optimizer(learning_rate=0.5),
        corpus=Table(rows=Path("films.csv")),
        size=(64, 1.0),
        views=("AP", "PA"),
        sets={"small": Optimizer(learning_rate=0.2)},
        weights={"edema": 1.0, "fracture": 0.5},
        precision="bf16",
        rate=3.0,
        overwrite=True,
        note="12",
    )
    assert isinstance(read(file).optimizer.learning_rate, float)


def test_overrides_win_in_both_spellings(file: Path) -> None:
    config = read(
        file,
        "--optimizer.steps=9",
        "--optimizer.learning_rate",
        "1e-3",
        "--views=[PA]",
        "--ema.learning_rate=0.1",  # a section that the file leaves out
        "--sets.big.learning_rate=0.2",
        "--note=",
    )
    assert config.optimizer == Optimizer(learning_rate=1e-3, steps=9)
    assert config.views == ("PA",)
    assert config.ema == Optimizer(learning_rate=0.1)
    assert config.sets == {"big": Optimizer(learning_rate=0.2)}
    assert config.note == ""


def test_overrides_may_come_before_the_file_and_be_negative(file: Path) -> None:
    config = load_config(Config, ["--weights.edema", "-1.5", str(file)])
    assert config.weights == {"edema": -1.5}


def test_a_flag_needs_no_value_wherever_it_stands(file: Path) -> None:
    for arguments in (
        ["--overwrite", str(file)],
        [str(file), "--overwrite"],
        [str(file), "--overwrite", "--note=x"],
        [str(file), "--note", "x", "--overwrite=true"],
        ["--overwrite", "true", str(file)],
    ):
        assert load_config(Config, arguments).overwrite is True
    for arguments in ([str(file), "--overwrite=false"], ["--overwrite", "false", str(file)]):
        assert load_config(Config, arguments).overwrite is False


def test_dashes_may_stand_for_underscores_but_not_in_names_of_ones_own(file: Path) -> None:
    assert read(file, "--optimizer.learning-rate=1e-3").optimizer.learning_rate == 1e-3
    assert read(file, "--ema={learning_rate: 1}", "--ema.learning-rate=0.5").ema == Optimizer(
        learning_rate=0.5
    )
    assert read(file, "--weights.a-b=2").weights == {"a-b": 2.0}
    assert read(file, "--sets.a-b.learning-rate=0.2").sets["a-b"].learning_rate == 0.2
    assert message(file, "--over-write=true") == ("unknown key over-write; did you mean overwrite?")


@pytest.mark.parametrize("null", ["null", "~", "None"])
def test_null_turns_a_section_off(file: Path, null: str) -> None:
    assert read(file, "--ema.learning_rate=0.1", f"--ema={null}").ema is None


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("--optimizer.learnig_rate=1", ["optimizer.learnig_rate", "mean optimizer.learning_rate?"]),
        ("--xyz=1", ["unknown key xyz", "optimizer, output"]),
        ("--sets.a.stepz=1", ["unknown key sets.a.stepz", "mean sets.a.steps?"]),
        ("--ema.steps=4", ["ema.learning_rate is missing", "a number"]),
        ("--corpus.patient=4", ["corpus.patient", "mean corpus.patients?"]),
        ("--corpus={rows: 3}", ["corpus.rows is 3", "a path"]),
        ("--optimizer=3", ["optimizer is 3", "learning_rate, steps, kind"]),
        ("--optimizer.steps=1.5", ["optimizer.steps is 1.5", "a whole number"]),
        ("--optimizer.steps=many", ["optimizer.steps is many", "a whole number"]),
        ("--optimizer.steps=true", ["optimizer.steps is true", "a whole number"]),
        ("--optimizer.steps=null", ["optimizer.steps is null", "a whole number"]),
        ("--optimizer.learning_rate='1'", ["optimizer.learning_rate is '1'", "a number"]),
        ("--optimizer.learning_rate=.nan", ["optimizer.learning_rate is .nan", "below 2^63"]),
        ("--optimizer.learning_rate=-.inf", ["optimizer.learning_rate is -.inf", "above -2^63"]),
        ("--optimizer.steps=9223372036854775808", ["optimizer.steps is 9223372036854775808: it"]),
        ("--size=[1, .inf]", ["size[1] is .inf", "below 2^63"]),
        ("--weights.edema=.nan", ["weights.edema is .nan", "below 2^63"]),
        ("--rate=.inf", ["rate is .inf", "a number or one of: auto"]),
        ("--optimizer.kind=adam", ["optimizer.kind is adam", "adamw, adafactor"]),
        ("--precision=fp8", ["precision is fp8", "bf16, fp16"]),
        ("--rate=fast", ["rate is fast", "a number or one of: auto"]),
        ("--views=PA", ["views is PA", "PA, AP"]),
        ("--views=[PA, LL]", ["views[1] is LL", "PA, AP"]),
        ("--size=[1]", ["size is [1]", "a list of 2"]),
        ("--size=[1, a]", ["size[1] is a", "a number"]),
        ("--weights.edema=x", ["weights.edema is x", "a number"]),
        ("--weights=[1]", ["weights is [1]", "a mapping"]),
        ("--output=[a]", ["output is [a]", "a path"]),
        ("--note=12", ["note is 12", "text; put it in quotes"]),
        ("--overwrite=1", ["overwrite is 1", "true or false"]),
        ("--note=Me: me@x.org", ["note is {Me: me@x.org}", "text; put it in quotes"]),
        ("--note=[", ["--note=[", "YAML"]),
        ("--note", ["--note has no value", "--note=VALUE"]),
    ],
)
def test_a_mistake_names_key_value_and_what_is_allowed(
    file: Path, override: str, words: list[str]
) -> None:
    text = message(file, override)
    assert [word for word in words if word not in text] == []


def test_a_missing_value_is_named(file: Path) -> None:
    file.write_text("output: runs/a\noptimizer: {steps: 3}")
    assert "optimizer.learning_rate is missing" in message(file)
    file.write_text("")
    assert "optimizer is missing" in message(file)


@pytest.mark.parametrize("section", ["optimizer", "ema", "sets.a"])
def test_a_sections_own_error_comes_through_untouched(file: Path, section: str) -> None:
    text = message(file, f"--{section}.steps=0", f"--{section}.learning_rate=0.1")
    assert text == "optimizer.steps is 0, but must be at least 1"


def test_any_other_error_of_a_section_is_one_line(file: Path) -> None:
    assert message(file, "--optimizer.learning_rate=2") == "not an InputError and of two lines"


@dataclass(frozen=True, kw_only=True)
class Defective:
    steps: int = 3

    def __post_init__(self) -> None:
        assert self.steps == 3


@dataclass(frozen=True, kw_only=True)
class Outer:
    section: Defective


def test_a_defect_of_a_section_is_not_taken_for_a_mistake(file: Path) -> None:
    file.write_text("section: {steps: 4}")
    with pytest.raises(Exception, match="Failed when parsing") as error:
        load_config(Outer, [str(file)])
    assert not isinstance(error.value, InputError)
    assert isinstance(error.value.__cause__, AssertionError)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"a: [", "not valid YAML"),
        (b"a: 1\nb:\n  c: 1\n  c: 2\n", "duplicate key 'c'"),
        (b"just words", "just words"),
        (b"- 1\n- 2", "[1, 2]"),
        (b"a: !!python/object/apply:os.system [ls]", "not valid YAML"),
        (b"\xff\xfe\x88", "UTF-8"),
        (b"\x00", "not valid YAML"),
        (b"{a: 1}: 2", "not valid YAML"),
    ],
)
def test_a_bad_file_is_named(file: Path, content: bytes, words: str) -> None:
    file.write_bytes(content)
    text = message(file)
    assert "config.yaml" in text
    assert words in text


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    assert "no such config file" in message(tmp_path / "nope.yaml")
    assert "nope.yaml" in message(tmp_path / "nope.yaml")
    assert "directory" in message(tmp_path)


def test_exactly_one_file_is_wanted(file: Path) -> None:
    assert "not 2" in message(file, str(file))
    with pytest.raises(InputError, match="give one config file"):
        load_config(Config, [])


@pytest.mark.parametrize("note", ["None", "1e-4", "no", "12", "", "a: b", "ü\n", " x ", "null"])
def test_a_config_can_be_fed_back(file: Path, note: str) -> None:
    config = Config(
        optimizer=Optimizer(learning_rate=1e-5),
        output=Path("runs/a"),
        ema=Optimizer(learning_rate=3e-22),
        corpus=Phantom(patients=3),
        views=("PA",),
        sets={"a": Optimizer(learning_rate=0.25)},
        note=note,
    )
    file.write_text(config_to_yaml(config))
    assert read(file) == config
    plain = config_to_dict(config)
    assert json.loads(json.dumps(plain)) == plain
    file.write_text(json.dumps(plain))
    assert read(file) == config
    assert yaml.safe_load(config_to_yaml(config))["note"] == note


def test_help_lists_every_field_with_its_words(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        load_config(Config, ["--help"])
    assert exit_.value.code == 0
    text = capsys.readouterr().out
    for words in (
        "Train something.",
        "--optimizer.learning_rate  (a number; required)\n        Peak learning rate.",
        "--optimizer.steps  (a whole number; default: 3)\n        optimizer steps",
        "--optimizer.kind  (one of: adamw, adafactor; default: adamw)\n        Which one.",
        "--ema  (a section; default: null)",
        "--ema.steps",
        "--corpus.patients",
        "--corpus.rows",
        "--output  (a path; required)\n        Where the result goes.",
    ):
        assert words in text


NESTED = "{a: " * 3000 + "1" + "}" * 3000
BLOCKS = "\n".join(" " * depth + "a:" for depth in range(500))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (NESTED, "more than 32 sections or lists"),
        (BLOCKS, "more than 32 sections or lists"),
        ("a: " + "[" * 3000 + "]" * 3000, "more than 32 sections or lists"),
        ("a: " + "- " * 3000, ""),
        ("a: &x [1, 1]\nb: &y [*x, *x]\nc: [*y, *y]", "an alias"),
        ("a: &x [*x]", "an alias"),
        ("a: !!python/name:os.system x", "a tag"),
        ("a: !!int x", "a tag"),
        ("a: !!timestamp x", "a tag"),
        ("a: !!binary x", "a tag"),
        ("a: !x y", "a tag"),
        ("a: " + "9" * 5000, "a number of more than 100 characters"),
        ("a: " + "9" * 70_000, "a value of more than 65536 characters"),
        ("a: " + "1:" * 30_000 + "1", "a number of more than 100 characters"),
        ("? [a]\n: 1", ""),
        ("? {a: 1}\n: 1", ""),
        ("<<: 1", ""),
        ("=: 1", "unknown key ="),
        ("note: 2026-13-45", "optimizer is missing"),  # a text, as the right date is
        ("# " + "x" * (1 << 20), "larger than 1048576 bytes"),
        ("".join(f"k{n}: 1\n" for n in range(5_000)), "unknown key k0"),
    ],
    ids=lambda value: value[:14],
)
def test_hostile_yaml_is_one_line_at_once(file: Path, text: str, words: str) -> None:
    started = time.process_time()
    file.write_text(text)
    for arguments in ([str(file)], [str(file), f"--note={text}"]):
        with pytest.raises(InputError) as error:
            load_config(Config, arguments)
        assert len(arguments) > 1 or words in str(error.value)
        assert "\n" not in str(error.value)
        assert len(str(error.value)) < 400
    assert time.process_time() - started < 15


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("a\\0b", "has a character that no file can hold"),
        ("a\\ud800b", "has a character that no file can hold"),
        ("x" * 250, "has the name xxxxxxxxxxxxxxxxxxxx... of 250 bytes"),
        ("runs/" + "\u00fc" * 120 + "/a", "of 240 bytes"),
    ],
)
def test_a_name_that_no_file_can_have_is_refused(file: Path, name: str, words: str) -> None:
    file.write_text("optimizer: {learning_rate: 0.1}\noutput: a")
    with pytest.raises(InputError, match=f"output .*{words}"):
        load_config(Config, [str(file), f'--output="{name}"'])
    assert read(file, f"--output={'x' * 230}").output == Path("x" * 230)
    assert read(file, f"--note={'x' * 250}").note == "x" * 250


def test_arguments_in_utf8_are_read_in_any_locale(file: Path) -> None:
    file.write_text("optimizer: {learning_rate: 0.1}\noutput: a")
    as_ascii = "runs/\u00e9".encode().decode("ascii", "surrogateescape")  # as LC_ALL=C can give it
    assert read(file, f"--output={as_ascii}").output == Path("runs/\u00e9")
    with pytest.raises(InputError, match="is not text in UTF-8"):
        read(file, "--output=runs/\udce9")


def test_a_pipe_or_an_endless_device_is_no_config(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"cannot be read: it is a pipe or a device"):
        load_config(Config, ["/dev/zero"])


def test_an_argument_takes_the_place_of_a_file(capsys: pytest.CaptureFixture[str]) -> None:
    def given(*arguments: str) -> Table:
        return load_config(Table, arguments, argument="rows")

    assert given("a//b/").rows == Path("a/b")
    assert given("12").rows == Path("12")
    for arguments, words in (
        ((), "give one rows (ROWS"),
        (("a", "b"), "give one rows, not 2: a b"),
        (("a", "--rows=b"), "--rows is given beside a: give one of them"),
        (("--rows=b",), "give one rows (ROWS"),
        (("a", "--row=b"), "unknown key row; did you mean rows?"),
    ):
        with pytest.raises(InputError, match=re.escape(words)):
            given(*arguments)
    with pytest.raises(SystemExit):
        given("--help")
    assert " ROWS [--section.key=value ...]\n" in (text := capsys.readouterr().out)
    assert "\n  ROWS  (a path; required)" in text
    assert "--rows" not in text
