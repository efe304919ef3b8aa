"""What a cached engine depends on, and where engines and timing caches lie on the device.

    <root>/engines/<key>/engine.plan     the engine
                         about.json      all that the key is made of, compared word for word before the engine is used
                         engine.sum      sha256 and size, so that a damaged one is built anew
                         build.log, built, layers.json
    <root>/timing/<key>.cache            TensorRT's timing cache: one per TensorRT, GPU and power mode

An engine's own hash says nothing: two builds of the same model differ in their bytes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ...bundle import canonical
from ...pusher import UP
from .identity import Identity

KEPT_ENGINES = 16  # the least recently used go first
ENGINES, TIMING = f"{UP}engines", f"{UP}timing"


@dataclass(frozen=True)
class EngineKey:
    """All that an engine depends on. Any difference makes another key, and so another build: there is no stale engine.

    The power mode decides which kernels were the fastest when the engine was built, not whether it can run.
    """

    onnx_sha256: str
    identity: Identity
    flags: tuple[str, ...]
    plugins: tuple[str, ...] = ()  # sha256 of libraries with plugins

    def about(self) -> dict[str, Any]:
        """Return what the key is made of."""
        identity = self.identity
        return {
            "onnx": self.onnx_sha256,
            **self._machine(),
            "flags": sorted(self.flags),
            "plugins": sorted(self.plugins),
            "l4t": identity.l4t,
        }

    def _machine(self) -> dict[str, Any]:
        identity = self.identity
        return {
            "tensorrt": str(identity.version), "gpu": identity.gpu, "capability": identity.capability,
            "sms": identity.sms, "power mode": identity.power_mode, "stand-in": identity.stand_in,
        }  # fmt: skip

    @property
    def text(self) -> str:
        """Return `about` as the one text that lies beside the engine."""
        return canonical(self.about()).decode()

    @property
    def name(self) -> str:
        """Return the name of the engine's folder.

        >>> len(EngineKey("0" * 64, Identity(), ()).name)
        32
        """
        return _digest(self.about())

    @property
    def folder(self) -> str:
        """Return the engine's folder as a run sees it."""
        return f"{ENGINES}/{self.name}"

    @property
    def engine(self) -> str:
        """Return the engine as a run sees it."""
        return f"{self.folder}/engine.plan"

    @property
    def timing(self) -> str:
        """Return the timing cache as a run sees it. It does not depend on the model: kernels are shared."""
        return f"{TIMING}/{_digest({**self._machine(), 'l4t': self.identity.l4t})}.cache"


def _digest(value: dict[str, Any]) -> str:
    return hashlib.sha256(canonical(value)).hexdigest()[:32]


def keep_only(newest: int, never: Sequence[str]) -> str:
    """Return sh that removes all engines but the ``newest`` used ones; those in ``never`` stay in any case."""
    spared = "|".join(never) or "-"
    return (
        f"ls -t {ENGINES} 2>/dev/null | tail -n +{newest + 1} | while read -r old; do\n"
        f'  case "$old" in {spared}) ;; *) rm -rf "{ENGINES}/$old";; esac\ndone'
    )
