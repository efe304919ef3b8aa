"""The two programs that carry files to an app on a phone and start it, as POSIX scripts with the same functions.

`devicectl` is Apple's, on a Mac (Xcode 15 or later, iOS 17 or later). `pymobiledevice3` is for Linux: GPL, so it is a
program that the user installs and never a part of us. Its exit code can be 0 with no data
(https://github.com/doronz88/pymobiledevice3/issues/1682), so what was asked for has to be there.

Each script defines, for the phone ``$udid`` and the app ``$app``: `send FILE PATH`, `send_folder FOLDER` (to the same
path), `fetch PATH FILE`, `start`, `facts`, `battery`, and the questions `have` (the program), `present`, `developer`
(Developer Mode), `installed` (the app). Paths are below the app's Documents/seatrial. What fails says so on stderr in
the program's own words, which `phone.explain` reads.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Link:
    """A program: its name, what installs it, and its functions."""

    name: str
    install: str
    functions: str


DEVICECTL = Link(
    "devicectl",
    "xcode-select --install, then Xcode 15 or later from the App Store",
    r"""
have() { xcrun --find devicectl >/dev/null 2>&1; }
copy() {
  way=$1; shift
  xcrun devicectl device copy "$way" --device "$udid" --domain-type appDataContainer --domain-identifier "$app" \
    --quiet "$@" >&2
}
send() { copy to --source "$1" --destination "Documents/seatrial/$2" --remove-existing-content false; }
send_folder() {
  (cd "$1" && find . -type f) | sed 's,^\./,,' >"$scratch/list"
  while IFS= read -r path; do send "$1/$path" "$1/$path" || return 1; done <"$scratch/list"
}
fetch() { rm -f "$2"; copy from --source "Documents/seatrial/$1" --destination "$2" && [ -s "$2" ]; }
start() {
  xcrun devicectl device process launch --device "$udid" --terminate-existing --json-output launched.json --quiet \
    "$app" --once >&2 && [ -s launched.json ]
}
present() {
  xcrun devicectl list devices --json-output list.json --quiet >&2 && grep -q "$udid" list.json && return
  echo "no phone with the serial $udid" >&2; return 1
}
developer() { facts | grep -q '"developerModeStatus" *: *"enabled"'; }
facts() {
  xcrun devicectl device info details --device "$udid" --json-output facts.json --quiet >&2 && cat facts.json
}
installed() {
  xcrun devicectl device info apps --device "$udid" --bundle-id "$app" --json-output apps.json --quiet >&2 &&
    grep -q "$app" apps.json
}
battery() { :; }
""",
)

PYMOBILEDEVICE3 = Link(
    "pymobiledevice3",
    "pipx install pymobiledevice3",
    r"""
have() { command -v pymobiledevice3 >/dev/null 2>&1; }
NO_COLOR=1; export NO_COLOR
limit=; ! command -v timeout >/dev/null 2>&1 || limit="timeout ${answer:-90}"
pm() {
  $limit pymobiledevice3 "$@" --udid "$udid"; code=$?
  # It waits for ever for a human to tap Trust.
  [ "$code" -ne 124 ] || echo "no answer from the phone: not paired?" >&2
  return "$code"
}
files() { verb=$1; shift; pm apps "$verb" "$app" "$@" --documents >&2; }
send() { files push "$1" "/Documents/seatrial/$2"; }
send_folder() { files push "$1" "/Documents/seatrial/${1%/*}"; }
fetch() { rm -f "$2"; files pull "/Documents/seatrial/$1" "$2" && [ -s "$2" ]; }
start() {
  pm developer dvt launch ${tunnel:+"$tunnel"} "$app --once" >launched 2>&1
  grep -q "launched with pid" launched || { cat launched >&2; return 1; }
}
present() {
  pymobiledevice3 usbmux list --simple >list 2>&1 && grep -q "$udid" list && return
  echo "no phone with the serial $udid" >&2; return 1
}
developer() { pm amfi developer-mode-status | grep -q true; }
facts() { pm lockdown info; }
installed() { pm apps query "$app" | grep -q CFBundle; }
battery() { pm diagnostics battery single; }
""",
)

# Sends what the phone does not have yet; a file beside the bundle's says that all of it arrived.
SEND = r"""
udid=$1 app=$2 root=$3 digest=$4
cd "$root" || exit 71
scratch=$(mktemp -d) || exit 72
trap 'rm -rf "$scratch"' EXIT
trap 'exit 143' HUP INT TERM
(cd "$scratch" && fetch "packages/$digest/whole" whole 2>/dev/null) && exit 0
send_folder "packages/$digest" || exit 81
echo "$digest" >"$scratch/whole" && send "$scratch/whole" "packages/$digest/whole" || exit 81
"""

# One run, in its folder on the machine that the phone hangs on: the job goes there, the app is started anew, and the
# result is waited for. Three failures in a row that are not "no such file" mean that the phone is gone.
RUN = r"""
udid=$1 app=$2 tunnel=$3 seconds=$4 token=$5
until=$(($(date +%s) + seconds)); missed=0
have || exit 80
mv "$6" job.json && send job.json job.json || exit 81
start || exit 82
while :; do
  if fetch result.json result 2>said && grep -q "seatrial-end $token" result; then cat result; exit 0; fi
  if grep -qiE 'no such file|not found for|OBJECT_NOT_FOUND|does not exist' said || [ -s result ]; then missed=0
  else missed=$((missed + 1)); fi
  [ "$missed" -lt 3 ] || { cat said >&2; exit 84; }
  [ "$(date +%s)" -lt "$until" ] || { cat said >&2; exit 83; }
  sleep 1
done
"""

STATE = r"""
udid=$1 app=$2 answer=$3
have || exit 80
scratch=$(mktemp -d) && cd "$scratch" || exit 72
trap 'rm -rf "$scratch"' EXIT
trap 'exit 143' HUP INT TERM
facts >found || exit 85
echo facts; cat found; echo; echo battery; battery 2>/dev/null; echo
if installed 2>/dev/null; then echo app yes; else echo app no; fi
"""

# The steps that a human makes once per phone, in their order; it ends at the first that is not done yet.
STEPS = r"""
udid=$1 app=$2 answer=$3
scratch=$(mktemp -d) && cd "$scratch" || exit 72
trap 'rm -rf "$scratch"' EXIT
trap 'exit 143' HUP INT TERM
step() { if "$2" >said 2>&1; then echo "$1 ok"; else echo "$1 no"; tail -n 3 said >&2; exit 0; fi; }
step program have; step plugged present; step trusted facts; step developer developer; step app installed
"""
