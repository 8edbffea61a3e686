#!/usr/bin/env bash
# A systemd user manager for tests, on Linux machines whose init is not systemd (containers, CI).
#
#   private_systemd.sh RUNTIME_DIR CONFIG_DIR
#
# It prints "ready" when `XDG_RUNTIME_DIR=RUNTIME_DIR systemctl --user` works, and lives until its standard input
# closes; then the manager and everything that it started are gone. Unit files are read from
# CONFIG_DIR/systemd/user. The manager has mount and cgroup namespaces of its own but shares process ids with the
# caller. Exit status 125 where it cannot be had (not root, no systemd); the reason is on standard error.
set -euo pipefail

refuse() { echo "private_systemd: $1" >&2; exit 125; }
[ "$(id -u)" = 0 ] || refuse "needs root"
[ -x /lib/systemd/systemd ] || refuse "systemd is not installed"
command -v unshare > /dev/null || refuse "unshare (util-linux) is not installed"
runtime=$1 config=$2

# Cgroups of its own below ours: named systemd hierarchy and pids on v1, or wherever we are on v2.
groups=()
mapfile -t memberships < /proc/self/cgroup
for membership in "${memberships[@]}"; do
  IFS=: read -r _ controller path <<< "$membership"
  case "$controller" in
    name=systemd) root=/sys/fs/cgroup/systemd ;;
    pids) root=/sys/fs/cgroup/pids ;;
    "") root=/sys/fs/cgroup/unified; [ -d "$root" ] || root=/sys/fs/cgroup ;;
    *) continue ;;
  esac
  [ -f "$root$path/cgroup.procs" ] || continue
  group=${root}${path%/}/modelctl-tests.$$
  mkdir "$group"
  groups+=("$group")
  echo $$ > "$group/cgroup.procs"
done

clean_up() {
  local group members
  for group in "${groups[@]}"; do echo $$ > "$(dirname "$group")/cgroup.procs"; done
  for _ in $(seq 100); do
    members=$(for group in "${groups[@]}"; do find "$group" -name cgroup.procs -exec cat {} +; done | sort -u)
    [ -n "$members" ] || break
    echo "$members" | xargs kill -KILL 2> /dev/null || true
    sleep 0.05
  done
  for group in "${groups[@]}"; do find "$group" -depth -type d -exec rmdir {} \; || true; done
}
trap clean_up EXIT

# shellcheck disable=SC2016 # expanded inside
inside='
  set -eu
  umount -R /sys/fs/cgroup 2> /dev/null || umount -l -R /sys/fs/cgroup
  if grep -q name=systemd /proc/self/cgroup; then
    mount -t tmpfs -o mode=755 tmpfs /sys/fs/cgroup
    mkdir /sys/fs/cgroup/systemd /sys/fs/cgroup/unified /sys/fs/cgroup/pids
    mount -t cgroup -o none,name=systemd cgroup /sys/fs/cgroup/systemd
    mount -t cgroup2 cgroup2 /sys/fs/cgroup/unified
    mount -t cgroup -o pids cgroup /sys/fs/cgroup/pids || rmdir /sys/fs/cgroup/pids
  else
    mount -t cgroup2 cgroup2 /sys/fs/cgroup
  fi
  mount -t tmpfs -o mode=755 tmpfs /run
  mkdir -p /run/systemd/system
  # What a manager that runs as root mounts over paths that a unit may not see.
  mkdir -p -m 755 /run/systemd/inaccessible
  cd /run/systemd/inaccessible
  mkdir -m 000 dir && touch reg && mkfifo fifo && mknod chr c 0 0 && mknod blk b 0 0 && chmod 000 *
  cd /
  exec /lib/systemd/systemd --user --log-target=console
'
export XDG_RUNTIME_DIR=$runtime XDG_CONFIG_HOME=$config
unset DBUS_SESSION_BUS_ADDRESS
mkdir -p "$runtime" "$config/systemd/user"
chmod 700 "$runtime"
unshare --mount --cgroup --propagation private bash -c "$inside" > "$runtime/manager.log" 2>&1 < /dev/null &

for _ in $(seq 200); do
  state=$(systemctl --user show --property=SystemState --value 2> /dev/null || true)
  case "$state" in
    running | degraded)
      echo ready
      cat > /dev/null # until the caller closes it or dies
      exit 0
      ;;
  esac
  sleep 0.05
done
cat "$runtime/manager.log" >&2
refuse "the manager did not come up"
