"""What runs on the device side of a transport: short POSIX sh scripts, and how their output is told apart.

They need sh, head, cat, wc, mkdir, mv and one of sha256sum, toybox, openssl, shasum. `timeout`, `setsid` and `flock`
are used where they exist (coreutils, util-linux, toybox and busybox have them).
"""

from __future__ import annotations

import io
import re
import secrets
import shlex
from collections.abc import Callable, Sequence
from typing import BinaryIO

from ..printable import printable

# Every program runs in a session of its own, so that it can be killed with all its children. Its end comes from
# three sides: `timeout` on the device (the deadline, also when the link is silently dead), the end of our standard
# input (the host closed the connection, was killed, or sshd/adbd died), or its own end. The feeder hands over exactly
# `length` bytes of standard input and then waits for that end of input. `kill 0` reaches only this script's own
# group: sshd, adbd and our own Popen all start it in a session of its own. A program's children that outlive it are
# killed before the end marker is printed on both streams. A shell without job control starts what it puts into the
# background with SIGINT and SIGQUIT ignored, so a program that wants them has to say so.
RUN = r"""token=$1 limit=$2 length=$3; shift 3
exec 3<&0 4>&2 2>/dev/null
trap : TERM
alarm=
if command -v timeout >/dev/null; then set -- timeout -s KILL "$limit" "$@"; else alarm=1; fi
if command -v setsid >/dev/null; then set -- setsid "$@"; fi
{ [ "$length" -eq 0 ] || head -c "$length" <&3; exec >/dev/null; cat <&3; trap "" TERM; kill -TERM 0; } 4>&- |
{ trap 'kill -9 "-${job:-$!}"; kill -9 "${job:-$!}"; trap "" TERM; kill -TERM 0; exit 143' TERM
  exec 5<&0 0</dev/null 3<&-
  "$@" <&5 2>&4 5<&- 4>&- &
  job=$!; exec 5<&-
  if [ "$alarm" ]; then { sleep "$limit"; trap "" TERM; kill -TERM 0; } >/dev/null 4>&- & fi
  wait "$job"; code=$?
  kill -9 "-$job"
  trap "" TERM; kill -TERM 0
  printf '%s:%d:' "$token" "$code"; printf '%s:%d:' "$token" "$code" >&4
}
"""

# openssl first: it uses the CPU's instructions for it, Debian's sha256sum takes four times as long.
SHA256 = r"""sum256() {
  if command -v openssl >/dev/null 2>&1; then set -- "$(openssl dgst -sha256 -r <"$1")"
  elif command -v sha256sum >/dev/null 2>&1; then set -- "$(sha256sum <"$1")"
  elif command -v toybox >/dev/null 2>&1; then set -- "$(toybox sha256sum <"$1")"
  else set -- "$(shasum -a 256 <"$1")"; fi
  printf %s "${1%% *}"
}
"""

# Reads to the end of its input. (The parentheses: a redirection that fails on `exec` or `:` ends the whole shell. And
# mksh, Android's shell, hands descriptors above 2 only to programs that name them.)
# A link that dies leaves the `.part` file for the next attempt; a full disk doesn't. Between our opening the part and
# our lock on it another push may have finished and renamed it: what we then wrote would land in the good file.
STORE = (
    SHA256
    + r"""token=$1 limit=$2 part=$3 final=$4 offset=$5 total=$6 digest=$7 mode=$8
LC_ALL=C; export LC_ALL; umask 077
finish() { printf '%s:%d:' "$token" "$1"; printf '%s:%d:' "$token" "$1" >&2; exit; }
[ ! -d "$final" ] || { echo "is a folder: $final" >&2; finish 4; }
(: >>"$part") || finish 4
exec 9>>"$part"
if command -v flock >/dev/null 2>&1; then flock -n 9 9>&9 || finish 5; fi
if [ -e /proc/self/fd/9 ]; then [ /proc/self/fd/9 -ef "$part" ] || finish 5; fi
[ "$offset" -ne 0 ] || : >"$part"
[ "$(wc -c <"$part")" -eq "$offset" ] || { [ -s "$part" ] || rm -f "$part"; finish 5; }
if command -v timeout >/dev/null 2>&1; then set -- timeout -s KILL "$limit" cat; else set -- cat; fi
"$@" >&9 || { rm -f "$part"; finish 1; }
[ "$(wc -c <"$part")" -eq "$total" ] || finish 2
[ "$(sum256 "$part")" = "$digest" ] || { rm -f "$part"; finish 3; }
chmod "$mode" "$part" && mv -f "$part" "$final" || finish 4
finish 0
"""
)
STORED, WRITE_FAILED, CUT_SHORT, CORRUPT, NOT_RENAMED, BUSY = range(6)

# One line: size and sha256 of what an earlier, broken push left.
PROBE = (
    SHA256
    + r"""LC_ALL=C; export LC_ALL; umask 077; mkdir -p "$(dirname -- "$1")" || exit 1
[ -f "$1" ] && echo "$(wc -c <"$1") $(sum256 "$1")" || echo "0 -"
"""
)

# `sums FILE...` prints a line for each, its sha256 first and its name last.
SUMS = r"""sums() {
  if command -v openssl >/dev/null 2>&1; then openssl dgst -sha256 -r "$@"
  elif command -v sha256sum >/dev/null 2>&1; then sha256sum "$@"
  elif command -v toybox >/dev/null 2>&1; then toybox sha256sum "$@"
  else shasum -a 256 "$@"; fi
}
"""

# Arguments come in threes: sha256, size, mode. Prints one line each: `have`, `need`, or `part` for one that is needed
# and of which a broken push left something. Sizes and hashes are asked for all files at once: on a slow board it is the
# number of processes that takes long.
CHECK = (
    SUMS
    + r"""LC_ALL=C; export LC_ALL; umask 077; verify=" $2 "; mkdir -p "$1" && cd "$1" || exit 1
shift 2; all=$*; parts=" $(echo *.part) "; there='' doubt='' sizes='' good=''
while [ $# -gt 0 ]; do
  if [ -f "$1" ]; then
    there="$there $1"
    case "$verify" in *" $1 "*) doubt="$doubt $1" ;; esac
  fi
  shift 3
done
[ -z "$there" ] || sizes=$(wc -c $there | while read -r size name; do printf ' %s:%s ' "$name" "$size"; done)
[ -z "$doubt" ] || good=$(sums $doubt | while read -r digest name; do
  [ "$digest" = "${name#\*}" ] && printf ' %s ' "$digest"
done)
set -- $all
while [ $# -gt 0 ]; do
  state=need
  case "$sizes" in *" $1:$2 "*)
    case "$verify" in
      *" $1 "*) case "$good" in *" $1 "*) state=have ;; esac ;;
      *) state=have ;;
    esac ;;
  esac
  if [ $state = need ]; then
    [ ! -e "$1" ] || rm -f "$1"
    case "$parts" in *" $1."*) state=part ;; esac
  elif [ "$3" = 700 ]; then chmod 700 "$1"; fi
  echo $state; shift 3
done
"""
)

# Many small files in one stream: a tar of files that are named by their sha256. `tar` and the hashing are each one
# process for all of them. They become blobs only after all were verified; what is another's, or was cut short, goes.
STORE_MANY = (
    SUMS
    + r"""LC_ALL=C; export LC_ALL; umask 077; mkdir -p "$1" && cd "$1" || exit 4
command -v tar >/dev/null 2>&1 || exit 127
folder=many.$2.part; trap 'rm -rf "../$folder" "../$folder.sums"' EXIT
mkdir "$folder" && cd "$folder" || exit 4
tar -xmf - || exit 1
sums * > ../"$folder".sums || exit 1
count=0
while read -r digest name; do
  [ "$digest" = "${name#\*}" ] || exit 3
  count=$((count + 1))
done < ../"$folder".sums
[ "$count" -eq "$3" ] || exit 2
mv -f * .. || exit 4
exit 0
"""
)

READ = '[ -f "$1" ] || { echo "no such file" >&2; exit 1; }; exec cat <"$1"'

# In a folder that somebody else owns or may write to, our files could be swapped under our feet, so it is refused.
ROOT = r"""case $1 in
  /*) root=$1 ;;
  "~/"*) root=$HOME/${1#"~/"} ;;
  *) root=$HOME/$1 ;;
esac
LC_ALL=C; export LC_ALL; umask 077; mkdir -p "$root" || exit 1
[ -O "$root" ] || { echo "$root belongs to another user" >&2; exit 2; }
case $(ls -ld "$root/") in d???????w*) echo "$root: everybody can write there" >&2; exit 4 ;; esac
[ -w "$root" ] || { echo "$root: not writable" >&2; exit 3; }
printf %s "$root"
"""

TOKEN_BYTES = 16


def new_token() -> str:
    """Return a random end marker; what the device prints can't contain it by accident or by guessing."""
    return secrets.token_hex(TOKEN_BYTES)


def command(script: str, *arguments: str) -> str:
    """Return one line for a POSIX login shell that runs ``script`` with ``arguments`` as $1, $2, ..."""
    return "exec " + shlex.join(["sh", "-c", script, "seatrial", *arguments])


def last_words(raw: bytes) -> str:
    """Return the end of what a device printed, where the reason of a failure stands, fit for a terminal."""
    return printable(raw, end=True)


def clean(text: str) -> str:
    """Return a name or a command as it can be shown on a terminal."""
    return last_words(text.encode("utf-8", "replace"))


def exit_code(code: int) -> int:
    """Return a shell's exit status with death by signal as a negative number.

    A shell reports both ``exit 137`` and SIGKILL as 137; the second is far more common, so that is what it means.
    """
    return 128 - code if 128 < code <= 128 + 64 else code


class MarkedStream:
    """One stream of a remote program: passes bytes to ``write`` up to the end marker, which holds the exit code."""

    def __init__(self, token: str, write: Callable[[bytes], object]) -> None:
        self._marker = re.compile(re.escape(token.encode()) + rb":(\d{1,3}):")
        self._longest = len(token) + len(":255:")
        self._held = b""
        self._write = write
        self.code: int | None = None

    def feed(self, data: bytes) -> None:
        """Take what arrived. The end of it, which could be the beginning of the marker, is held back."""
        if self.code is not None:
            return
        data = self._held + data
        if found := self._marker.search(data):
            self.code, self._held = int(found[1]), b""
            self._write(data[: found.start()])
            return
        keep = max(0, len(data) - self._longest + 1)
        self._write(data[:keep])
        self._held = data[keep:]

    def rest(self) -> bytes:
        """Return what was held back when the stream ended without a marker."""
        return self._held


class Bounded:
    """A place for bytes up to a limit, in memory or in ``file``; ``overflow`` is called before it is passed."""

    def __init__(self, limit_bytes: int, overflow: Callable[[], None], file: BinaryIO | None = None) -> None:
        self._file = io.BytesIO() if file is None else file
        self._limit = limit_bytes
        self._overflow = overflow
        self.size = 0

    def write(self, data: bytes) -> None:
        """Keep ``data``, or complain."""
        self.size += len(data)
        if self.size > self._limit:
            self._overflow()
        self._file.write(data)

    def value(self) -> bytes:
        """Return everything that was written to memory."""
        return self._file.getvalue() if isinstance(self._file, io.BytesIO) else b""


def quoted(argv: Sequence[str]) -> str:
    """Return ``argv`` as one would type it, for messages; long ones are cut."""
    text = clean(shlex.join(argv))
    return text if len(text) <= 80 else text[:77] + "..."
