#!/bin/bash
# Record a real exim4 anew: build a Debian system, run scenario.sh in it under strace, convert.
#
# Needs root, debootstrap, strace, util-linux and Python 3.11; see README.md.
# The system lives in a temporary directory. All mounts are made in private mount namespaces and all
# processes run in a PID namespace: both end with the command that made them, whatever goes wrong.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
project=$(cd "$here/../.." && pwd)
packages=exim4-daemon-light,procmail,cron,bsd-mailx,perl-base,wget
calls=fork,vfork,clone,clone3,execve,execveat,setsid,setpgid,chdir,fchdir
calls=$calls,setuid,setgid,setreuid,setregid,setresuid,setresgid,setgroups

# A package mirror: the one this machine's apt uses, unless MIRROR says otherwise.
mirror() {
  apt-get indextargets --format '$(REPO_URI)' 'Codename: bookworm' 'Created-By: Packages' | head -n 1
}

# Stage 1, in its own mount and UTS namespace; has the network.
build() {
  hostname mail01
  debootstrap --variant=minbase --include="$packages" bookworm "$1/root" "${MIRROR:-$(mirror)}" >"$1/debootstrap.log" 2>&1 || {
    tail -n 20 "$1/debootstrap.log" >&2
    return 1
  }
}

# Accounts, mail routing and the weak spot; still without the network's reach and untraced.
furnish() {
  local root=$1 name
  echo mail01 >"$root/etc/hostname"
  echo mail01.example.test >"$root/etc/mailname"
  printf '127.0.0.1 localhost\n127.0.1.1 mail01.example.test mail01\n' >"$root/etc/hosts"
  : >"$root/etc/resolv.conf"
  for name in alice bob carol dave; do
    chroot "$root" useradd --create-home --shell /bin/sh "$name"
  done

  sed -i \
    -e "s/^dc_eximconfig_configtype=.*/dc_eximconfig_configtype='local'/" \
    -e "s/^dc_other_hostnames=.*/dc_other_hostnames='mail01.example.test'/" \
    -e "s/^dc_local_interfaces=.*/dc_local_interfaces='127.0.0.1'/" \
    -e "s/^dc_minimaldns=.*/dc_minimaldns='true'/" \
    "$root/etc/exim4/update-exim4.conf.conf"
  printf 'SYSTEM_ALIASES_PIPE_TRANSPORT = address_pipe\nSYSTEM_ALIASES_USER = mail\n' \
    >"$root/etc/exim4/exim4.conf.localmacros"

  # An alias and a .forward that pipe; procmail with a recipe that pipes.
  printf 'mailer-daemon: postmaster\npostmaster: root\nroot: alice\narchive: "|/usr/local/bin/archive-mail --box archive"\n' \
    >"$root/etc/aliases"
  printf '#!/bin/sh\n# Keep a copy of what comes in on standard input.\nset -e\ncat >"/var/tmp/$2.$$"\n' \
    >"$root/usr/local/bin/archive-mail"
  printf '#!/bin/sh\n# Count what comes in and note it.\nwc -c >>"$HOME/notes"\n' >"$root/usr/local/bin/note-mail"
  chmod 755 "$root/usr/local/bin/archive-mail" "$root/usr/local/bin/note-mail"
  printf '"|/usr/local/bin/note-mail carol"\n' >"$root/home/carol/.forward"
  printf ':0 c\n| /usr/local/bin/note-mail bob\n\n:0\n$DEFAULT\n' >"$root/home/bob/.procmailrc"
  chroot "$root" chown carol: /home/carol/.forward
  chroot "$root" chown bob: /home/bob/.procmailrc
  printf '* * * * * echo the disk is fine\n' | chroot "$root" crontab -u dave -

  # The weak spot. It does what a mail server open to CVE-2019-10149 does: it expands a recipient's local part
  # a second time while it delivers. Debian's exim refuses to expand what a stranger sent ("tainted"), so the
  # local part goes through a lookup that matches everything and hands the key back as its own.
  echo '*' >"$root/etc/exim4/any-key"
  sed -i -e "/^begin routers/r $here/weak-router.conf" "$root/etc/exim4/exim4.conf.template"
}

# Stage 2, in namespaces of its own: mounts, host name, PIDs, and a network that is a loopback device alone.
stage() {
  local work=$1 root=$1/root
  hostname mail01.example.test
  ip link set lo up
  mount -t proc proc "$root/proc"
  furnish "$root"
  mkdir -p "$root/run/stage"
  mkfifo "$root/run/stage/requests" "$root/run/stage/replies" "$root/run/stage/idle"
  install -m 755 "$here/scenario.sh" "$root/usr/local/sbin/maintenance"

  python3 "$here/peer.py" "$root/run/stage" &
  for _ in $(seq 100); do
    [ -e "$root/run/stage/ready" ] && break
    sleep 0.1
  done
  # No --seccomp-bpf: it sets no_new_privs, and exim4 needs its setuid bit.
  timeout --kill-after=10 600 strace --follow-forks --decode-fds=path --string-limit=8192 \
    --absolute-timestamps=format:unix,precision:ns --signal=none --trace="$calls" \
    --output="$work/raw.strace" \
    env -i HOME=/root LANG=C PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    setsid /usr/sbin/chroot "$root" /usr/local/sbin/maintenance </dev/null >"$work/scenario.log" 2>&1 || {
    cat "$work/scenario.log" >&2
    cat "$root/var/log/exim4/"*log >&2
    return 1
  }
  convert normalise "$work/raw.strace" --root "$root" >"$work/trace.strace"
  convert inventory "$work/trace.strace" --root "$root" >"$work/host.json"
}

convert() {
  (cd "$project" && PYTHONDONTWRITEBYTECODE=1 python3 -m tests.recordings.convert "$@")
}

all() {
  # Not local: the trap needs it after this function has ended.
  work=$(mktemp -d)
  trap 'rm -rf --one-file-system "$work"' EXIT
  trap 'exit 130' INT TERM
  unshare --mount --uts --propagation private "$0" build "$work"
  unshare --mount --uts --ipc --net --pid --fork --kill-child --mount-proc --propagation private "$0" stage "$work"
  gzip -9n <"$work/trace.strace" >"$here/trace.strace.gz"
  cp "$work/host.json" "$here/host.json"
  convert events
  echo 'Recorded. Now check expected-alerts.json by hand: line numbers and event ids have changed.'
}

case ${1:-all} in
  all) all ;;
  build) build "$2" ;;
  stage) stage "$2" ;;
  *) echo "usage: $0" >&2; exit 2 ;;
esac
