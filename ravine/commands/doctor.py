"""ravine doctor."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ravine.commands.common import AGREE, VIOLATED, app, open_console

if TYPE_CHECKING:
    pass


@app.command(epilog="Example:  ravine doctor")
def doctor() -> int:
    """Say what this installation has, and whether it works."""
    from ravine.doctor import examine

    console = open_console()
    healthy = True
    for name, text, good in examine():
        healthy = healthy and good
        console.print(f"{'ok ' if good else 'BAD'}  {name:<18}{text}", highlight=False, markup=False, soft_wrap=True)
    return AGREE if healthy else VIOLATED
