"""Which NVIDIA device this is: L4T, JetPack, CUDA, power mode, GPU, and which TensorRT it has. Changes nothing there.

Two round trips: `SCRIPT` reads files and package lists, then trtexec itself is asked for its version and its GPU. All
of it works without root.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from ...deadline import Deadline
from ...printable import printable
from ...transport.base import Transport
from .report import Report, failure, parse_report
from .version import Version

SECONDS = 120.0  # loading CUDA and its libraries takes seconds on a small board
PLACES = ("/usr/src/tensorrt/bin/trtexec", "/usr/local/tensorrt/bin/trtexec", "/opt/tensorrt/bin/trtexec")
NOWHERE = "/nonexistent/seatrial.plan"  # trtexec tells version and GPU before it looks for the file

# One `key<TAB>value` per line. $1: where trtexec is, or nothing; then the places to look.
SCRIPT = r"""
LC_ALL=C PATH=$PATH:/usr/sbin:/sbin; export LC_ALL PATH
say() { printf '%s\t%s\n' "$1" "$2"; }
tool=$1; shift
[ -n "$tool" ] || tool=$(command -v trtexec 2>/dev/null)
for place in "$@"; do [ -n "$tool" ] || { [ -x "$place" ] && tool=$place; }; done
[ -n "$tool" ] && { [ -x "$tool" ] && say trtexec "$tool" || say absent "$tool"; }
[ -r /etc/nv_tegra_release ] && { read -r line < /etc/nv_tegra_release; say l4t "$line"; }
[ -r /proc/device-tree/compatible ] && say compatible "$(tr '\000' ' ' < /proc/device-tree/compatible)"
if command -v dpkg-query >/dev/null 2>&1; then
  dpkg-query -W -f '${Package} ${Version} ${db:Status-Abbrev}\n' 'libnvinfer*' nvidia-jetpack nvidia-l4t-core \
    'cuda-cudart-[0-9]*' 2>/dev/null | while read -r name version state; do
      case $state in ii*) say package "$name $version";; esac
    done
fi
[ -r /usr/local/cuda/version.json ] && say cuda "$(tr -d '\n' < /usr/local/cuda/version.json | cut -c 1-400)"
for file in /system/lib64/libnvinfer.so* /vendor/lib64/libnvinfer.so* /odm/lib64/libnvinfer.so*; do
  [ -e "$file" ] && say libnvinfer "$file"
done
for clock in /sys/class/devfreq/*.gpu /sys/class/devfreq/*.gv11b /sys/class/devfreq/*.ga10b \
  /sys/class/devfreq/*.gp10b /sys/class/devfreq/gpu-gpc-0; do
  [ -r "$clock/cur_freq" ] && say gpu_clock "$clock/cur_freq"
done
if command -v nvpmodel >/dev/null 2>&1; then
  say nvpmodel "$(nvpmodel -q 2>&1 </dev/null | tr '\n' ' ' | cut -c 1-300)"
fi
[ -r /var/lib/nvpmodel/status ] && { read -r line < /var/lib/nvpmodel/status; say pmode "$line"; }
if [ -r /etc/nvpmodel.conf ]; then
  grep -o 'POWER_MODEL *ID=[0-9]* *NAME=[^ >]*' /etc/nvpmodel.conf |
    while read -r line; do say power_model "$line"; done
fi
exit 0
"""

# L4T of the first release of each JetPack: jetson_stats and NVIDIA's archive agree on these.
JETPACKS = {
    (32, 6): "4.6", (32, 7): "4.6.1", (35, 1): "5.0.2", (35, 2): "5.1", (35, 3): "5.1.1", (35, 4): "5.1.2",
    (35, 5): "5.1.3", (35, 6): "5.1.4", (36, 3): "6.0", (36, 4): "6.1", (36, 5): "6.2.2", (38, 2): "7.0",
    (38, 4): "7.1", (39, 2): "7.2",
}  # fmt: skip


@dataclass(frozen=True)
class Identity:
    """An NVIDIA device, as far as it tells. Empty, None or 0 where it does not; ``problem`` says why trtexec failed."""

    trtexec: str = ""  # its path on the device
    absent: str = ""  # where it should be, but is not
    version: Version | None = None
    l4t: str = ""  # "36.4.3"
    jetpack: str = ""
    cuda: str = ""
    module: str = ""  # "p3767-0005"
    power_mode: str = ""
    gpu: str = ""
    capability: str = ""  # "8.7"
    sms: int = 0
    libraries: tuple[str, ...] = ()  # libnvinfer on Android
    gpu_clock: str = ""  # the file that tells the GPU's clock, in Hz
    stand_in: bool = False
    problem: str = ""

    @property
    def is_nvidia(self) -> bool:
        """True when anything here is NVIDIA's."""
        return bool(self.trtexec or self.l4t or self.libraries or self.version)

    def settings(self) -> dict[str, str]:
        """Return what tells this device's software and GPU from another's, for the record."""
        found = {
            "tensorrt": str(self.version or ""), "l4t": self.l4t, "jetpack": self.jetpack, "cuda": self.cuda,
            "module": self.module, "power mode": self.power_mode, "gpu": self.gpu,
            "compute capability": self.capability, "sms": str(self.sms or ""),
        }  # fmt: skip
        return {key: value for key, value in found.items() if value}


@dataclass
class _Found:
    values: dict[str, list[str]] = field(default_factory=dict)

    def first(self, key: str) -> str:
        """Return the first value of a key, or ''."""
        return next(iter(self.values.get(key, [])), "")

    def package(self, pattern: str) -> str:
        """Return the version of the first installed package whose whole name matches ``pattern``, or ''."""
        lines = (line.partition(" ") for line in self.values.get("package", []))
        return next((version for name, _, version in lines if re.fullmatch(pattern, name)), "")


def identify(transport: Transport, trtexec: str = "") -> Identity:
    """Return what the device is. ``trtexec`` is where it lies there; empty: looked for. Raises as transports do."""
    argv = ["sh", "-c", SCRIPT, "seatrial", trtexec, *PLACES]
    done = transport.run(argv, deadline=Deadline.after(SECONDS), max_output=1 << 20)
    found = read_facts(done.stdout)
    return with_report(found, _ask(transport, found.trtexec)) if found.trtexec else found


def read_facts(text: bytes) -> Identity:
    """Turn the script's output into an identity; lines that make no sense are dropped."""
    found = _Found()
    for line in text[: 1 << 20].split(b"\n")[:1000]:
        key, tab, value = line.partition(b"\t")
        if tab and value:
            found.values.setdefault(printable(key, 40), []).append(printable(value, 400))
    packaged = found.package(r"libnvinfer\d*") or found.package(r"libnvinfer-(bin|lean\d*|dispatch\d*)")
    l4t = _l4t(found.first("l4t"), found.package("nvidia-l4t-core"))
    return Identity(
        trtexec=found.first("trtexec"),
        absent=found.first("absent"),
        version=Version.from_text(packaged),
        l4t=l4t,
        jetpack=found.package("nvidia-jetpack").partition("+")[0] or jetpack_of(l4t),
        cuda=_cuda(found.first("cuda"), found.package(r"cuda-cudart-\d+-\d+")),
        module=_module(found.first("compatible")),
        power_mode=_power_mode(found),
        libraries=tuple(found.values.get("libnvinfer", [])),
        gpu_clock=found.first("gpu_clock"),
    )


def with_report(found: Identity, report: Report) -> Identity:
    """Return ``found`` with what trtexec told of itself and its GPU; its word on the version is the last."""
    version = report.version.with_build_of(found.version) if report.version else None
    gpu = report.words.get("gpu", "")
    sms = report.figures.get("sms", 0)
    changes = {
        "version": version, "gpu": gpu, "capability": report.words.get("capability", ""), "sms": int(sms),
        "stand_in": report.stand_in, "problem": "" if version and gpu else _problem(report),
    }  # fmt: skip
    return Identity(**{**found.__dict__, **changes})


def jetpack_of(l4t: str) -> str:
    """Return the JetPack that an L4T release came with, as precisely as that tells; empty when it is not known.

    >>> jetpack_of("36.4.3"), jetpack_of("99.1")
    ('6.1 or later', '')
    """
    numbers = [int(part) for part in re.findall(r"\d+", l4t)]
    name = JETPACKS.get((numbers[0], numbers[1]), "") if len(numbers) > 1 else ""
    # 36.4.0 is JetPack 6.1, 36.4.3 is 6.2: the package nvidia-jetpack knows better, where it is installed.
    return f"{name} or later" if name and numbers[2:] not in ([], [0]) else name


def _ask(transport: Transport, trtexec: str) -> Report:
    done = transport.run(
        ["sh", "-c", '"$1" --loadEngine="$2" 2>&1 </dev/null', "seatrial", trtexec, NOWHERE],
        deadline=Deadline.after(SECONDS),
        max_output=16 << 20,
    )
    report = parse_report(done.stdout)
    if report.version:
        return report
    said = printable(done.stdout + done.stderr, end=True) or f"exit code {done.returncode}"
    return Report(errors=(said,))


def _problem(report: Report) -> str:
    if report.version is None:
        return f"it does not start: {failure(report)}"
    words = failure(report).replace(f"Error opening engine file: {NOWHERE}", "").strip("; ")
    return f"it finds no GPU{f': {words}' if words else ''}"


def _l4t(release: str, package: str) -> str:
    """`# R36 (release), REVISION: 4.3, GCID: ...`, or the package's `36.4.3-20250107174145`."""
    if found := re.match(r"# R(\d+) \(release\), REVISION: ([\d.]+)", release):
        return f"{found[1]}.{found[2]}"
    return package.partition("-")[0] if re.match(r"\d+\.\d", package) else ""


def _cuda(document: str, package: str) -> str:
    if found := re.search(r'"cuda"\s*:\s*\{[^}]*"version"\s*:\s*"([\d.]+)"', document):
        return found[1]
    found = re.match(r"[\d.]+", package)
    return found[0] if found else ""


def _module(compatible: str) -> str:
    """`nvidia,p3768-0000+p3767-0005-super nvidia,p3767-0005 nvidia,tegra234`: the module's own number."""
    names = [word.partition(",")[2] for word in compatible.split() if word.startswith("nvidia,p")]
    return min(names, key=len, default="")


def _power_mode(found: _Found) -> str:
    """The mode's name by nvpmodel, else by the files that it keeps; names mean more than numbers, which vary."""
    if told := re.search(r"NV Power Mode: (\S+)", found.first("nvpmodel")):
        return told[1]
    number = re.fullmatch(r"pmode:0*(\d+)\b.*", found.first("pmode"))
    for line in found.values.get("power_model", []):
        model = re.fullmatch(r"POWER_MODEL *ID=(\d+) *NAME=(\S+)", line)
        if number and model and int(model[1]) == int(number[1]):
            return model[2]
    return f"mode {int(number[1])}" if number else ""
