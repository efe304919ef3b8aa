"""ONNX Runtime's C header, which is never vendored: from Debian's package, checked by hash, kept in the user's cache.

The package (libonnxruntime-dev) exists from Debian 13 on. On an older Debian it is downloaded, not installed, with apt
folders of our own: the host's sources stay as they are.
"""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path

from seatrial_targets.errors import HarnessError

HEADER = "onnxruntime_c_api.h"
HEADER_VERSION = "1.21.0"
HEADER_SHA256 = "7783e9664bdb0b1b36145b5c8587dd1bc9a399aa000edf2e3dd03003cafc6882"
_SUITE = "trixie"
_KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
_ADVICE = f"set ORT_INCLUDE_DIR to a folder that holds {HEADER} of ONNX Runtime {HEADER_VERSION}"
_APT_CONF = """\
Dir::State "{0}/state";
Dir::State::lists "{0}/lists";
Dir::State::status "{0}/state/status";
Dir::Cache "{0}/cache";
Dir::Etc::sourcelist "{0}/sources.list";
Dir::Etc::sourceparts "-";
Acquire::Languages "none";
APT::Sandbox::User "root";
"""


def cache_folder() -> Path:
    """Return the folder for what a build of the agents needs: header and compiler cache."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "seatrial" / "build"


def include_folder() -> Path:
    """Return a folder that holds the header; fetch it first when need be. Raises HarnessError when it can't be had."""
    if given := os.environ.get("ORT_INCLUDE_DIR"):
        if not (Path(given) / HEADER).is_file():
            raise HarnessError(f"ORT_INCLUDE_DIR={given} holds no {HEADER}")
        return Path(given)
    folder = cache_folder() / f"onnxruntime-{HEADER_VERSION}"
    if not is_cached():
        _store(folder, _fetch())
    return folder


def is_cached() -> bool:
    """True when the right header is in the cache already."""
    path = cache_folder() / f"onnxruntime-{HEADER_VERSION}" / HEADER
    return path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == HEADER_SHA256


def _store(folder: Path, header: bytes) -> None:
    digest = hashlib.sha256(header).hexdigest()
    if digest != HEADER_SHA256:
        raise HarnessError(f"Debian's {HEADER} has sha256 {digest}, not {HEADER_SHA256}; {_ADVICE}")
    folder.mkdir(parents=True, exist_ok=True)
    partial = folder / f"{HEADER}.{os.getpid()}"
    partial.write_bytes(header)
    partial.replace(folder / HEADER)


def _fetch() -> bytes:
    missing = [tool for tool in ("apt-get", "dpkg-deb") if shutil.which(tool) is None]
    if missing or not _KEYRING.is_file():
        raise HarnessError(f"this is no Debian ({', '.join(missing) or _KEYRING} is missing); {_ADVICE}")
    with tempfile.TemporaryDirectory(prefix="seatrial-apt-") as folder:
        package = _download(Path(folder), _mirror())
        return _extract(_run(["dpkg-deb", "--fsys-tarfile", str(package)]))


def _mirror() -> str:
    """Return the Debian mirror that this host uses."""
    for line in _run(["apt-get", "indextargets", "--format", "$(REPO_URI) $(CODENAME)"]).decode().splitlines():
        uri, _, codename = line.partition(" ")
        if uri.rstrip("/").endswith("/debian") and "-" not in codename:
            return uri
    raise HarnessError(f"apt is configured with no Debian mirror; {_ADVICE}")


def _download(folder: Path, mirror: str) -> Path:
    apt, target = folder / "apt", folder / "package"
    for name in ("lists/partial", "cache/archives/partial", "state"):
        (apt / name).mkdir(parents=True)
    target.mkdir()
    (apt / "state/status").touch()
    (apt / "sources.list").write_text(f"deb [signed-by={_KEYRING}] {mirror} {_SUITE} main\n")
    (apt / "apt.conf").write_text(_APT_CONF.format(apt))
    environment = {**os.environ, "APT_CONFIG": str(apt / "apt.conf")}
    _run(["apt-get", "update", "-qq"], env=environment)
    _run(["apt-get", "download", "-qq", "libonnxruntime-dev"], env=environment, cwd=target)
    return next(target.glob("*.deb"))


def _extract(archive: bytes) -> bytes:
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        for member in tar:
            if member.isfile() and Path(member.name).name == HEADER:
                file = tar.extractfile(member)
                return file.read() if file else b""
    raise HarnessError(f"Debian's package holds no {HEADER}; {_ADVICE}")


def _run(argv: list[str], env: dict[str, str] | None = None, cwd: Path | None = None) -> bytes:
    try:
        return subprocess.run(argv, check=True, capture_output=True, env=env, cwd=cwd, timeout=300).stdout
    except subprocess.CalledProcessError as error:
        raise HarnessError(
            f"{' '.join(argv)} failed: {error.stderr.decode(errors='replace').strip()}; {_ADVICE}"
        ) from error
    except (OSError, subprocess.TimeoutExpired) as error:
        raise HarnessError(f"{' '.join(argv)}: {error}; {_ADVICE}") from error
