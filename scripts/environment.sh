# shellcheck shell=bash
# What quickstart, test and bench stand on: Debian packages and the virtual environment. Sourced, never run.

ROOT=$(dirname "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")")
STATE=${XDG_STATE_HOME:-$HOME/.local/state}/gitreceive/scripts
CACHE=${XDG_CACHE_HOME:-$HOME/.cache}/gitreceive
# shellcheck disable=SC2034 # packages.sh reads it: nobody is asked
ASSUME_YES=yes
# The exit code after an error that was told in full.
TOLD=70

# shellcheck source=scripts/devcluster.d/say.sh
source "$ROOT/scripts/devcluster.d/say.sh"
# shellcheck source=scripts/devcluster.d/packages.sh
source "$ROOT/scripts/devcluster.d/packages.sh"
trap 'tell_unforeseen "$?" "$BASH_COMMAND" "${BASH_SOURCE[0]}:$LINENO"' ERR

# The programs that gitreceive and its scripts call. Docker, registry and Kubernetes are devcluster's.
need_programs() {
  mkdir -p "$STATE/logs" "$CACHE"
  need_packages git=git ssh=openssh-client ssh-keygen=openssh-client curl=curl mmdebstrap=mmdebstrap "$@"
  if ! python3 -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
    step 'Installing python3 and python3-venv (about 20 s)'
    run_apt install --yes --no-install-recommends python3 python3-venv
  fi
}

# need_environment [dev]: .venv with exactly what the lock names, and gitreceive from this clone; made again when one of them has changed.
need_environment() {
  local lock=$ROOT/requirements${1:+-$1}.lock mark=$ROOT/.venv/made-from wanted
  wanted=$(cat "$ROOT/pyproject.toml" "$lock" | sha256sum)
  if [[ -f $mark && $(<"$mark") == "$wanted" ]]; then return; fi
  step 'Installing gitreceive into .venv (about 40 s)'
  make_environment "$lock" >"$STATE/logs/venv.log" 2>&1 ||
    fail 'The virtual environment could not be made.' "$STATE/logs/venv.log" 'look at the index that pip is set to'
  printf '%s\n' "$wanted" >"$mark"
}

# make_environment LOCK: every file is one whose hash the lock has, the installer's own among them. A constraint of this host's changes nothing.
make_environment() {
  local uv=$ROOT/.venv/bin/uv
  [[ -x $ROOT/.venv/bin/python ]] || python3 -m venv "$ROOT/.venv" || return
  sed -n '/^uv==/,/[^\\]$/p' "$1" >"$ROOT/.venv/uv.lock"
  PIP_CONSTRAINT='' "$ROOT/.venv/bin/python" -m pip install --disable-pip-version-check --no-deps --require-hashes --requirement "$ROOT/.venv/uv.lock" &&
    "$uv" pip install --python "$ROOT/.venv/bin/python" --require-hashes --requirement "$1" &&
    "$uv" pip install --python "$ROOT/.venv/bin/python" --no-deps --no-build-isolation --editable "$ROOT"
}

# The certificate authorities that this host trusts; builds are given them, for an index behind a company proxy.
host_ca_bundle() {
  local file
  for file in "${SSL_CERT_FILE-}" /etc/ssl/certs/ca-certificates.crt /etc/pki/tls/certs/ca-bundle.crt; do
    if [[ -n $file && -s $file ]]; then
      printf '%s\n' "$file"
      return
    fi
  done
}

# NAME=VALUE lines: the package indexes and proxies that this host uses, for builds.
host_build_env() {
  local name value
  value=$("$ROOT/.venv/bin/python" -m pip config get global.index-url 2>/dev/null || true)
  value=${PIP_INDEX_URL:-$value}
  if [[ -n $value ]]; then printf 'PIP_INDEX_URL=%s\nUV_DEFAULT_INDEX=%s\n' "$value" "$value"; fi
  value=${NPM_CONFIG_REGISTRY:-${npm_config_registry-}}
  if [[ -z $value ]] && command -v npm >/dev/null; then value=$(npm config get registry 2>/dev/null || true); fi
  if [[ $value == http* ]]; then printf 'NPM_CONFIG_REGISTRY=%s\n' "$value"; fi
  for name in http_proxy https_proxy no_proxy HTTP_PROXY HTTPS_PROXY NO_PROXY; do
    if [[ -n ${!name-} ]]; then printf '%s=%s\n' "$name" "${!name}"; fi
  done
}

# need_stack NAME: the base images that apps are built on, kept in the registry; made again when their recipe has changed.
need_stack() {
  local mark=$GITRECEIVE_DATA_DIR/stack-made-from wanted
  wanted=$(cat "$ROOT"/gitreceive/engines/stacks/*.{py,toml} | sha256sum)
  if [[ -f $mark && $(<"$mark") == "$wanted" ]] && gitreceive stack list --check >/dev/null 2>&1; then return; fi
  gitreceive stack create "$1"
  printf '%s\n' "$wanted" >"$mark"
}

# need_ground: Docker, registry, cluster and stack, as tests and bench use them. The stack is made once and kept in the
# registry; servers of tests are told its digests.
need_ground() {
  "$ROOT/scripts/devcluster" up --yes
  eval "$("$ROOT/scripts/devcluster" env)"
  need_idle_packages /usr/sbin/sshd=openssh-server # scenarios start one of their own
  # where devcluster has unpacked what it does not install, tests start registries of their own
  PATH=$PATH:$CACHE/devcluster/packages/docker-registry/usr/bin
  export GITRECEIVE_DATA_DIR=$STATE/test-stack
  mkdir -p "$GITRECEIVE_DATA_DIR"
  need_stack bookworm
  GITRECEIVE_TEST_STACK=$(gitreceive stack list --json)
  GITRECEIVE_TEST_CA_BUNDLE=$(host_ca_bundle)
  GITRECEIVE_TEST_BUILD_ENV=$(host_build_env)
  export GITRECEIVE_TEST_STACK GITRECEIVE_TEST_CA_BUNDLE GITRECEIVE_TEST_BUILD_ENV
  unset GITRECEIVE_DATA_DIR
}

# need_postgresql: the programs of a server that the tests start for themselves. Unpacked: installing would start one for all.
need_postgresql() {
  if [[ -n ${GITRECEIVE_TEST_POSTGRESQL-} ]]; then return; fi
  local folder=/usr/lib/postgresql/15/bin
  if [[ ! -x $folder/postgres ]]; then
    folder=$(dirname "$(unpack_package postgresql-15 "${folder#/}/postgres")")
    if ldd "$folder/postgres" | grep --quiet 'not found'; then
      step 'Installing the libraries of PostgreSQL (about 10 s)'
      run_apt install --yes --no-install-recommends libicu72 libldap-2.5-0 libpam0g libpq5 libxslt1.1
    fi
  fi
  export GITRECEIVE_TEST_POSTGRESQL_PROGRAMS=$folder
}

# need_prometheus: its programs, which the tests start for themselves. Unpacked: installing would start one for all.
need_prometheus() {
  GITRECEIVE_TEST_PROMETHEUS_PROGRAMS=$(dirname "$(unpack_package prometheus usr/bin/prometheus)")
  export GITRECEIVE_TEST_PROMETHEUS_PROGRAMS
}

gitreceive() { "$ROOT/.venv/bin/gitreceive" "$@"; }
