#!/usr/bin/env bash
# Runs the README's two commands where nothing is installed but Debian 12 and Node 20: no Postgres, no nats-server, no
# `postgres` user, empty caches, the project under a home that only root may enter. A developer's machine hides what a
# fresh one lacks.
#
#   sudo scripts/prove-fresh-machine.sh [commit]         default: HEAD
#
# Needs root, debootstrap and unshare. The bare system is made once and kept in SEVER_FRESH_DIR.
set -euo pipefail

project=$(cd "$(dirname "$0")/.." && pwd)
commit=$(git -C "$project" rev-parse --verify "${1:-HEAD}^{commit}")
store=${SEVER_FRESH_DIR:-/var/cache/sever-fresh-machine}
suite=bookworm

main() {
  require_tools
  [ -f "$store/base/.complete" ] || make_base
  run_where_nothing_is 'npm test' test_command
  run_where_nothing_is 'npm start' start_command
  printf '\nBoth commands work at %s on a bare Debian 12 with Node %s.\n' "$commit" "$(node --version)"
}

require_tools() {
  [ "$(id -u)" = 0 ] || die 'needs root, to make and enter the bare system'
  local tool
  for tool in debootstrap unshare node npm git; do
    command -v "$tool" >/dev/null || die "needs $tool (apt-get install debootstrap util-linux git)"
  done
  case $(node --version) in
    v20.*) ;;
    *) die "needs Node 20 on PATH, to copy it in; this is $(node --version)" ;;
  esac
}

make_base() {
  printf '== Making a bare %s (once)\n' "$suite"
  rm -rf "$store/base"
  mkdir -p "$store"
  debootstrap --variant=minbase --include=ca-certificates "$suite" "$store/base" >"$store/debootstrap.log"
  copy_node "$store/base"
  copy_trust "$store/base"
  # What a fresh machine has not: package lists and archives.
  rm -rf "$store/base/var/lib/apt/lists/"* "$store/base/var/cache/apt/archives/"*.deb
  chmod 0700 "$store/base/root"
  touch "$store/base/.complete"
}

copy_node() {
  local base=$1 npm_home
  npm_home=$(dirname "$(dirname "$(readlink -f "$(command -v npm)")")")
  mkdir -p "$base/usr/local/bin" "$base/usr/local/lib/node_modules"
  cp -L "$(command -v node)" "$base/usr/local/bin/node"
  cp -a "$npm_home" "$base/usr/local/lib/node_modules/npm"
  ln -sf ../lib/node_modules/npm/bin/npm-cli.js "$base/usr/local/bin/npm"
  ln -sf ../lib/node_modules/npm/bin/npx-cli.js "$base/usr/local/bin/npx"
}

# The way to the network is the machine's own, so that this also works behind a proxy with certificates of its own.
copy_trust() {
  local base=$1
  cp -L /etc/ssl/certs/ca-certificates.crt "$base/etc/ssl/certs/ca-certificates.crt"
  printf 'cafile=/etc/ssl/certs/ca-certificates.crt\nregistry=%s\n' "$(npm config get registry)" >"$base/root/.npmrc"
}

run_where_nothing_is() {
  local title=$1 body=$2 machine=$store/machine
  printf '\n== %s\n' "$title"
  rm -rf --one-file-system "$machine"
  cp -a --reflink=auto "$store/base" "$machine"
  cp -L /etc/resolv.conf "$machine/etc/resolv.conf"
  git clone --quiet --no-hardlinks "$project" "$machine/root/sever"
  git -C "$machine/root/sever" checkout --quiet --detach "$commit"
  {
    declare -f "$body" processes_of
    printf 'cd /root/sever\n%s\n' "$body"
  } >"$machine/root/body.sh"
  # A process namespace of its own: whatever is started in it is gone when the command is.
  unshare --fork --pid --kill-child --mount --propagation private bash -euo pipefail -c '
    mount -t proc proc "$1/proc"
    mount -t tmpfs tmpfs "$1/dev"
    mkdir "$1/dev/shm" && chmod 1777 "$1/dev/shm"
    for device in null zero random urandom; do
      touch "$1/dev/$device" && mount --bind "/dev/$device" "$1/dev/$device"
    done
    ln -s /proc/self/fd "$1/dev/fd"
    ln -s fd/0 "$1/dev/stdin" && ln -s fd/1 "$1/dev/stdout" && ln -s fd/2 "$1/dev/stderr"
    exec chroot "$1" /usr/bin/env -i HOME=/root PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin \
      TERM=dumb CI=1 NODE_EXTRA_CA_CERTS=/etc/ssl/certs/ca-certificates.crt \
      /bin/bash -euo pipefail /root/body.sh
  ' bash "$machine"
  rm -rf --one-file-system "$machine"
}

test_command() {
  time npm test
}

# Started from nothing, it must say that it listens, and answer; stopped, it must leave nothing behind.
start_command() {
  local began=$SECONDS url='' i
  SEVER_PORT=0 npm start >/root/start.log 2>&1 &
  for ((i = 0; i < 600; i++)); do
    url=$(sed -n 's/^sever: listening on //p' /root/start.log)
    [ -z "$url" ] || break
    kill -0 $! 2>/dev/null || break
    sleep 0.5
  done
  [ -n "$url" ] || { cat /root/start.log; exit 1; }
  printf 'listening on %s after %s s\n' "$url" "$((SECONDS - began))"
  node -e "fetch('$url/readyz').then((r) => { console.log('readyz', r.status); process.exit(r.ok ? 0 : 1); })"
  printf 'servers: %s\n' "$(processes_of 'bin/postgres|nats-server' | wc -w)"
  kill -TERM $(processes_of 'dist/main.js')
  for ((i = 0; i < 60; i++)); do
    [ -n "$(processes_of 'dist/main.js|bin/postgres|nats-server')" ] || break
    sleep 0.5
  done
  [ -z "$(processes_of 'dist/main.js|bin/postgres|nats-server')" ] || { echo 'something still runs'; exit 1; }
  echo 'stopped, and nothing is left running'
}

# Numbers of the processes whose command line matches; a bare system has no ps. Some end while we look.
processes_of() {
  local entry
  for entry in /proc/[0-9]*; do
    if { tr '\0' ' ' <"$entry/cmdline"; } 2>/dev/null | grep -qE -e "^[^ ]*($1)( |$)|^[^ ]*node ($1)"; then
      printf '%s ' "${entry#/proc/}"
    fi
  done
}

die() {
  printf 'prove-fresh-machine: %s\n' "$1" >&2
  exit 2
}

main
