# shellcheck shell=bash
# One-node Kubernetes: what is started in which order, and when it is up.

KUBERNETES=$STATE/kubernetes
NODE_NAME=devcluster
# shellcheck disable=SC2034 # read by the API server's start
SERVICE_RANGE=10.96.0.0/16
KUBERNETES_SERVICES=(etcd kube-apiserver kube-controller-manager kube-scheduler containerd kubelet kube-proxy)
KUBERNETES_PACKAGES=(curl=curl openssl=openssl kubectl=kubernetes-client containerd=containerd runc=runc
  iptables=iptables ip=iproute2 conntrack=conntrack /usr/lib/cni/bridge=containernetworking-plugins)

kubernetes_up() {
  local node_ip
  if all_services_run && kubernetes_is_well; then
    already kubernetes "$(own_value_of kubernetes)"
    return
  fi
  need_packages "${KUBERNETES_PACKAGES[@]}"
  build_kubernetes
  step "Starting Kubernetes $KUBERNETES_VERSION (about 20 s)"
  node_ip=$(primary_address)
  [[ -n $node_ip ]] || fail 'The machine has no IPv4 address beside loopback, and a node needs one.' '' \
    'ip link add node0 type dummy && ip address add 192.168.254.1/32 dev node0 && ip link set node0 up'
  choose_ports
  write_certificates "$node_ip"
  write_kubeconfigs
  start_control_plane "$node_ip"
  start_node "$node_ip"
  wait_for kubelet 60 node_is_ready
  wait_for kube-controller-manager 30 pods_are_accepted
  detail "Kubernetes answers, its node is ready. KUBECONFIG=$KUBERNETES/admin.kubeconfig"
}

kubernetes_purge() { rm -rf "$BINARIES" "$BUILD" "$CACHE/packages/etcd-server" "$CACHE/packages/busybox-static"; }

# Whether any of it runs; kubernetes_is_well says whether all of it does and answers.
kubernetes_runs() {
  local service
  for service in "${KUBERNETES_SERVICES[@]}"; do
    if is_running "$service"; then return 0; fi
  done
  return 1
}

kubernetes_is_well() { all_services_run && api_answers && node_is_ready; }

all_services_run() {
  local service
  for service in "${KUBERNETES_SERVICES[@]}"; do
    is_running "$service" || return 1
  done
}

node_is_ready() {
  [[ $(as_admin get node "$NODE_NAME" -o 'jsonpath={.status.conditions[?(@.type=="Ready")].status}') == True ]]
}

# Pods of a namespace are refused until its service account exists.
pods_are_accepted() { as_admin get serviceaccount default --namespace default; }

as_admin() { kubectl --kubeconfig "$KUBERNETES/admin.kubeconfig" --request-timeout 5s "$@" 2>/dev/null 9>&-; }

port_of() { cat "$KUBERNETES/ports/$1"; }

choose_ports() {
  choose_port "$KUBERNETES/ports/etcd" 2379
  choose_port "$KUBERNETES/ports/etcd-peer" $(($(port_of etcd) + 1))
  choose_port "$KUBERNETES/ports/kube-apiserver" 6443
  choose_port "$KUBERNETES/ports/kubelet" 10250
  choose_port "$KUBERNETES/ports/kube-proxy" 10256
}

write_kubeconfigs() {
  local who
  for who in admin kubelet kube-controller-manager kube-scheduler kube-proxy; do
    write_kubeconfig "$who" "$KUBERNETES/$who.kubeconfig"
  done
}
