"""Options that commands of every group have; those by which a command finds its state mean what they mean to `wpy dev`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

ConfigOption = Annotated[
    list[Path] | None,
    typer.Option("--config", "-c", metavar="FILE", help="The config file; several times for several Workers."),
]
EnvOption = Annotated[str | None, typer.Option("--env", "-e", metavar="NAME", help="The environment of the config.")]
PersistToOption = Annotated[
    Path | None,
    typer.Option("--persist-to", metavar="FOLDER", help="The folder of the state (.wpy/state beside the config)."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]
