"""The house rules that no linter knows."""

import ast
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def test_operator_is_no_package() -> None:
    """A package called operator would break the interpreter before our code runs, so there is none."""
    assert not (ROOT / "operator" / "__init__.py").exists()
    assert not list((ROOT / "tests").rglob("__init__.py"))


def test_every_test_states_its_promise() -> None:
    """Every test has a docstring that says what it promises."""
    silent = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in (ROOT / "tests").rglob("test_*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.name.startswith("test_")
        and not ast.get_docstring(node)
    ]
    assert not silent


def test_modules_say_why_they_exist() -> None:
    """Every module of ours opens with why it exists."""
    ours = [*(ROOT / "services").rglob("*.py"), *(ROOT / "devstack").rglob("*.py"), *(ROOT / "operator").rglob("*.py")]
    silent = [
        str(path) for path in ours if "pb" not in path.parts and not ast.get_docstring(ast.parse(path.read_text()))
    ]
    assert not silent


def test_generated_code_is_that_of_the_protos(tmp_path: Path) -> None:
    """What stands in services/pb is what the protos generate."""
    from grpc_tools import protoc  # noqa: PLC0415 - heavy, and used here alone

    protos = [str(path) for path in sorted((ROOT / "protos").glob("*.proto"))]
    include = Path(protoc.__file__).parent / "_proto"
    out = [f"--python_out={tmp_path}", f"--pyi_out={tmp_path}", f"--grpc_python_out={tmp_path}"]
    assert protoc.main(["protoc", f"-Iservices/pb={ROOT / 'protos'}", f"-I{include}", *out, *protos]) == 0
    for made in (tmp_path / "services" / "pb").iterdir():
        assert made.read_text() == (ROOT / "services" / "pb" / made.name).read_text(), made.name
