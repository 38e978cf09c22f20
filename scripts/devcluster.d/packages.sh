# shellcheck shell=bash
# Debian packages: installed where a command is missing, or only unpacked where installing would start a service.

# need_packages COMMAND=PACKAGE...: installs the packages whose command (or absolute path) is missing.
need_packages() {
  local pair
  local -a missing=()
  for pair in "$@"; do
    if ! command -v "${pair%%=*}" >/dev/null; then missing+=("${pair#*=}"); fi
  done
  if ((${#missing[@]} == 0)); then return; fi
  confirm_install "${missing[@]}"
  step "Installing ${missing[*]} (about 20 s)"
  run_apt install --yes --no-install-recommends "${missing[@]}"
}

# need_idle_packages COMMAND=PACKAGE...: the same, for packages that would start a service: Debian's policy-rc.d keeps it from that.
need_idle_packages() {
  local policy=/usr/sbin/policy-rc.d pair lacking=''
  for pair in "$@"; do
    if ! command -v "${pair%%=*}" >/dev/null; then lacking=yes; fi
  done
  if [[ -z $lacking ]]; then return; fi
  if [[ -e $policy ]]; then
    need_packages "$@"
    return
  fi
  (
    trap 'rm -f "$policy"' EXIT
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
    need_packages "$@"
  )
}

# unpack_package PACKAGE FILE: unpacks PACKAGE into the cache and prints the path of its FILE. For what would start a
# service when it is installed (docker-registry, etcd-server) or push out another package (busybox-static).
unpack_package() {
  local package=$1 file=$2 folder=$CACHE/packages/$1
  if [[ ! -x $folder/$file ]]; then
    step "Unpacking $package (about 5 s)"
    rm -rf "$folder"
    mkdir -p "$folder"
    (cd "$folder" && run_apt download "$package" && dpkg-deb --extract "$package"_*.deb .)
    [[ -x $folder/$file ]] || fail "The Debian package $package has no $file."
  fi
  printf '%s\n' "$folder/$file"
}

# run_apt ARGUMENT...: once as it is; where that fails, once more with fresh package lists.
run_apt() {
  local log=$STATE/logs/apt.log
  local -a apt=(env DEBIAN_FRONTEND=noninteractive apt-get --quiet -o APT::Sandbox::User=root
    -o DPkg::Lock::Timeout=300)
  mkdir -p "$STATE/logs"
  if "${apt[@]}" "$@" </dev/null >"$log" 2>&1 9>&-; then return; fi
  detail 'apt-get failed; once more with fresh package lists'
  { "${apt[@]}" update && "${apt[@]}" "$@"; } </dev/null >"$log" 2>&1 9>&- ||
    fail "apt-get $* failed." "$log" "apt-get update && apt-get $*"
}

confirm_install() {
  local answer
  if [[ $ASSUME_YES == yes || ! -t 0 || ! -t 2 ]]; then return; fi
  read -r -p "       Install the Debian packages $*? [Y/n] " answer
  [[ ${answer:-y} == [Yy]* ]] ||
    fail 'Nothing was installed.' '' "set DOCKER_HOST, GITRECEIVE_REGISTRY or KUBECONFIG to use your own"
}
