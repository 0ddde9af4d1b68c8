"""Strict reading of a program's configuration, a YAML file plus overrides, into a dataclass."""

import ast
import difflib
import inspect
import os
import re
import sys
import textwrap
import types
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, Field, fields, is_dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

import draccus
import yaml

from roentgen.errors import InputError
from roentgen.untrusted_files import read_bounded

T = TypeVar("T")
LARGEST_CONFIG = 1 << 20  # bytes
_DEEPEST = 32  # sections within one another
_LONGEST_VALUE = 1 << 16  # characters
_LONGEST_NUMBER = 100  # characters
_LONGEST_NAME = 230  # bytes of a file name: systems take 255, and locks stand beside outputs

SCALARS: dict[Any, tuple[tuple[type, ...], str]] = {  # type: allowed types in YAML, description
    bool: ((bool,), "true or false"),
    int: ((int,), "a whole number"),
    float: ((int, float), "a number"),
    str: ((str,), "text"),
    Path: ((str,), "a path"),
}


def load_config(
    cls: type[T], argv: Sequence[str] | None = None, *, argument: str | None = None
) -> T:
    """Read `CONFIG.yaml [--section.key=value ...]` (default: the command line) as a `cls`.

    An override's value is read as YAML: `null`, `[PA, AP]`, `1e-4`; a boolean flag without a value
    is true. Dashes may replace underscores. Raises InputError naming `section.key` for an unknown
    key, a missing value or a wrong type; an InputError raised in a section's `__post_init__` is
    passed on unchanged. `--help` prints every field and exits. With `argument` the command line
    has the value of that field in place of a file.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    given = argument.upper() if argument else "CONFIG.yaml"
    if "--help" in arguments or "-h" in arguments:
        print(describe(cls, argument))  # noqa: T201
        raise SystemExit(0)
    first, overrides = _split_arguments(cls, arguments, given)
    if argument in overrides:
        raise InputError(f"--{argument} is given beside {first}: give one of them")
    values = {argument: first} if argument else read_yaml(Path(first))
    for key, value in overrides.items():
        _override(values, key.split("."), value)
    return config_from_dict(cls, values)


def config_from_dict(cls: type[T], values: Mapping[str, Any]) -> T:
    """A `cls` from plain values, such as those of `config_to_dict`. Raises InputError as above."""
    _check(cls, values, "")
    try:
        return draccus.decode(cls, values)  # type: ignore[no-any-return]
    except draccus.utils.DraccusException as error:
        cause: BaseException = error  # draccus wraps errors of __post_init__, once per section
        while cause.__cause__ is not None and not isinstance(cause, InputError):
            cause = cause.__cause__
        if isinstance(cause, InputError):
            raise cause from None
        if isinstance(cause, ValueError):
            raise InputError(" ".join(str(cause).split())) from None
        raise


def config_to_dict(config: Any) -> dict[str, Any]:
    """The configuration as plain JSON values, which `config_from_dict` reads."""
    result: dict[str, Any] = draccus.encode(config)
    return result


def config_to_yaml(config: Any) -> str:
    """The configuration as YAML text, which `load_config` reads."""
    return yaml.dump(config_to_dict(config), Dumper=_Dumper, sort_keys=False, allow_unicode=True)


def describe(cls: type[Any], argument: str | None = None) -> str:
    """The text of `--help`: each field with its type, default and docstring; see `load_config`."""
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    module = spec.name.removesuffix(".__main__") if spec is not None else None
    program = f"python -m {module}" if module else Path(sys.argv[0]).name
    given = argument.upper() if argument else "CONFIG.yaml"
    lines = [f"usage: {program} {given} [--section.key=value ...]", ""]
    if cls.__doc__ and not cls.__doc__.startswith(f"{cls.__name__}("):
        lines += [inspect.cleandoc(cls.__doc__), ""]
    fields = "\n".join([*lines, *_describe_fields(cls, "")])
    return fields.replace(f"  --{argument}  (", f"  {given}  (")


def _describe_fields(cls: Any, prefix: str) -> list[str]:
    lines: list[str] = []
    kinds, docs = get_type_hints(cls), _field_docs(cls)
    for field in fields(cls):
        kind, doc = kinds[field.name], docs.get(field.name, "")
        sections = [kind] if is_dataclass(kind) else _section_choices(kind)
        name = "a section" if sections else _kind_name(kind)
        default = "required" if _is_required(field) else f"default: {_default_text(field)}"
        if sections and field.default is not None and not _is_required(field):
            default = "default: as below"
        lines.append(f"  --{prefix}{field.name}  ({name}; {default})")
        lines += textwrap.wrap(doc, 96, initial_indent=" " * 8, subsequent_indent=" " * 8)
        for section in sections:
            lines += _describe_fields(section, f"{prefix}{field.name}.")
    return lines


def _section_choices(kind: Any) -> list[Any]:
    """The sections in `A | B | None`."""
    if get_origin(kind) not in (Union, types.UnionType):
        return []
    return [choice for choice in get_args(kind) if is_dataclass(choice)]


def _field_docs(cls: type[Any]) -> dict[str, str]:
    """Each field's docstring (the string below it) or the comment on its line."""
    docs: dict[str, str] = {}
    for base in reversed(cls.__mro__):
        if not is_dataclass(base):
            continue
        source = textwrap.dedent(inspect.getsource(base))
        definition = ast.parse(source).body[0]
        assert isinstance(definition, ast.ClassDef)
        following: list[ast.stmt | None] = [*definition.body[1:], None]
        for node, below in zip(definition.body, following, strict=True):
            if not isinstance(node, ast.AnnAssign) or not isinstance(node.target, ast.Name):
                continue
            comment = re.search(r"\s#\s*(.*)$", source.splitlines()[(node.end_lineno or 1) - 1])
            docs[node.target.id] = comment.group(1) if comment else ""
            match below:
                case ast.Expr(value=ast.Constant(value=str(text))):
                    docs[node.target.id] = inspect.cleandoc(text)
    return docs


def _names(cls: Any) -> dict[str, None]:
    """The keys of a section, in order."""
    return dict.fromkeys(field.name for field in fields(cls))


def _is_required(field: "Field[Any]") -> bool:
    return field.default is MISSING and field.default_factory is MISSING


def _default_text(field: "Field[Any]") -> str:
    if field.default_factory is not MISSING:
        return _to_yaml(draccus.encode(field.default_factory()))
    return _to_yaml(draccus.encode(field.default))


def _split_arguments(cls: Any, arguments: list[str], given: str) -> tuple[str, dict[str, Any]]:
    """The config file and the overrides, from `--key=value`, `--key value` and `--flag`.

    `given` is the name of what takes the file's place, or CONFIG.yaml.
    """
    files: list[str] = []
    overrides: dict[str, Any] = {}
    remaining = list(arguments)
    while remaining:
        argument = remaining.pop(0)
        if not argument.startswith("--"):
            files.append(argument)
            continue
        written, equals, text = argument[2:].partition("=")
        key, kind = _field_of(cls, written)
        if not equals and kind is bool and remaining[:1] not in (["true"], ["false"]):
            text = "true"
        elif not equals:
            text = remaining.pop(0) if remaining else "--"
            if text.startswith("--"):
                raise InputError(f"--{key} has no value: write --{key}=VALUE")
        try:
            overrides[key] = yaml.load(_as_utf8(text), Loader=_Loader) if text else ""
        except UnicodeDecodeError:
            raise InputError(f"--{key}={text!a} is not text in UTF-8: rename the file") from None
        except (yaml.YAMLError, ValueError) as error:
            reason = getattr(error, "problem", None) or str(error).splitlines()[0]
            given = " ".join(text.split())[:80]
            raise InputError(
                f"--{key}={given}: the value is not YAML ({reason}); put it in quotes"
            ) from None
    if len(files) != 1:
        what = "config file" if given == "CONFIG.yaml" else given.lower()
        found = f", not {len(files)}: {' '.join(files)}" if files else ""
        raise InputError(
            f"give one {what}{found} ({given} [--section.key=value ...]; --help lists all)"
        )
    return files[0], overrides


def _as_utf8(argument: str) -> str:
    """An argument whose bytes are UTF-8, in any locale. Raises UnicodeDecodeError for others."""
    return os.fsencode(argument).decode("utf-8")


def _field_of(kind: Any, key: str) -> tuple[str, Any]:
    """A key with underscores in place of its dashes, and the type of the field it names."""
    names = []
    for name in key.split("."):
        if get_origin(kind) is dict:  # its keys are the user's own names
            names.append(name)
            kind = get_args(kind)[1]
            continue
        sections = [kind] if is_dataclass(kind) else _section_choices(kind)
        field = name.replace("-", "_")
        kinds = [get_type_hints(cls)[field] for cls in sections if field in _names(cls)]
        names.append(field if kinds else name)
        kind = kinds[0] if kinds else Any
    return ".".join(names), kind


def read_yaml(path: Path) -> dict[str, Any]:
    """The values of a YAML file. Raises InputError for what is none, and for one without bounds."""
    try:
        values = yaml.load(read_bounded(path, LARGEST_CONFIG).decode("utf-8"), Loader=_Loader)
    except FileNotFoundError:
        raise InputError(f"no such config file: {path}") from None
    except OSError as error:
        raise InputError(f"config file {path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise InputError(f"config file {path} is not text in UTF-8: save it so") from None
    except yaml.MarkedYAMLError as error:
        line = f" line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise InputError(f"config file {path}{line} is not valid YAML: {error.problem}") from None
    except (yaml.YAMLError, ValueError) as error:  # a number of 5000 digits is a ValueError
        reason = str(error).splitlines()[0]
        raise InputError(f"config file {path} is not valid YAML: {reason}") from None
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise InputError(f"config file {path} holds {_to_yaml(values)}: expected `key: value`")
    return values


def _override(values: dict[str, Any], keys: list[str], value: Any) -> None:
    for key in keys[:-1]:
        if not isinstance(values.get(key), dict):
            values[key] = {}
        values = values[key]
    values[keys[-1]] = value


def _check(kind: Any, value: Any, key: str) -> None:
    """Raises InputError unless `value`, as read from YAML, is of the type `kind`.

    draccus alone is too lenient: it accepts null for a required number, true for 1, and a string
    as a tuple of its letters.
    """
    origin, arguments = get_origin(kind), get_args(kind)
    wrong = InputError(f"{key} is {_to_yaml(value)}, but must be {_kind_name(kind)}")
    if kind is Any:
        return
    if is_dataclass(kind):
        if not isinstance(value, dict):
            raise wrong
        _check_section(kind, value, f"{key}." if key else "")
    elif origin in (Union, types.UnionType):
        _check_union(kind, value, key, wrong)
    elif origin is Literal:
        if not any(value == choice and type(value) is type(choice) for choice in arguments):
            raise wrong
    elif origin is tuple:
        if not isinstance(value, list):
            raise wrong
        if Ellipsis not in arguments and len(value) != len(arguments):
            raise wrong
        for i, item in enumerate(value):
            _check(arguments[0 if Ellipsis in arguments else i], item, f"{key}[{i}]")
    elif origin is dict:
        if not isinstance(value, dict):
            raise wrong
        for name, item in value.items():
            _check(arguments[0], name, f"the name {name!r} in {key}")
            _check(arguments[1], item, f"{key}.{name}")
    else:
        allowed, _ = SCALARS[kind]
        if not isinstance(value, allowed) or (isinstance(value, bool) and kind is not bool):
            hint = "; put it in quotes" if kind is str else ""
            raise InputError(f"{wrong}{hint}")
        if isinstance(value, int | float) and not -(2**63) < value < 2**63:
            raise InputError(f"{key} is {_to_yaml(value)}: it must be above -2^63 and below 2^63")
        if isinstance(value, str):
            _check_text(kind, value, key)


def _check_text(kind: Any, text: str, key: str) -> None:
    """Raises InputError for a text that no file can hold, or a path that no file can have."""
    if "\0" in text or any("\ud800" <= letter <= "\udfff" for letter in text):
        raise InputError(f"{key} is {text[:80]!a}: it has a character that no file can hold")
    for name in Path(text).parts if kind is Path else ():
        if len(name.encode()) > _LONGEST_NAME:
            raise InputError(
                f"{key} has the name {name[:20]}... of {len(name.encode())} bytes: give one of at "
                f"most {_LONGEST_NAME}"
            )


def _check_union(union: Any, value: Any, key: str, wrong: InputError) -> None:
    kinds = [kind for kind in get_args(union) if kind is not types.NoneType]
    sections = _section_choices(union)
    if value is None and types.NoneType in get_args(union):
        pass
    elif isinstance(value, dict) and sections:  # the one with most of its keys
        _check(max(sections, key=lambda section: len(_names(section).keys() & value)), value, key)
    elif len(kinds) == 1:
        _check(kinds[0], value, key)
    elif not any(_fits(kind, value) for kind in kinds):
        raise wrong


def _fits(kind: Any, value: Any) -> bool:
    try:
        _check(kind, value, "")
    except InputError:
        return False
    return True


def _check_section(cls: Any, values: Mapping[Any, Any], prefix: str) -> None:
    kinds = get_type_hints(cls)
    names = _names(cls)
    for name in values:
        if name not in names:
            near = difflib.get_close_matches(str(name), names, n=1)
            hint = f"did you mean {prefix}{near[0]}?" if near else f"known: {', '.join(names)}"
            raise InputError(f"unknown key {prefix}{name}; {hint}")
    for field in fields(cls):
        if field.name in values:
            _check(kinds[field.name], values[field.name], prefix + field.name)
        elif _is_required(field):
            kind = _kind_name(kinds[field.name])
            raise InputError(f"{prefix}{field.name} is missing: set it to {kind}")


def _kind_name(kind: Any) -> str:
    """Description of a type for users."""
    origin, arguments = get_origin(kind), get_args(kind)
    if kind in SCALARS:
        return SCALARS[kind][1]
    if kind is types.NoneType:
        return "null"
    if is_dataclass(kind):
        return f"a section with the keys {', '.join(_names(kind))}"
    if origin in (Union, types.UnionType):
        null_first = sorted(arguments, key=lambda argument: argument is not types.NoneType)
        return " or ".join(_kind_name(argument) for argument in null_first)
    if origin is Literal:
        return "one of: " + ", ".join(_to_yaml(choice) for choice in arguments)
    if origin is tuple and Ellipsis in arguments:
        return f"a list [...], each {_kind_name(arguments[0])}"
    if origin is tuple:
        return f"a list of {len(arguments)}: [{', '.join(_kind_name(a) for a in arguments)}]"
    if origin is dict:
        return f"a mapping of names, each to {_kind_name(arguments[1])}"
    return "any value"


def _to_yaml(value: Any) -> str:
    """A value in YAML syntax, on one line of at most 80 characters."""
    text = yaml.dump(value, Dumper=_Dumper, default_flow_style=True, width=float("inf"))
    text = " ".join(text.removesuffix("\n...\n").split())
    return text if len(text) <= 80 else text[:77] + "..."


class _Loader(yaml.SafeLoader):
    """SafeLoader of plain values, within bounds: no tags, no aliases, no duplicate keys.

    It reads `1e-4` as a number, `None` as null and a date as text.
    """

    _depth = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        event: Any = self.peek_event()  # type: ignore[no-untyped-call]
        if isinstance(event, yaml.AliasEvent):
            self._refuse("an alias (*): write the value out", event)
        elif getattr(event, "tag", None) is not None:
            self._refuse(f"a tag ({event.tag}): leave it away", event)
        elif len(getattr(event, "value", "")) > _LONGEST_VALUE:
            self._refuse(f"a value of more than {_LONGEST_VALUE} characters", event)
        self._depth += 1
        if self._depth > _DEEPEST:
            self._refuse(f"more than {_DEEPEST} sections or lists within one another", event)
        node = super().compose_node(parent, index)
        self._depth -= 1
        text = len(event.value) if isinstance(event, yaml.ScalarEvent) else 0
        if text > _LONGEST_NUMBER and node and node.tag != "tag:yaml.org,2002:str":
            self._refuse(f"a number of more than {_LONGEST_NUMBER} characters", event)
        return node

    @staticmethod
    def _refuse(what: str, event: Any) -> None:
        raise yaml.composer.ComposerError(problem=what, problem_mark=event.start_mark)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key.value, str) and key.value in seen:
                raise yaml.constructor.ConstructorError(
                    problem=f"duplicate key {key.value!r}", problem_mark=node.start_mark
                )
            if isinstance(key.value, str):
                seen.add(key.value)
        return super().construct_mapping(node, deep)


class _Dumper(yaml.SafeDumper):
    """SafeDumper that quotes strings that `_Loader` would read as another type."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in known if not tag.endswith((":timestamp", ":value"))]
    for first, known in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
for _yaml in (_Loader, _Dumper):
    _exponent = re.compile(r"[-+]?[0-9]+(\.[0-9]*)?[eE][-+]?[0-9]+$")
    _yaml.add_implicit_resolver("tag:yaml.org,2002:float", _exponent, list("-+0123456789"))
    _yaml.add_implicit_resolver("tag:yaml.org,2002:null", re.compile(r"None$"), ["N"])
