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

# unpack_package COMMAND PACKAGE: prints the path of COMMAND, unpacked from PACKAGE into the cache where the machine
# does not have it. Installing docker-registry or etcd-server would start a service of the same name.
unpack_package() {
  local command=$1 package=$2 folder=$CACHE/packages/$2
  if command -v "$command"; then return; fi
  if [[ ! -x $folder/usr/bin/$command ]]; then
    step "Unpacking $package (about 5 s)"
    rm -rf "$folder" && mkdir -p "$folder"
    cd "$folder"
    run_apt download "$package"
    dpkg-deb --extract "$folder/$package"_*.deb "$folder"
    cd "$OLDPWD"
    [[ -x $folder/usr/bin/$command ]] || fail "The Debian package $package has no usr/bin/$command."
  fi
  printf '%s\n' "$folder/usr/bin/$command"
}

# run_apt ARGUMENT...: once as it is; where that fails, once more with fresh package lists.
run_apt() {
  local log=$STATE/logs/apt.log
  local -a apt=(env DEBIAN_FRONTEND=noninteractive apt-get --quiet -o APT::Sandbox::User=root -o DPkg::Lock::Timeout=300)
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
