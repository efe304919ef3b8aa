"""Engines, built on the device once and kept there; a build that failed says why, in words that help."""

from __future__ import annotations

import re
import secrets
import shlex
from dataclasses import dataclass, field

from seatrial_targets.errors import AgentError, DeviceError, DiskFullError, UserError
from seatrial_targets.units import format_size

from ...bundle import Bundle
from ...enginebuild import ENGINE_BUILD_FILE, EngineBuild, read_engine_build
from ...plan import Event, OnEvent
from ...pusher import Pusher
from ...records import Build, DeviceState
from .cache import ENGINES, KEPT_ENGINES, TIMING, EngineKey, keep_only
from .commands import build_command
from .exports import parse_layers, precisions
from .identity import Identity
from .job import WATCHED, Answer, Place, command
from .report import Report, failure, parse_report
from .version import Version

BUILD_SECONDS = 7200.0
LOOK_SECONDS = 300.0  # hashing a large engine on a slow card
# An engine is rarely larger than its ONNX file, and TensorRT holds both twice while it builds; CUDA alone takes 300 MB.
DISK_PER_ONNX_BYTE, MEMORY_PER_ONNX_BYTE, CUDA_BYTES, LEAST_DISK_BYTES = 2, 3, 300_000_000, 20_000_000

LOOK = r"""folder=%(folder)s; printf '%%s' %(about)s > about
if [ ! -f "$folder/engine.plan" ]; then value state absent
elif ! cmp -s about "$folder/about.json"; then value state other
elif [ "$(sum256 "$folder/engine.plan") $(($(wc -c < "$folder/engine.plan")))" != "$(cat "$folder/engine.sum")" ]
then value state damaged
else
  value state ready; touch "$folder"
  send engine.sum "$folder/engine.sum"; send build.log "$folder/build.log"; send layers.json "$folder/layers.json"
  [ ! -f "$folder/built" ] || cat "$folder/built" | while read -r name rest; do value "$name" "$rest"; done
fi"""

BUILD = r"""mkdir -p made %(engines)s %(timing)s || exit 76
printf '%%s' %(about)s > made/about.json
%(watched)s
log build.log made/build.log; send layers.json made/layers.json
if [ "$code" -eq 0 ] && [ -s made/engine.plan ]; then
  echo "$(sum256 made/engine.plan) $(($(wc -c < made/engine.plan)))" > made/engine.sum
  printf '%%s\n' "begin $begin" "end $up" "before_kib $before" "least_kib $least" "code 0" > made/built
  rm -rf %(folder)s && mv made %(folder)s && value state ready
  send engine.sum %(folder)s/engine.sum
  %(keep)s
fi"""


@dataclass(frozen=True)
class Engine:
    """An engine that is ready on the device: its path as a run sees it, its name among the engines, its record."""

    path: str
    key: str
    build: Build
    scratch_bytes: int | None = None


@dataclass
class Builder:
    """Builds the engines of one session, or finds them built."""

    place: Place
    pusher: Pusher
    identity: Identity
    state: DeviceState
    on_event: OnEvent
    program: tuple[str, ...]  # trtexec, or what takes its options for a build
    used: list[str] = field(default_factory=list)

    def ready(self, bundle: Bundle, *, anew: bool = False) -> Engine:
        """Return the bundle's engine, built now if it is not there, is not the right one, or ``anew``.

        Raises BundleError for a bundle that has none for this TensorRT, DiskFullError, DeviceError when there is too
        little memory or the build was killed, UserError when TensorRT refuses the model.
        """
        plan = read_engine_build(bundle.file(ENGINE_BUILD_FILE))
        key = self.key(plan)
        self.used.append(key.name)
        found = Answer() if anew else self._look(key)
        if found.values.get("state") == "ready":
            return self._engine(key, found, cached=True)
        return self._engine(key, self._build(bundle, plan, key), cached=False)

    def key(self, plan: EngineBuild) -> EngineKey:
        """Return what the engine of ``plan`` depends on, on this device."""
        return EngineKey(plan.onnx_sha256, self.identity, plan.trtexec_flags(self.version[:3]))

    @property
    def version(self) -> Version:
        """Return the version of TensorRT that builds. Raises DeviceError when it is not known."""
        if self.identity.version is None:
            raise DeviceError(f"{self.place.transport.name}: its version of TensorRT is not known")
        return self.identity.version

    def _look(self, key: EngineKey) -> Answer:
        self.on_event(Event("looking for the engine on the device"))
        body = LOOK % {"folder": shlex.quote(key.folder), "about": shlex.quote(key.text)}
        return self.place.run(body, secrets.token_hex(16), LOOK_SECONDS)

    def _build(self, bundle: Bundle, plan: EngineBuild, key: EngineKey) -> Answer:
        entry = bundle.entry(plan.onnx)
        self._require_room(entry.size_bytes)
        onnx = self.pusher.push(bundle.file(plan.onnx), entry.sha256)
        self.on_event(Event(f"building the engine of {bundle.manifest.name} on the device: minutes on a small board"))
        answer = self.place.run(self._body(onnx, key), secrets.token_hex(16), BUILD_SECONDS)
        if answer.values.get("state") != "ready":
            raise explain(answer, self.place.transport.name, bundle, self.identity)
        return answer

    def _body(self, onnx: str, key: EngineKey) -> str:
        options = build_command(self.version, onnx, "made/engine.plan", key.flags, key.timing, "made/layers.json")
        run = command([*self.program, *options], "made/build.log")
        return BUILD % {
            "engines": ENGINES,
            "timing": TIMING,
            "about": shlex.quote(key.text),
            "watched": WATCHED % run,
            "folder": shlex.quote(key.folder),
            "keep": keep_only(KEPT_ENGINES, self.used),
        }

    def _require_room(self, onnx_bytes: int) -> None:
        """Refuse a build that can't end well: it would take minutes, and might take the board down with it."""
        name, disk, memory = self.place.transport.name, self.state.disk_free, self.state.memory_available
        wanted = DISK_PER_ONNX_BYTE * onnx_bytes + LEAST_DISK_BYTES
        if disk is not None and disk < wanted:
            raise DiskFullError(
                f"{name}: {format_size(disk)} free, and the engine of a model of {format_size(onnx_bytes)} needs up to"
                f" {format_size(wanted)}; free some, or `seatrial devices clean {name}`"
            )
        wanted = MEMORY_PER_ONNX_BYTE * onnx_bytes + CUDA_BYTES
        if memory is not None and memory < wanted:
            raise DeviceError(
                f"{name}: {format_size(memory)} of memory available, and building the engine needs at least"
                f" {format_size(wanted)}; {_MORE_MEMORY}"
            )

    def _engine(self, key: EngineKey, answer: Answer, *, cached: bool) -> Engine:
        report = parse_report(answer.files.get("build.log", b""))
        size = re.fullmatch(rb"[0-9a-f]{64} (\d{1,15})\n", answer.files.get("engine.sum", b""))
        build = Build(
            what="TensorRT engine",
            key=key.name,
            cached=cached,
            seconds=report.figures.get("built_s", answer.seconds),
            size_bytes=int(size[1]) if size else None,
            system_peak_delta=answer.peak_delta,
            precisions=precisions(parse_layers(answer.files.get("layers.json", b""))),
            made_by=f"{self.program[0].rpartition('/')[2]} {self.identity.version}",
            warnings=tuple(_warnings(report)),
        )
        return Engine(key.engine, key.name, build)


_MORE_MEMORY = (
    "stop what else runs there (a desktop takes 1 GB: sudo systemctl isolate multi-user.target), add swap, or lower"
    " `workspace_bytes` in the target"
)
_NO_MEMORY = re.compile(r"OutOfMemory|out of memory|Could not find any implementation|insufficient memory", re.I)
_NO_DISK = re.compile(r"No space left on device|Saving engine to file failed|Disk quota exceeded", re.I)
_TACTICS = "Device memory is insufficient to use tactic"


def explain(answer: Answer, device: str, bundle: Bundle, identity: Identity) -> Exception:
    """Return the error for a build that gave no engine: what it died of, and what to do."""
    raw = answer.files.get("build.log", b"")
    report = parse_report(raw)
    words = failure(report)
    if answer.number("oom_kills") or answer.code in (137, 9):
        how = "by the kernel, for want of memory" if answer.number("oom_kills") else "with SIGKILL; was it memory?"
        peak = f" (it had taken {format_size(answer.peak_delta)})" if answer.peak_delta else ""
        return DeviceError(f"{device}: the build of the engine was killed {how}{peak}; {_MORE_MEMORY}")
    if _NO_DISK.search(words) or b"No space left" in raw:
        return DiskFullError(f"{device}: no space left for the engine; free some, or `seatrial devices clean {device}`")
    if _NO_MEMORY.search(words) or any(_TACTICS in text for text in report.warnings):
        return DeviceError(f"{device}: there is too little memory to build the engine: {words}; {_MORE_MEMORY}")
    if report.errors:
        return UserError(
            f"{device}: TensorRT {identity.version} builds no engine of {bundle.manifest.name}: {words}; see what"
            f" `seatrial lint {bundle.path / bundle.manifest.artifact} --target {bundle.manifest.target} --check` says"
        )
    return AgentError(f"{device}: trtexec ended with exit code {answer.code} and said nothing of why")


def _warnings(report: Report) -> list[str]:
    """What a reader must know of the build; trtexec warns of much that is harmless."""
    skipped = sum(_TACTICS in text for text in report.warnings)
    if not skipped:
        return []
    many = f"{skipped} kernels or more were" if skipped > 1 else "a kernel was"
    return [f"{many} not tried for want of memory: built with more memory free, this engine may be faster"]
