"""The store of baselines: bundles by digest, and records of who accepted them as what.

objects/DIGEST/...          the bundle's files, written once, never changed
records/DIGEST.json         what is known of it: verdict, labels, when
refs/KIND/NAME/MODEL.TARGET the digest that a tag, branch or release means now
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from seatrial_ci.baselines.storage import Storage, open_storage
from seatrial_ci.gate.verdict import Verdict
from seatrial_runner.bundle import Bundle
from seatrial_targets.atomic import write_atomic
from seatrial_targets.errors import HarnessError, UnknownNameError, UserError

Kind = Literal["tag", "branch", "release"]
KINDS: tuple[Kind, ...] = ("tag", "branch", "release")
DIGEST = re.compile(r"[0-9a-f]{8,64}")


class Kept(BaseModel):
    """A bundle in the store. ``outcome`` is that of its own gate, or empty; ``stamp`` names what was no device."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    digest: str
    name: str
    target: str
    added_unix_ns: int
    outcome: str = ""
    stamp: str = ""
    trial_id: str = ""
    labels: dict[str, str] = Field(default_factory=dict)  # tag, branch, release, commit

    @property
    def fit(self) -> bool:
        """True when it passed its own gate on real hardware."""
        return self.outcome == "PASS" and not self.stamp


class Baselines:
    """An open store."""

    def __init__(self, storage: Storage, cache: Path) -> None:
        self._storage = storage
        self._cache = cache

    @classmethod
    def open(cls, place: str | Path | None = None, cache: Path | None = None) -> Baselines:
        """Open the store at a folder or fsspec URL, by default `default_place`; it is made when first written."""
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        return cls(open_storage(place or default_place()), cache or base / "seatrial" / "baselines")

    def put(
        self, bundle: Bundle, labels: Mapping[str, str], verdict: Verdict | None = None, unproven: bool = False
    ) -> Kept:
        """Keep ``bundle`` under ``labels`` (tag, branch, release; others are only noted). Returns its record.

        Raises UserError when its gate did not pass on real hardware, unless ``unproven``, or when a tag or release
        already means another bundle: those never move.
        """
        record = self._beside_known(_record(bundle, labels, verdict))
        if not record.fit and not unproven:
            raise UserError(f"{bundle.path}: {_unfit(record)}; keep it all the same with --unproven")
        for kind in KINDS:
            self._check_free(kind, labels.get(kind), record)
        for entry in ("manifest.json", *(file.path for file in bundle.manifest.files)):
            self._storage.write(f"objects/{record.digest}/{entry}", (bundle.path / entry).read_bytes())
        self._storage.write(f"records/{record.digest}.json", record.model_dump_json().encode())
        for kind in KINDS:
            if labels.get(kind):
                self._storage.write(_ref(kind, labels[kind], record), record.digest.encode())
        return record

    def find(self, reference: str, name: str, target: str, allow_unproven: bool = False) -> Path:
        """Return the folder of the bundle that ``reference`` means for a model's ``name`` and ``target``.

        ``tag:``, ``branch:``, ``release:`` or ``digest:`` and a name. It is fetched and verified. Raises
        UnknownNameError, and UserError for one that did not pass its own gate.
        """
        record = self.record(self._digest(reference, name, target))
        if not record.fit and not allow_unproven:
            raise UserError(f"baseline {reference} ({record.digest[:12]}): {_unfit(record)}; it can't be a baseline")
        return self._fetched(record.digest)

    def record(self, digest: str) -> Kept:
        """Return what is known of a bundle. Raises UnknownNameError, HarnessError when it is damaged."""
        try:
            return Kept.model_validate_json(self._storage.read(f"records/{digest}.json"))
        except FileNotFoundError:
            known = [each.digest for each in self.list()]
            raise UnknownNameError("baseline", digest, known, f"{self._storage.place} does not hold it") from None
        except ValidationError as error:
            raise HarnessError(f"{self._storage.place}: the record of {digest} is damaged: {error}") from error

    def list(self) -> list[Kept]:
        """Return all records, newest first."""
        paths = [path for path in self._storage.files("records") if path.endswith(".json")]
        found = [self.record(Path(path).stem) for path in paths]
        return sorted(found, key=lambda kept: -kept.added_unix_ns)

    def references(self) -> dict[str, str]:
        """Return 'branch:main small.TARGET' -> digest, of all references."""
        found = {}
        for path in self._storage.files("refs"):
            kind, name, what = path.split("/")[1:4]
            found[f"{kind}:{_unescape(name)} {what}"] = self._storage.read(path).decode("ascii", "replace")
        return found

    def remove(self, digest: str) -> Kept:
        """Remove a bundle and the references to it. Raises UnknownNameError."""
        record = self.record(self._digest(f"digest:{digest}", "", ""))
        for path in [p for p in self._storage.files("refs") if self._storage.read(p).decode() == record.digest]:
            self._storage.remove(path)
        self._storage.remove(f"records/{record.digest}.json")
        for path in list(self._storage.files(f"objects/{record.digest}")):
            self._storage.remove(path)
        return record

    def _beside_known(self, record: Kept) -> Kept:
        """Return ``record`` with what is known already: another name for a bundle takes nothing from it."""
        try:
            known = Kept.model_validate_json(self._storage.read(f"records/{record.digest}.json"))
        except (FileNotFoundError, ValidationError):  # new, or damaged and now written anew
            return record
        gate = {} if record.outcome else {key: getattr(known, key) for key in ("outcome", "stamp", "trial_id")}
        return record.model_copy(update={**gate, "labels": {**known.labels, **record.labels}})

    def _digest(self, reference: str, name: str, target: str) -> str:
        kind, _, value = reference.partition(":")
        if kind == "digest" and DIGEST.fullmatch(value):
            matches = [each.digest for each in self.list() if each.digest.startswith(value)]
            if len(matches) == 1:
                return matches[0]
            raise UnknownNameError("baseline", value, [], "no bundle" if not matches else "more than one begins so")
        if kind not in KINDS or not value:
            raise UserError(f"{reference!r} is no reference to a baseline; write tag:, branch:, release: or digest:")
        path = f"refs/{kind}/{_escape(value)}/{name}.{target}"
        try:
            return self._storage.read(path).decode("ascii", "replace").strip()
        except FileNotFoundError:
            hint = f"{self._storage.place} has none for {name}.{target}; keep one with `seatrial baseline add`"
            known = {each.split(" ")[0] for each in self.references()}
            raise UnknownNameError("baseline", reference, known, hint) from None

    def _fetched(self, digest: str) -> Path:
        """Copy a bundle to this machine once, verify it on every use."""
        folder = self._cache / digest
        if not (folder / "manifest.json").is_file():
            paths = list(self._storage.files(f"objects/{digest}"))
            for path in sorted(
                paths, key=lambda p: p.endswith("/manifest.json")
            ):  # the manifest last: then it is whole
                target = folder / path.removeprefix(f"objects/{digest}/")
                target.parent.mkdir(parents=True, exist_ok=True)
                write_atomic(target, self._storage.read(path))
        if Bundle.open(folder).digest != digest:
            raise HarnessError(f"{folder}: is not the bundle {digest[:12]} that it should be; remove it and try again")
        return folder

    def _check_free(self, kind: Kind, name: str | None, record: Kept) -> None:
        if not name or kind == "branch":
            return
        try:
            there = self._storage.read(_ref(kind, name, record)).decode()
        except FileNotFoundError:
            return
        if there != record.digest:
            text = f"{kind} {name!r} already means another bundle of {record.name}.{record.target} ({there[:12]})"
            raise UserError(f"{text}; tags and releases do not move, choose another name")


def default_place() -> Path:
    """Return the folder of the user's own store."""
    base = Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share")
    return base / "seatrial" / "baselines"


def _record(bundle: Bundle, labels: Mapping[str, str], verdict: Verdict | None) -> Kept:
    return Kept(
        digest=bundle.digest,
        name=bundle.manifest.name,
        target=bundle.manifest.target,
        added_unix_ns=time.time_ns(),
        outcome=verdict.outcome.value if verdict else "",
        stamp=verdict.stamp if verdict else "",
        trial_id=verdict.trial_id if verdict else "",
        labels=dict(labels),
    )


def _unfit(record: Kept) -> str:
    if not record.outcome:
        return "nothing is known of its own gate (name its trial with --trial)"
    if record.outcome != "PASS":
        return f"its own gate ended with {record.outcome}"
    return f"its own gate ran on {record.stamp}, not on real hardware"


def _ref(kind: Kind, name: str, record: Kept) -> str:
    return f"refs/{kind}/{_escape(name)}/{record.name}.{record.target}"


def _escape(name: str) -> str:
    """Return a name as one safe part of a path: 'feature/x' is 'feature%2Fx'."""
    from urllib.parse import quote

    return quote(name, safe="").replace(".", "%2E") if set(name) <= {"."} else quote(name, safe="")


def _unescape(name: str) -> str:
    from urllib.parse import unquote

    return unquote(name)
