"""ravine new."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer

from problems.errors import InputError
from ravine.commands.common import AGREE, app

TEMPLATES = Path(__file__).resolve().parents[1] / "templates"

ROOMS = {
    "claim": ("theory/claims", "tests/claims"),
    "method": ("theory/methods", "tests/contract"),
    "problem": ("problems", "tests/contract"),
}
"""Where a file of each kind and its test belong in a source tree."""

CHECKS = {
    "claim": "ravine verify 'NAME/*'",
    "method": "ravine run --problem quadratic:d=2,mu=0.5,L=1 --method NAME --steps 100 --out x.csv",
    "problem": "ravine run --problem NAME --method sam --rho 0.1 --steps 100 --out x.csv",
}


@app.command(
    epilog="Examples:  ravine new claim my-bound   |   ravine new method my-rule   |   ravine new problem my-function"
)
def new(
    kind: Annotated[str, typer.Argument(help="claim, method or problem.")],
    name: Annotated[str, typer.Argument(help="Lower-case words joined by hyphens: the name in SPECs and claim ids.")],
) -> int:
    """Write the one file to fill in for a claim, a method or a problem, and its test.

    In a source tree of ravine they go to their rooms; anywhere else they are a plugin in the current folder.
    """
    from ravine.files import write_whole

    if kind not in ROOMS:
        raise InputError(f"kind must be claim, method or problem, got {kind!r}")
    if not re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", name):
        raise InputError(f"name must be lower-case words joined by hyphens, got {name!r}")
    _check_free(kind, name)
    module = name.replace("-", "_")
    room, tests = (Path(folder) for folder in ROOMS[kind]) if _in_source_tree() else (Path(), Path())
    plugin = room == Path()
    file, test = room / f"{module}.py", tests / f"test_{module}.py"
    for target in (file, test):
        if target.exists():
            raise InputError(f"name {name!r} would overwrite {target}; choose another name")
    check = CHECKS[kind].replace("NAME", name) + (f" --plugin {file}" if plugin else "")
    words = {
        "TITLE": name.replace("-", " ").capitalize(),
        "CHECK": check,
        "CLASS": "".join(part.capitalize() for part in name.split("-")),
        "NAME": name,
    }
    write_whole(file, lambda stream: stream.write(_filled(f"{kind}.py.txt", words).encode()))
    if plugin:
        words |= {
            "PATH_IMPORT": "from pathlib import Path\n",
            "LOADER_IMPORT": "from ravine.plugin import load_plugin",
            "LOADER_CALL": f'\nload_plugin(Path(__file__).with_name("{file.name}"))\n',
        }
    else:
        words |= {"PATH_IMPORT\n": "", "LOADER_IMPORT\n": "", "LOADER_CALL\n": "\n"}
    text = _filled(f"{kind}_test.py.txt", words)
    write_whole(test, lambda stream: stream.write(text.encode()))
    print(f"wrote {file} and {test}; both work as they are, and are meant to be filled in")
    print(f"  {check}")
    print(f"  python -m pytest {test}")
    return AGREE


def _filled(template: str, words: dict[str, str]) -> str:
    text = (TEMPLATES / template).read_text()
    for word in words:
        text = text.replace(word, words[word])
    return text


def _in_source_tree() -> bool:
    """The current folder is a checkout of ravine."""
    try:
        return 'name = "ravine"' in Path("pyproject.toml").read_text() and Path("theory/claims").is_dir()
    except OSError:
        return False


def _check_free(kind: str, name: str) -> None:
    from problems.problem import problems
    from theory.claim import claims
    from theory.methods.method import methods

    if kind == "claim":
        taken = any(claim.partition("/")[0] == name for claim in claims)
    else:
        taken = name in set(problems if kind == "problem" else methods)
    if taken:
        raise InputError(f"name {name!r} is taken by a {kind} of the catalogue; choose another name")
