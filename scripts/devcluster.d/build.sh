# shellcheck shell=bash
KUBERNETES_VERSION=1.20.2
BINARIES=$CACHE/kubernetes-$KUBERNETES_VERSION
build_kubernetes() { return 0; }
