"""Hold a built `seatrial-vectors` (named by SEATRIAL_VECTORS) to the contract's vectors. Needs numpy alone.

The tests do the same on Linux; this is for a Mac, where the same core is compiled by Apple's compiler.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "tests" / "runner" / "apple"))

from vectors import NAMES, load, write


def main() -> int:
    """Print each vector's name and whether the program answers as it has to. Return how many do not."""
    wrong = 0
    for name in NAMES:
        with tempfile.TemporaryDirectory() as folder:
            argv = [os.environ["SEATRIAL_VECTORS"], str(write(load(name), Path(folder)))]
            said = subprocess.run(argv, capture_output=True, check=False).stdout
        right = said.splitlines()[:1] != [] and json.loads(said.splitlines()[0]) == load(name)["expect"]
        wrong += not right
        print(f"{name}: {'as agreed' if right else 'NOT as agreed'}")
    return wrong


if __name__ == "__main__":
    sys.exit(min(main(), 1))
