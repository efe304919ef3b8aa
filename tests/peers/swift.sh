#!/bin/bash
# The Swift compiler, for the core of the runner for Apple devices: Debian 13's, in a tree of its own (2.5 GB, 90 s).
# Needs root on Debian or Ubuntu, as the device lab does.
#
#   swift.sh build DIR              once: the tree
#   swift.sh core DIR SOURCES       compile SeatrialCore and seatrial-vectors; parse what needs Apple's frameworks
#   swift.sh vectors DIR FOLDER     run seatrial-vectors on FOLDER, which holds job.json and vector.json
set -euo pipefail
LAB=$(dirname "$(realpath "$0")")/lab.sh
PACKAGES=base-files,swiftlang,gcc,libc6-dev,libstdc++-14-dev,binutils,libc-bin,dash,coreutils

build() {
  local dir; dir=$(realpath -m "$1"); mkdir -p "$dir"
  exec 8>"$dir/lock"; flock 8
  if [ -e "$dir/built-2" ]; then return; fi
  rm -rf "$dir/root"
  mmdebstrap --quiet --variant=extract --keyring=/usr/share/keyrings/debian-archive-keyring.gpg \
    --include=$PACKAGES trixie "$dir/root" "$("$LAB" mirror)"
  touch "$dir/built-2"
}

inside() { # DIR SCRIPT [ARGUMENT...]: in mount and process namespaces that end with it; the compiler reads /proc and /dev
  local root; root=$(realpath "$1")/root; shift
  unshare --mount --pid --fork --kill-child sh -ec '
    root=$1; shift; mount -t proc proc "$root/proc"; mount --bind /dev "$root/dev"
    exec chroot "$root" /usr/bin/env -i PATH=/usr/bin:/bin HOME=/root sh -ec "$@"' inside "$root" "$1" sh "${@:2}"
}

core() { # without optimisation: this compiler checks itself, and gives up in one of its optimiser's passes
  local dir key; dir=$(realpath "$1")
  exec 8>"$dir/lock"; flock 8
  key=$(cd "$2" && find Sources App -type f -exec sha256sum {} + | sort | sha256sum)
  if [ "$(cat "$dir/root/core/key" 2>/dev/null)" = "$key" ]; then return; fi
  rm -rf "$dir/root/core"; mkdir "$dir/root/core"; cp -r "$2"/Sources "$2"/App "$dir/root/core/"
  inside "$dir" 'cd /core
    swiftc -emit-module -emit-library -static -module-name SeatrialCore -o libSeatrialCore.a \
      -emit-module-path SeatrialCore.swiftmodule Sources/SeatrialCore/*.swift
    swiftc -I . -L . -lSeatrialCore -o vectors Sources/seatrial-vectors/main.swift
    swiftc -parse Sources/SeatrialCoreML/*.swift
    swiftc -parse Sources/seatrial-apple/main.swift
    swiftc -parse App/SeatrialRunner/*.swift'
  echo "$key" >"$dir/root/core/key"
}

vectors() {
  local dir folder; dir=$(realpath "$1"); folder=$(mktemp -d "$dir/root/tmp/vector.XXXXXX")
  cp -r "$2"/. "$folder"
  inside "$dir" '/core/vectors "/tmp/$1"' "${folder##*/}"
  rm -rf "$folder"
}

"$@"
