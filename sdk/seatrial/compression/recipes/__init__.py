"""Ready recipes, by name: `seatrial compress MODEL --recipe NAME`. benchmarks/ready_recipes.py runs them."""

from __future__ import annotations

from pathlib import Path

from seatrial_targets.errors import UnknownNameError

FOLDER = Path(__file__).parent


def names() -> tuple[str, ...]:
    """Return the names of the ready recipes."""
    return tuple(sorted(path.stem for path in FOLDER.glob("*.yaml")))


def recipe_path(given: Path | str) -> Path:
    """Return the file of a recipe: ``given`` itself when it is a path, or that of the ready recipe of this name.

    Raises UnknownNameError, with the nearest, for a bare name that is neither a file nor a ready recipe.
    """
    path = Path(given)
    if path.exists() or path.suffix or len(path.parts) != 1:
        return path
    if path.name not in names():
        raise UnknownNameError("recipe", path.name, names(), "give a file, or one of: " + ", ".join(names()))
    return FOLDER / f"{path.name}.yaml"
