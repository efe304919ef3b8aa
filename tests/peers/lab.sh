#!/bin/bash
# The device lab: a Debian 13 userland that answers over its own sshd ("pi") or over AOSP's own adbd ("droid"), each in
# its own network, pid, mount and uts namespace. Needs root on Debian or Ubuntu, about 600 MB. As a rule it is arm64 under
# qemu-user; of the host's own architecture it is hundreds of times faster, and good for what is not about arm64.
#
#   lab.sh packages                     what the host needs, by apt
#   lab.sh build DIR [ARCH]             once: emulator, userland, ONNX Runtime, a key; ARCH: arm64, or the host's own
#   lab.sh up DIR NAME NET sshd|adbd    a device at 10.77.NET.2, fresh from the built tree; NAME is PREFIX-OWNERPID
#   lab.sh down NAME                    take it away again
#   lab.sh sweep                        take away what an owner that no longer runs has left behind
set -euo pipefail
PYTHON=${PYTHON:-python3}
DEBIAN=trixie
RUN=/run/seatrial-lab
keyring=/usr/share/keyrings/debian-archive-keyring.gpg
export DEBIAN_FRONTEND=noninteractive

packages() {
  local wanted=(mmdebstrap adb openssh-client openssh-server iproute2 util-linux procps debian-archive-keyring)
  if dpkg -s "${wanted[@]}" >/dev/null 2>&1; then return; fi
  if ! compgen -G '/var/lib/apt/lists/*Packages*' >/dev/null; then apt-get update -qq; fi
  # RUNLEVEL=1: openssh-server's own daemon must not start because of us.
  RUNLEVEL=1 apt-get install -y -qq --no-install-recommends "${wanted[@]}" >/dev/null
}

mirror() { # the host's own when it is a Debian, else DEBIAN_MIRROR
  if [ -n "${DEBIAN_MIRROR:-}" ]; then echo "$DEBIAN_MIRROR"; return; fi
  local found
  found=$(apt-get indextargets --format '$(REPO_URI) $(CODENAME)' |
    awk '$2 !~ /security|updates/ && $1 ~ /debian\/?$/ && !seen++ {print $1}')
  echo "${found:?this host has no Debian mirror: set DEBIAN_MIRROR}"
}

build() {
  local dir arch=${2:-arm64}; dir=$(realpath -m "$1"); mkdir -p "$dir"
  exec 8>"$dir/lock"; flock 8
  if [ -e "$dir/built-1" ]; then return; fi
  rm -rf "$dir/rootfs" "$dir/apt" "$dir/qemu"
  [ "$arch" = "$(dpkg --print-architecture)" ] || emulator "$dir"
  userland "$dir" "$arch"
  ssh-keygen -q -t ed25519 -N '' -f "$dir/key" <<<y >/dev/null
  configure "$dir/rootfs" "$dir/key.pub"
  onnxruntime "$dir" "$arch"
  touch "$dir/built-1"
}

emulator() { # Debian 12's qemu-user 7.2 segfaults on ONNX Runtime sessions; the host's apt sources stay as they are
  local dir=$1 apt=$1/apt
  mkdir -p "$apt"/{lists/partial,cache/archives/partial,state,etc}; : >"$apt/state/status"
  echo "deb [signed-by=$keyring] $(mirror) $DEBIAN main" >"$apt/etc/sources.list"
  cat >"$apt/apt.conf" <<CONF
Dir::State "$apt/state"; Dir::State::lists "$apt/lists"; Dir::State::status "$apt/state/status"; Dir::Cache "$apt/cache";
Dir::Etc::sourcelist "$apt/etc/sources.list"; Dir::Etc::sourceparts "-"; Acquire::Languages "none";
CONF
  mkdir -p "$dir/qemu"
  (cd "$apt" && export APT_CONFIG=$apt/apt.conf && apt-get update -qq && apt-get download -qq -o APT::Sandbox::User=root qemu-user)
  dpkg --fsys-tarfile "$apt"/qemu-user_*.deb | tar x -C "$dir/qemu" --strip-components=3 ./usr/bin/qemu-aarch64
  rm -rf "$apt"
}

userland() { # unpacked only: no maintainer scripts, so 20 s rather than minutes
  mmdebstrap --quiet --variant=extract --architectures="$2" --keyring=$keyring --include=python3,openssh-server,\
openssh-sftp-server,adbd,toybox,mksh,procps,coreutils,util-linux,bash,dash,grep,sed,passwd,base-passwd,base-files,\
libc-bin,hostname,iproute2 $DEBIAN "$1/rootfs" "$(mirror)"
}

onnxruntime() { # a lone manylinux2014 tag would silently choose a version that is years older
  local machine=aarch64; [ "$2" = arm64 ] || machine=x86_64
  $PYTHON -m pip install -q --disable-pip-version-check --root-user-action=ignore --target "$1/rootfs/opt/py" \
    --platform "manylinux_2_28_$machine" --platform "manylinux_2_27_$machine" --platform "manylinux2014_$machine" \
    --python-version 3.13 --only-binary=:all: "${ONNXRUNTIME:-onnxruntime}" numpy
}

configure() { # an extracted Debian tree becomes a userland that can serve
  local root=$1 key=$2
  sed 's#^root:.*#root:x:0:0:root:/root:/bin/bash#' "$root/usr/share/base-passwd/passwd.master" >"$root/etc/passwd"
  cp "$root/usr/share/base-passwd/group.master" "$root/etc/group"
  cat >>"$root/etc/passwd" <<'USERS'
sshd:x:100:65534::/run/sshd:/usr/sbin/nologin
pi:x:1000:1000:pi:/home/pi:/bin/bash
shell:x:2000:2000:shell:/data/local/tmp:/bin/sh
USERS
  printf 'pi:x:1000:\nshell:x:2000:\n' >>"$root/etc/group"
  printf '%s:*:19000:0:99999:7:::\n' root pi shell sshd >"$root/etc/shadow"; chmod 640 "$root/etc/shadow"
  mkdir -p "$root"/{home/pi/.ssh,run/sshd,data/local/tmp,proc,sys,dev,tmp,small}
  cp "$key" "$root/home/pi/.ssh/authorized_keys"
  chown -R 1000:1000 "$root/home/pi"; chmod 700 "$root"/home/pi{,/.ssh}; chmod 600 "$root/home/pi/.ssh/authorized_keys"
  chown 2000:2000 "$root/data/local/tmp"; chmod 771 "$root/data/local/tmp"; chmod 1777 "$root/tmp" "$root/small"
  rm -f "$root/etc/ssh/ssh_host_ed25519_key"
  ssh-keygen -q -t ed25519 -N '' -C device -f "$root/etc/ssh/ssh_host_ed25519_key"
  cat >"$root/etc/ssh/sshd_config" <<'SSHD'
HostKey /etc/ssh/ssh_host_ed25519_key
PasswordAuthentication no
UsePAM no
PidFile none
MaxStartups 50
Subsystem sftp /usr/lib/openssh/sftp-server
SSHD
  printf '/usr/lib/%s-linux-gnu/android\n' aarch64 x86_64 >"$root/etc/ld.so.conf.d/android.conf"
}

# binfmt_misc is machine-global. The newest registration wins, so ours goes under its owner's name and leaves others be.
# Flag F: the interpreter is opened now, so the tree needs no emulator inside.
register() { # NAME INTERPRETER
  local misc=/proc/sys/fs/binfmt_misc
  local magic='\x7f\x45\x4c\x46\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00'
  local mask='\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff'
  mountpoint -q $misc || mount -t binfmt_misc binfmt_misc $misc
  [ -e "$misc/$1" ] || printf '%s' ":$1:M::$magic:$mask:$2:OCF" >"$misc/register"
}

up() { # the built tree is the lower layer of an overlay in memory: every device is new, and none can fill the disk
  local dir name=$2 net=$3 serve link
  dir=$(realpath "$1"); link=lab$net; mkdir -p $RUN
  case $4 in
    sshd) serve="chroot /mnt/root /usr/sbin/sshd -D -e" ;;
    adbd) serve="env -i PATH=/usr/bin:/bin:/usr/sbin:/sbin HOME=/data/local/tmp \
      chroot --userspec=2000:2000 /mnt/root /usr/lib/android-sdk/platform-tools/adbd" ;;
  esac
  if [ -e "$dir/qemu/qemu-aarch64" ]; then register "$name" "$dir/qemu/qemu-aarch64"; fi
  ip netns add "$name"
  ip link del "$link" 2>/dev/null || true # of a device that was taken down just now, and goes with its last process
  ip link add "$link" type veth peer name eth0 netns "$name"
  ip addr add "10.77.$net.1/24" dev "$link"; ip link set "$link" up
  ip -n "$name" addr add "10.77.$net.2/24" dev eth0; ip -n "$name" link set eth0 up; ip -n "$name" link set lo up
  nohup ip netns exec "$name" unshare --pid --mount --uts --ipc --fork --kill-child sh -ec "
    mount --make-rprivate /
    mount -t tmpfs -o size=1g,mode=755 lab /mnt; mkdir /mnt/upper /mnt/work /mnt/root
    mount -t overlay -o lowerdir=$dir/rootfs,upperdir=/mnt/upper,workdir=/mnt/work lab /mnt/root
    mount -t proc proc /mnt/root/proc; mount --rbind /dev /mnt/root/dev
    mount -t tmpfs -o size=4m,mode=1777 small /mnt/root/small
    chroot /mnt/root /sbin/ldconfig
    hostname device; cd /mnt/root; while :; do $serve || sleep .2; done" >"$RUN/$name.log" 2>&1 </dev/null &
  echo $! >"$RUN/$name.pid"
}

down() { # killing the first process of a pid namespace kills the whole of it; `unshare --fork` ignores SIGTERM
  local pid
  if [ -f "$RUN/$1.pid" ]; then
    pid=$(cat "$RUN/$1.pid")
    pkill -9 -P "$pid" || true
    kill -9 "$pid" 2>/dev/null || true
    rm -f "$RUN/$1.pid" "$RUN/$1.log"
  fi
  ip netns del "$1" 2>/dev/null || true # takes the veth pair along
  [ ! -e "/proc/sys/fs/binfmt_misc/$1" ] || echo -1 >"/proc/sys/fs/binfmt_misc/$1"
}

sweep() {
  local pidfile name
  for pidfile in "$RUN"/*.pid; do
    name=$(basename "$pidfile" .pid)
    [ ! -e "$pidfile" ] || kill -0 "${name##*-}" 2>/dev/null || down "$name"
  done
}

"$@"
