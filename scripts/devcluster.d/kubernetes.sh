# shellcheck shell=bash
KUBERNETES=$STATE/kubernetes
kubernetes_runs() { return 1; }
