"""A stand-in for `xcrun devicectl` on a Mac that a phone hangs on: its options and files as Xcode 16's help names them.

    devicectl.py FOLDER devicectl device copy to --device UDID ...

FOLDER/container is the app's; FOLDER/state.json says what is wrong with the phone. The app is `peers/apple_runner.py`.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

RUNNER = Path(__file__).with_name("apple_runner.py")
UDID = "00008130-001A1B2C3D4E001E"
APP_ID = "dev.seatrial.runner"


def main(folder: Path, words: list[str]) -> None:
    if words[0] == "--find":
        print(f"/Applications/Xcode.app/Contents/Developer/usr/bin/{words[1]}")
        return
    state = json.loads((folder / "state.json").read_text())
    if words[:3] == ["devicectl", "list", "devices"]:
        found = [] if state.get("unplugged") else [{"hardwareProperties": {"udid": UDID}}]
        Path(words[words.index("--json-output") + 1]).write_text(json.dumps({"result": {"devices": found}}))
        return
    options = parser().parse_intermixed_args(words)
    if options.device != UDID or state.get("unplugged"):
        sys.exit("ERROR: The specified device was not found. (com.apple.dt.CoreDeviceError error 1000 (0x3E8))")
    if state.get("locked") and options.verb in ("copy", "process"):
        sys.exit("ERROR: The operation couldn’t be completed because the device is locked.")
    if not state.get("installed", True) and options.verb in ("copy", "process"):
        sys.exit("ERROR: The requested application dev.seatrial.runner is not installed.")
    {"copy": copy, "process": launch, "info": info}[options.verb](folder, options, state)


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(prog="devicectl")
    made.add_argument("tool", choices=["devicectl"])
    made.add_argument("noun", choices=["device"])
    made.add_argument("verb", choices=["copy", "process", "info"])
    made.add_argument("what", choices=["to", "from", "launch", "details", "apps"])
    for name in ("device", "domain-type", "domain-identifier", "source", "destination", "json-output", "bundle-id"):
        made.add_argument(f"--{name}")
    made.add_argument("--remove-existing-content", choices=["true", "false"])
    for name in ("quiet", "terminate-existing", "console", "once"):
        made.add_argument(f"--{name}", action="store_true")
    made.add_argument("app", nargs="?")
    return made


def copy(folder: Path, options: argparse.Namespace, state: dict[str, object]) -> None:
    assert (options.domain_type, options.domain_identifier) == ("appDataContainer", APP_ID)
    container = folder / "container"
    if options.what == "to":
        target = container / options.destination
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(options.source, target)
        return
    source = container / options.source
    if not source.exists():
        sys.exit("ERROR: Failed to retrieve file: No such file or directory")
    shutil.copyfile(source, options.destination)


def launch(folder: Path, options: argparse.Namespace, state: dict[str, object]) -> None:
    assert options.app == APP_ID
    documents = folder / "container" / "Documents" / "seatrial"
    Path(options.json_output).write_text(json.dumps({"result": {"process": {"processIdentifier": 4001}}}))
    if state.get("silent"):
        return
    (documents / "job.json").rename(documents / ".job")
    script = 'cd "$1" && "$2" "$3" .job > .result; mv .result result.json'
    argv = ["sh", "-c", script, "app", str(documents), sys.executable, str(RUNNER)]
    environment = {**os.environ, "STAND_IN_OUTPUTS": "wrong" if state.get("wrong") else "golden"}
    subprocess.Popen(
        argv, env=environment, start_new_session=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=2
    )


def info(folder: Path, options: argparse.Namespace, state: dict[str, object]) -> None:
    if options.what == "apps":
        apps = [{"bundleIdentifier": APP_ID}] if state.get("installed", True) else []
        found: dict[str, object] = {"apps": apps}
    else:
        mode = "enabled" if state.get("developer_mode", True) else "disabled"
        device = {"osVersionNumber": "17.5.1", "osBuildUpdate": "21F90", "developerModeStatus": mode}
        found = {"deviceProperties": device, "hardwareProperties": {"productType": "iPhone16,1", "udid": UDID}}
    Path(options.json_output).write_text(json.dumps({"info": {"outcome": "success"}, "result": found}))


if __name__ == "__main__":
    os.umask(0o077)
    main(Path(sys.argv[1]), sys.argv[2:])
