#!/bin/bash
# What the recorded host does, in order. Runs inside the chroot under strace.
#
# Everything that only directs the play is a shell builtin and so starts no process;
# `true phase NAME KIND` is the mark that the converter cuts the trace by and then drops.
set -u

exec 7<>/run/stage/replies 8<>/run/stage/requests 9<>/run/stage/idle

# The trace ends when the last process does: a scene that fails must not leave the daemons behind.
stop_daemons() {
  /etc/init.d/exim4 stop
  /etc/init.d/cron stop
}
trap stop_daemons EXIT

phase() { /usr/bin/true phase "$1" "$2"; }

# Sleep without a sleep process: nothing is ever written to this descriptor.
pause() { read -r -t "$1" -u 9; }

# Ask the other side of the wire (peer.py, not traced) for something and wait until it is done.
outside() {
  local answer
  printf '%s\n' "$*" >&8
  read -r -u 7 answer
  [[ $answer == done ]] || { printf 'outside %s: %s\n' "$*" "$answer" >&2; exit 1; }
}

# Wait until exim's queue is empty; give up after ten seconds.
settle() {
  local left=100 queued
  while ((left-- > 0)); do
    queued=(/var/spool/exim4/input/*)
    [[ -e ${queued[0]} ]] || { pause 0.3; return 0; }
    pause 0.1
  done
  printf 'the queue does not empty\n' >&2
  exit 1
}

# Wait until a file is there and not empty, at most so many seconds.
appears() {
  local left=$(($2 * 10))
  while ((left-- > 0)); do
    [[ -s $1 ]] && return 0
    pause 0.1
  done
  printf '%s does not appear\n' "$1" >&2
  exit 1
}

phase start ordinary
/etc/init.d/exim4 start
pause 0.5

phase local-mail ordinary
outside mail alice@mail01.example.test 'a note from the network'
settle
runuser -u alice -- /usr/bin/mail -s 'a note from a shell' alice </etc/hostname
settle

phase procmail ordinary
outside mail bob@mail01.example.test 'minutes of the meeting'
settle

phase alias-pipe ordinary
outside mail archive@mail01.example.test 'to be archived'
settle

phase forward-pipe ordinary
outside mail carol@mail01.example.test 'are you there'
settle

phase queue-run ordinary
/usr/sbin/sendmail -odq alice </etc/hostname
/usr/bin/mailq
/usr/sbin/exim4 -q
settle
/usr/sbin/exim4 -qff
settle

phase restart ordinary
/etc/init.d/exim4 restart
pause 0.5

phase cron-mail ordinary
/etc/init.d/cron start
appears /var/mail/dave 90
/etc/init.d/cron stop
settle

phase reconfigure ordinary
DEBIAN_FRONTEND=noninteractive /usr/sbin/dpkg-reconfigure exim4-config
/etc/init.d/exim4 reload
pause 1

phase attack-fetch-and-run attack
outside attack fetch
appears /var/tmp/.cache/report 10
pause 2.5
settle

phase attack-reverse-shell attack
outside attack reverse-bash
outside connected
settle

phase attack-reverse-shell-again attack
outside attack reverse-behind-sh
outside connected
settle

phase attack-masquerade attack
outside attack plant
settle
outside attack run-planted
settle
pause 0.5

phase end ordinary
