"""The repository itself: what is configured exists, what is documented works, what is registered is complete."""

from __future__ import annotations

import inspect
import re
import tomllib
from pathlib import Path

import pytest

import ravine
from experiments.verify.routes import ROUTES
from problems import kernel
from problems.problem import problems
from ravine.cli import run_command
from theory.claim import Claim, claims
from theory.methods.method import methods

ROOT = Path(__file__).resolve().parents[2]
CONFIGURATION = tomllib.loads((ROOT / "pyproject.toml").read_text())
OURS = ("problems", "theory", "experiments", "ravine")


def test_configured_paths_exist() -> None:
    tool = CONFIGURATION["tool"]
    for package in tool["hatch"]["build"]["targets"]["wheel"]["packages"]:
        assert (ROOT / package / "__init__.py").is_file()
        assert (ROOT / package / "py.typed").is_file()
    for folder in [*tool["mypy"]["packages"], *tool["pytest"]["ini_options"]["testpaths"]]:
        assert (ROOT / folder).is_dir()
    assert (ROOT / tool["hatch"]["version"]["path"]).is_file()
    assert not list((ROOT / "tests").rglob("__init__.py"))


def test_every_dependency_is_pinned() -> None:
    pinned = {line.split("==")[0].lower().replace("_", "-") for line in (ROOT / "constraints.txt").read_text().split()}
    project = CONFIGURATION["project"]
    extras = [name for extra in project["optional-dependencies"].values() for name in extra]
    for requirement in [*project["dependencies"], *extras]:
        assert re.split(r"[<>=!\[]", requirement)[0].lower().replace("_", "-") in pinned, requirement


def test_kernels_live_in_the_files_that_key_the_cache() -> None:
    from experiments.engine.dispatch import source_files

    known = {str(file.resolve()) for file in source_files()}
    assert list(problems)
    assert list(methods)
    functions = [f for operation in kernel.Kernel.registry.values() for f in operation.implementations.values()]
    for function in [*functions, *kernel.helpers]:
        if function.__module__.split(".")[0] in OURS:
            assert inspect.getsourcefile(function) in known, function


@pytest.mark.parametrize("claim", list(claims.values()), ids=list(claims))
def test_every_claim_is_complete(claim: Claim) -> None:
    assert re.fullmatch(r"[a-z-]+/[a-z0-9-]+", claim.id)
    assert claim.statement.strip()
    assert claim.statement.count("{") == claim.statement.count("}")
    assert not re.search(r"\\q?quad[A-Za-z]", claim.statement), "a space runs into a letter"
    assert claim.source.note
    assert all(h.text for h in claim.hypotheses)
    assert claim.hypotheses
    assert claim.families
    assert claim.controls
    assert claim.curve or claim.one_step or claim.at_points or claim.trials, "nothing to measure"
    routes = {*ROUTES, *claim.trials}
    assert {control.route for control in claim.controls} <= routes, "a control names a trial that the claim lacks"
    scaled = {name for control in claim.controls for name in control.scale}
    assert scaled <= set(claim.constants), "a control scales a constant that the claim does not name"


def test_every_method_has_a_second_implementation() -> None:
    """At least its name stands in a contract test, beside a transcription of its rule."""
    text = "".join(path.read_text() for path in (ROOT / "tests" / "contract").glob("test_*.py"))
    for name in methods:
        assert re.search(rf'"{name}[":]', text), name


def test_public_names_exist() -> None:
    for name in ravine.__all__:
        assert getattr(ravine, name) is not None
    with pytest.raises(AttributeError, match="nothing"):
        _ = ravine.nothing


def test_readme_example_runs(capsys: pytest.CaptureFixture[str]) -> None:
    examples = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.S)
    assert len(examples) == 2
    for code in examples:
        exec(compile(code, "README.md", "exec"), {})
    assert "consistent" in capsys.readouterr().out


def test_readme_commands_are_real() -> None:
    text, makefile = (ROOT / "README.md").read_text(), (ROOT / "Makefile").read_text()
    targets = re.findall(r"^make (\w+)", text, re.M)
    assert {"verify", "test"} <= set(targets)
    for target in targets:
        assert re.search(rf"^{target}:", makefile, re.M), target
    for command in set(re.findall(r"^ravine ([a-z-]+)", text, re.M)):
        assert run_command([command, "--help"]) == 0, command
    for claim_id in set(re.findall(r"\b(?:unified-sam|sgd)/[a-z-]+", text)):
        assert claim_id in claims, claim_id


def test_changelog_and_citation_name_the_version() -> None:
    assert f"## {ravine.__version__}" in (ROOT / "CHANGELOG.md").read_text()
    assert f"version: {ravine.__version__}" in (ROOT / "CITATION.cff").read_text()
