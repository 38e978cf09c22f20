# shellcheck shell=bash
# The one node: a containerd of its own, kubelet and kube-proxy.

CONTAINERD_SOCKET=$RUN/containerd/containerd.sock
PAUSE_IMAGE=devcluster.local/pause:1
# shellcheck disable=SC2034 # read where its settings are written and where it is taken down
POD_NETWORK=gitreceive-pods POD_RANGE=10.244.0.0/24
BRIDGE=gitreceive0
# A control group of our own tells our pods from those of any other kubelet on the machine.
POD_CGROUP=gitreceive-devcluster

start_node() {
  local node_ip=$1
  write_node_files "$node_ip"
  let_packets_through
  make_pod_cgroup
  if ! is_running containerd; then start_containerd; fi
  wait_for containerd 30 in_containerd version
  if [[ -z $(in_containerd images ls -q "name==$PAUSE_IMAGE") ]]; then import_pause_image; fi
  is_running kubelet || start_kubelet "$node_ip"
  # Without its node kube-proxy waits for seconds before it looks again.
  wait_for kubelet 60 as_admin get node "$NODE_NAME"
  is_running kube-proxy ||
    start_service kube-proxy "$BINARIES/kube-proxy" --config "$KUBERNETES/kube-proxy.yaml"
  wait_for kube-proxy 30 proxy_answers
}

in_containerd() { ctr --address "$CONTAINERD_SOCKET" --namespace k8s.io "$@" 9>&-; }

# primary_address: the address of the interface that the default route uses, else the first that is not a container
# bridge's. The kubelet takes no loopback address.
primary_address() {
  local device
  device=$(ip -4 -o route show default | sed -n 's/.* dev \([^ ]*\).*/\1/p' | head -n 1)
  ip -4 -o address show ${device:+dev "$device"} scope global |
    awk -v bridge="$BRIDGE" '$2 !~ /^(docker|br-)/ && $2 != bridge { split($4, part, "/"); print part[1]; exit }'
}

start_containerd() {
  mkdir -p "$RUN/containerd"
  start_service containerd containerd --config "$KUBERNETES/containerd.toml"
}

# Told nothing, kubelet 1.20 asks Amazon's metadata service for credentials when it starts.
start_kubelet() {
  start_service kubelet env AWS_EC2_METADATA_DISABLED=true "$BINARIES/kubelet" --config "$KUBERNETES/kubelet.yaml" \
    --kubeconfig "$KUBERNETES/kubelet.kubeconfig" --hostname-override "$NODE_NAME" --node-ip "$1" \
    --container-runtime remote --container-runtime-endpoint "unix://$CONTAINERD_SOCKET" \
    --pod-infra-container-image "$PAUSE_IMAGE" --root-dir "$KUBERNETES/kubelet" \
    --cert-dir "$KUBERNETES/kubelet/pki"
}

proxy_answers() {
  curl --silent --fail --noproxy '*' --max-time 2 --output /dev/null "http://127.0.0.1:$(port_of kube-proxy)/healthz"
}

# Pods forward packets, and services on the bridge are rewritten by iptables.
let_packets_through() {
  modprobe br_netfilter 2>/dev/null || true
  echo 1 >/proc/sys/net/ipv4/ip_forward
  if [[ -e /proc/sys/net/bridge/bridge-nf-call-iptables ]]; then
    echo 1 >/proc/sys/net/bridge/bridge-nf-call-iptables
  fi
}

# The kubelet wants its root group to exist in every hierarchy.
make_pod_cgroup() {
  local hierarchy controller
  if [[ -e /sys/fs/cgroup/cgroup.controllers ]]; then
    for controller in $(</sys/fs/cgroup/cgroup.controllers); do
      echo "+$controller" >/sys/fs/cgroup/cgroup.subtree_control
    done
    mkdir -p "/sys/fs/cgroup/$POD_CGROUP"
    return
  fi
  for hierarchy in /sys/fs/cgroup/*/; do
    if [[ -e $hierarchy/cgroup.procs ]]; then mkdir -p "$hierarchy/$POD_CGROUP"; fi
  done
}

# The container that holds a pod's network does nothing; no public one can be counted on, so it is made here.
import_pause_image() {
  local folder=$KUBERNETES/pause busybox layer
  busybox=$(unpack_package busybox-static bin/busybox)
  mkdir -p "$folder"
  tar --create --file "$folder/layer.tar" --owner 0 --group 0 --directory "${busybox%/bin/busybox}" bin/busybox
  layer=$(sha256sum "$folder/layer.tar")
  cat >"$folder/config.json" <<JSON
{"architecture": "$(dpkg --print-architecture)", "os": "linux",
 "config": {"Entrypoint": ["/bin/busybox", "sleep", "2147483647"]},
 "rootfs": {"type": "layers", "diff_ids": ["sha256:${layer%% *}"]}}
JSON
  printf '[{"Config": "config.json", "RepoTags": ["%s"], "Layers": ["layer.tar"]}]\n' "$PAUSE_IMAGE" \
    >"$folder/manifest.json"
  tar --create --directory "$folder" manifest.json config.json layer.tar |
    in_containerd images import - >"$STATE/logs/pause-image.log" 2>&1 ||
    fail 'The pause image could not be imported.' "$STATE/logs/pause-image.log" "$0 down; $0 up"
  rm -rf "$folder"
}
