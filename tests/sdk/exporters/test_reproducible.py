"""Two processes, one bundle: neither hash seeds nor the order of anything in memory shows in the digest."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
import sys
from pathlib import Path
import torch
from seatrial.exporters import export
from seatrial.source import ModelSource
from seatrial_runner.bundle import Bundle
from seatrial_targets import registry

torch.manual_seed(0)
net = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(8 * 36, 5))
images = [torch.rand(1, 3, 8, 8) for _ in range(4)]
source = ModelSource(net, images[0], calibration=images, checks=images)
print(Bundle.open(export(source, registry.get("x86-64-cpu-int8"), Path(sys.argv[1]))).digest)
"""


@pytest.mark.slow
def test_two_processes_make_the_same_bundle(tmp_path: Path) -> None:
    digests = set()
    for seed in ("1", "2"):
        command = [sys.executable, "-W", "error", "-c", SCRIPT, str(tmp_path / seed)]
        done = subprocess.run(
            command, env={**os.environ, "PYTHONHASHSEED": seed}, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        assert done.stderr == ""
        digests.add(done.stdout.strip())
    assert len(digests) == 1
