# shellcheck shell=bash
# Kubernetes from Debian's source package, once: Debian 12 has no binary but kubectl, and its source package is the
# whole tree with its dependencies.

KUBERNETES_VERSION=1.20.2
SOURCE_VERSION="1.20.5+really$KUBERNETES_VERSION"
BINARIES=$CACHE/kubernetes-$KUBERNETES_VERSION
BUILD=$CACHE/build
TREE=$BUILD/go/src/k8s.io/kubernetes
GO=(env -u GOROOT -u GOFLAGS "GOPATH=$BUILD/go" "GOCACHE=$BUILD/go-cache" GO111MODULE=off CGO_ENABLED=0
  "PATH=/usr/lib/go-1.19/bin:$PATH")
PROGRAMS=(kube-apiserver kube-controller-manager kube-scheduler kubelet kube-proxy)
# Seconds on two cores, in this order; what is shared is built with the first.
SECONDS_EACH=(230 45 12 37 4)

# build_kubernetes: does nothing where all programs are there; an interrupted build goes on where it stopped.
build_kubernetes() {
  local index began=$SECONDS
  if all_are_built; then return; fi
  check_builder
  step "Building Kubernetes $KUBERNETES_VERSION once (about $(in_words "$(seconds_left 0)"); kept in $BINARIES)"
  mkdir -p "$BINARIES"
  need_packages curl=curl /usr/lib/go-1.19/bin/go=golang-1.19-go
  if [[ ! -e $BUILD/unpacked ]]; then fetch_source; fi
  if [[ ! -e $BUILD/generated ]]; then generate_api_description; fi
  for index in "${!PROGRAMS[@]}"; do
    if [[ ! -x $BINARIES/${PROGRAMS[index]} ]]; then build_program "$index"; fi
  done
  rm -rf "$BUILD"
  detail "Built in $(in_words $((SECONDS - began)))"
}

all_are_built() {
  local program
  for program in "${PROGRAMS[@]}"; do
    [[ -x $BINARIES/$program ]] || return 1
  done
}

check_builder() {
  local free
  grep -qx 'VERSION_CODENAME=bookworm' /etc/os-release ||
    fail 'Kubernetes can be built on Debian 12 (bookworm) only.' '' 'KUBECONFIG=... to use a cluster of your own'
  free=$(df --output=avail --block-size=1G "$CACHE" | tail -n 1)
  ((free >= 3)) ||
    fail "The build needs 3 GB below $CACHE; $((free)) GB are free." '' 'XDG_CACHE_HOME=... on another disk'
}

# The system's package lists stay as they are: source lists of our own, from the mirror that the system uses.
fetch_source() {
  local mirror version keyring=/usr/share/keyrings/debian-archive-keyring.gpg
  local -a apt=(-o "Dir::Etc::SourceList=$BUILD/apt/sources.list" -o Dir::Etc::SourceParts=/dev/null
    -o "Dir::State::Lists=$BUILD/apt/lists")
  step 'Fetching the source (34 MB)'
  mirror=$(mirror_of_the_system)
  if [[ -z $mirror ]]; then
    run_apt update
    mirror=$(mirror_of_the_system)
  fi
  [[ -n $mirror ]] ||
    fail 'APT knows no bookworm main.' '' 'a line for it in /etc/apt/sources.list, then apt-get update'
  rm -rf "$BUILD"
  mkdir -p "$BUILD/apt/lists/partial" "$TREE"
  printf 'deb-src [signed-by=%s] %s bookworm main\n' "$keyring" "$mirror" >"$BUILD/apt/sources.list"
  run_apt "${apt[@]}" update
  version=$(apt-cache "${apt[@]}" showsrc --only-source kubernetes |
    sed -n "s/^Version: \($SOURCE_VERSION-.*\)/\1/p" | head -n 1) || true
  [[ -n $version ]] ||
    fail "$mirror has no source of kubernetes $SOURCE_VERSION." '' 'KUBECONFIG=... to use a cluster of your own'
  (cd "$BUILD/apt" && run_apt "${apt[@]}" source --download-only "kubernetes=$version")
  tar --extract --gzip --file "$BUILD/apt/kubernetes_$SOURCE_VERSION.orig.tar.gz" \
    --directory "$TREE" --strip-components 1
  touch "$BUILD/unpacked"
}

# APT knows the code name of a source only once its lists are there.
mirror_of_the_system() {
  # shellcheck disable=SC2016 # the format is APT's
  apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Codename: bookworm' 'Component: main' |
    sed -n 1p
}

# The API server compiles in a description of every API type, which upstream generates at build time from the packages
# that carry the tag +k8s:openapi-gen.
generate_api_description() {
  local log=$STATE/logs/build.log packages
  step 'Generating the API description (about 15 s)'
  (
    cd "$TREE"
    "${GO[@]}" go build -o "$BUILD/openapi-gen" ./vendor/k8s.io/kube-openapi/cmd/openapi-gen
    packages=$(grep --recursive --files-with-matches --include '*.go' '+k8s:openapi-gen=' pkg cmd plugin \
      vendor/k8s.io/{api,apimachinery,apiserver,kube-aggregator,apiextensions-apiserver,component-base}/ \
      vendor/k8s.io/{kube-controller-manager,kube-proxy,kube-scheduler,kubelet,metrics,client-go,cloud-provider}/ |
      xargs dirname | sort -u | sed 's#^#k8s.io/kubernetes/#' | paste -s -d ,)
    "${GO[@]}" "$BUILD/openapi-gen" -i "$packages" -p k8s.io/kubernetes/pkg/generated/openapi \
      -O zz_generated.openapi -h /dev/null -r "$BUILD/openapi-report"
  ) >"$log" 2>&1 9>&- || fail 'The API description could not be generated.' "$log" "rm -r $BUILD; $0 up"
  touch "$BUILD/generated"
}

build_program() {
  local index=$1 program=${PROGRAMS[$1]} log=$STATE/logs/build.log ticker
  local version=k8s.io/kubernetes/vendor/k8s.io/component-base/version
  announce "$index" "$(seconds_left "$index")"
  tick "$index" &
  ticker=$!
  disown "$ticker"
  (cd "$TREE" && "${GO[@]}" go build -trimpath -o "$BUILD/$program" -ldflags "-s -w \
    -X $version.gitVersion=v$KUBERNETES_VERSION -X $version.gitMajor=1 -X $version.gitMinor=20 \
    -X $version.gitTreeState=archive" "./cmd/$program") >"$log" 2>&1 9>&- || {
    kill "$ticker"
    fail "$program could not be built." "$log" "$0 up, which goes on from here; or rm -r $BUILD first"
  }
  kill "$ticker"
  mv "$BUILD/$program" "$BINARIES/$program"
}

# Says every half minute how long is left; ends with the shell that started it, even when that one is killed.
tick() {
  local index=$1 left second
  left=$(seconds_left "$index")
  exec 9>&-
  for ((second = 1; ; second++)); do
    sleep 1
    kill -0 "$$" 2>/dev/null || return
    if ((second % 30 == 0)); then announce "$index" $((left > second + 10 ? left - second : 10)); fi
  done
}

announce() {
  step "Building Kubernetes $KUBERNETES_VERSION" \
    "(${PROGRAMS[$1]}, $(($1 + 1)) of ${#PROGRAMS[@]}; about $(in_words "$2") left)"
}

# seconds_left INDEX: for the programs from INDEX on, on this machine's cores.
seconds_left() {
  local index sum=0
  for ((index = $1; index < ${#PROGRAMS[@]}; index++)); do
    if [[ ! -x $BINARIES/${PROGRAMS[index]} ]]; then ((sum += SECONDS_EACH[index])); fi
  done
  printf '%d' $((sum * 2 / $(nproc) + 1))
}
