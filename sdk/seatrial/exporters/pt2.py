"""Load a `.pt2` that torch.export.save wrote, after looking at everything in it that could run code.

torch.export.load says of itself that it unpickles. In torch 2.13 these are the ways in, all closed here unless the
user allows them: sample inputs and old-style weights are unpickled in full when a weights-only load fails; payloads
may ask for pickle; custom and opaque objects are unpickled; compiled libraries (aotinductor) are loaded with dlopen;
size expressions go through sympy's eval; operator names are looked up from `torch`, and so reach `torch.os.system`.
"""

from __future__ import annotations

import ast
import dataclasses
import io
import json
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seatrial_targets.errors import ModelError

from ..source import ModelSource
from .noise import quiet

if TYPE_CHECKING:
    import torch

MAKE_ONE = "make one with torch.export.save(torch.export.export(module.eval(), inputs), 'model.pt2')"
TRUSTED = "load it only if you made it yourself, with allow_pickle=True"
NOTE = "seatrial.json"  # an extra file: what Seatrial knows of the model beside its graph
_MOST_NOTE_BYTES = 1 << 20
_COMPILED = ("data/aotinductor/", "data/executorch/")
_OPERATOR = re.compile(
    r"torch\.ops\.(?!_)\w+\.(?!__)\w+\.(?!__)\w+|torch\.ops\.aten\.__(and|or|xor|lshift|rshift)__\.(Tensor|Scalar)"
    r"|torch\.ops\.higher_order\.(?!__)\w+|torch\.sym_\w+|torch\._sym_sqrt"
    r"|math\.(?!_)\w+|_operator\.(add|and_|eq|floordiv|ge|getitem|gt|le|lshift|lt|mod|mul|ne|neg|not_|or_|pos|pow|rshift|sub|truediv|xor)"
)
_ARITHMETIC = (
    ast.BinOp, ast.UnaryOp, ast.BoolOp, ast.Compare, ast.operator, ast.unaryop, ast.boolop, ast.cmpop,
)  # fmt: skip


def load_pt2(path: Path, *, allow_pickle: bool = False) -> ModelSource:
    """Return the model source of a `.pt2`, with the inputs that it was captured with as example inputs.

    Raises ModelError for a missing, damaged or foreign file, for one without sample inputs, and, unless
    ``allow_pickle``, for one whose loading would run code of its own.
    """
    if not path.is_file():
        raise ModelError(f"{path}: no such file; {MAKE_ONE}")
    _inspect(path, allow_pickle)
    program = _loaded(path)
    if program.example_inputs is None:
        raise ModelError(f"{path}: holds no sample inputs; {MAKE_ONE}")
    note = _note(path)
    args, kwargs = program.example_inputs
    if args and kwargs:
        raise ModelError(f"{path}: was captured with positional and keyword inputs; capture it with one kind")
    module = program.module()
    inputs = dict(kwargs) if kwargs else tuple(args)
    made = ModelSource(module, inputs, name=path.stem, program=program)
    return dataclasses.replace(made, **note)


def _note(path: Path) -> dict[str, Any]:
    """Fields of ModelSource that a compression left in the archive; what is not of their types there is not taken."""
    with zipfile.ZipFile(path) as archive:
        name = _records(path, archive).get(f"extra/{NOTE}")
        if name is None or archive.getinfo(name).file_size > _MOST_NOTE_BYTES:
            return {}
        try:
            found = json.loads(archive.read(name))
        except (ValueError, RecursionError) as error:
            raise ModelError(f"{path}: {name} is no JSON; the file is damaged") from error
    kept = {"recipe_digest": str, "weights_licence": str, "learned_scales": bool}
    return {key: found[key] for key, kind in kept.items() if isinstance(found, dict) and type(found.get(key)) is kind}


def _loaded(path: Path) -> torch.export.ExportedProgram:
    import torch

    from ..compression.quantized_program import register

    register()
    with quiet():
        try:
            return torch.export.load(path)
        except Exception as error:
            first = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise ModelError(f"{path}: torch {torch.__version__} can't load it: {first}; {MAKE_ONE}") from error


def _inspect(path: Path, allow_pickle: bool) -> None:
    try:
        with zipfile.ZipFile(path) as archive:
            records = _records(path, archive)
            _refuse_foreign(path, records)
            if not allow_pickle:
                _refuse_code(path, archive, records)
    except (zipfile.BadZipFile, OSError, ValueError, RecursionError) as error:
        raise ModelError(f"{path}: is no .pt2 archive, or a damaged one ({error}); {MAKE_ONE}") from error


def _records(path: Path, archive: zipfile.ZipFile) -> dict[str, str]:
    """Names in the archive without the folder that all are in -> full names."""
    infos = archive.infolist()
    # Python looks for a zip anywhere in a file; torch's reader counts from the file's start, and so could read another.
    if archive.comment or min((info.header_offset for info in infos), default=1) != 0:
        raise zipfile.BadZipFile("the archive does not begin where the file does")
    names = archive.namelist()
    for name in names:
        if name.startswith("/") or "\\" in name or ".." in name.split("/"):
            raise ModelError(f"{path}: its record {name!r} would leave the archive; it is refused")
    if len(set(names)) != len(names):
        raise ModelError(f"{path}: two records have the same name; it is refused")
    return {name.partition("/")[2] or name: name for name in names}


def _refuse_foreign(path: Path, records: dict[str, str]) -> None:
    if "models/model.json" in records and "archive_format" in records:
        return
    if "serialized_exported_program.json" in records:
        raise ModelError(f"{path}: was saved by torch 2.7 or older; save it again with this torch")
    if "data.pkl" in records:
        raise ModelError(f"{path}: is a pickle of torch.save or TorchScript, not an exported program; {MAKE_ONE}")
    raise ModelError(f"{path}: is a zip file, but holds no exported program named 'model'; {MAKE_ONE}")


def _refuse_code(path: Path, archive: zipfile.ZipFile, records: dict[str, str]) -> None:
    for name, full in records.items():
        if name.startswith(_COMPILED):
            raise ModelError(f"{path}: holds compiled code ({name}); {TRUSTED}")
        if name.endswith(".pt"):
            _check_pickle(path, name, archive.read(full))
        elif name.endswith("_config.json"):
            _check_payloads(path, json.loads(archive.read(full)))
        elif name.startswith("models/"):
            _check_graph(path, json.loads(archive.read(full)))


def _check_pickle(path: Path, name: str, data: bytes) -> None:
    import torch

    if not data:
        return
    try:
        torch.load(io.BytesIO(data), weights_only=True)
    except Exception as error:
        raise ModelError(f"{path}: {name} is a pickle of more than tensors and numbers; {TRUSTED}") from error


def _check_payloads(path: Path, config: Any) -> None:
    for name, payload in config.get("config", {}).items():
        if payload.get("use_pickle") or not str(payload.get("path_name", "")).startswith(("weight_", "tensor_")):
            raise ModelError(f"{path}: {name!r} is stored as a pickled object; {TRUSTED}")


def _check_graph(path: Path, graph: Any) -> None:
    for key, value in _walk(graph):
        if key == "expr_str" and not _is_arithmetic(value):
            raise ModelError(f"{path}: a size is given as {value!r}, which is no arithmetic; it is refused")
        if key == "target" and isinstance(value, str) and not _OPERATOR.fullmatch(value):
            raise ModelError(f"{path}: calls {value!r}, which is no operator of torch's; {TRUSTED}")
        if isinstance(value, str) and ("default_factory_module" in value or "__enum__" in value):
            raise ModelError(f"{path}: its inputs or outputs are structured by classes of its own; {TRUSTED}")
        if key == "range_constraints":
            _check_symbols(path, value)


def _check_symbols(path: Path, ranges: Any) -> None:
    for name in ranges or {}:
        if not _is_arithmetic(name):
            raise ModelError(f"{path}: a size is named {name!r}, which is no arithmetic; it is refused")


def _walk(value: Any) -> Iterator[tuple[str, Any]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, each in items:
        yield str(key), each
        yield from _walk(each)


def _is_arithmetic(text: Any) -> bool:
    """True for what sympy may evaluate: `s0 + 1`, or its own repr, `Add(Symbol('s0', integer=True), Integer(1))`."""
    if not isinstance(text, str) or len(text) > 10_000:
        return False
    try:
        return _is_plain(ast.parse(text, mode="eval").body)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False


def _is_plain(node: ast.AST) -> bool:
    if isinstance(node, ast.Call):
        return _is_plain_call(node)
    if isinstance(node, ast.Constant):
        return isinstance(node.value, int | float)
    if isinstance(node, ast.Name):
        return not node.id.startswith("__")
    return isinstance(node, _ARITHMETIC) and all(map(_is_plain, ast.iter_child_nodes(node)))


def _is_plain_call(node: ast.Call) -> bool:
    # Sympy's classes begin with a capital; no builtin that evaluates, imports or opens does.
    if not isinstance(node.func, ast.Name) or not node.func.id[:1].isupper():
        return False
    flags = all(isinstance(each.value, ast.Constant) and isinstance(each.value.value, bool) for each in node.keywords)
    literal = node.func.id in ("Symbol", "Integer", "Float")
    return flags and all(_is_plain(each) or (literal and _is_word(each)) for each in node.args)


def _is_word(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and bool(re.fullmatch(r"[\w.+-]{1,64}", str(node.value)))
