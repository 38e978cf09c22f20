# shellcheck shell=bash
# Ends the cluster with its pods, and takes back what they left: mounts, network namespaces, rules, control groups.

kubernetes_down() {
  local service
  if ! [[ -d $KUBERNETES ]]; then return; fi
  step 'Stopping Kubernetes and its pods'
  # The kubelet first: it would start again what ends.
  for service in kubelet kube-proxy kube-scheduler kube-controller-manager kube-apiserver etcd; do
    stop_service "$service" 5
  done
  end_pods
  stop_service containerd
  stop_strays "$CONTAINERD_SOCKET"
  remove_pod_logs
  unmount_below "$RUN/containerd"
  unmount_below "$KUBERNETES"
  remove_pod_networks
  remove_rules
  remove_pod_cgroup
  rm -rf "$RUN/containerd" "$KUBERNETES"
}

# The cluster is thrown away, so its pods are not asked first.
end_pods() {
  local tries
  local -a processes tasks
  for ((tries = 0; tries < 20; tries++)); do
    mapfile -t processes < <(pod_processes)
    if ((${#processes[@]} == 0)); then break; fi
    kill -KILL "${processes[@]}" 2>/dev/null || true
    sleep 0.1
  done
  if ! is_running containerd; then return; fi
  mapfile -t tasks < <(in_containerd tasks ls -q 2>/dev/null)
  if ((${#tasks[@]})); then in_containerd tasks rm --force "${tasks[@]}" >/dev/null 2>&1 || true; fi
}

pod_processes() {
  find /sys/fs/cgroup/*/"$POD_CGROUP" /sys/fs/cgroup/"$POD_CGROUP" -name cgroup.procs -exec cat {} + 2>/dev/null |
    sort -u || true
}

# The kubelet writes logs to /var/log whatever its root folder is; a pod's log folder ends in its uid.
remove_pod_logs() {
  local pod
  for pod in "$KUBERNETES"/kubelet/pods/*/; do
    [[ -d $pod ]] || continue
    pod=$(basename "$pod")
    rm -rf /var/log/pods/*_"$pod"
  done
  if [[ -d /var/log/containers ]]; then find /var/log/containers -xtype l -delete; fi
}

# Removing a namespace removes the host's end of its cable with it.
remove_pod_networks() {
  local record namespace container
  for record in /var/lib/cni/results/"$POD_NETWORK"-*; do
    [[ -e $record ]] || continue
    while IFS= read -r namespace; do
      umount "$namespace" 2>/dev/null || true
      rm -f "$namespace"
    done < <(grep --only-matching '/var/run/netns/cni-[0-9a-f-]*' "$record" | sort -u)
    container=${record#*"$POD_NETWORK"-}
    rm -f "$record" "/var/lib/cni/results/cni-loopback-${container%-*}-lo"
  done
  ip link delete "$BRIDGE" 2>/dev/null || true
}

# kube-proxy's and kubelet's chains are all named KUBE-; of the CNI plugins' only what names our network or range is.
remove_rules() {
  local table rules chains chain
  for table in nat filter mangle; do
    rules=$(iptables-save -t "$table" 2>/dev/null)
    chains=$(our_chains <<<"$rules")
    {
      printf '*%s\n' "$table"
      for chain in $chains; do printf -- '-F %s\n' "$chain"; done
      our_rules "$chains" <<<"$rules"
      for chain in $chains; do printf -- '-X %s\n' "$chain"; done
      printf 'COMMIT\n'
    } | iptables-restore --noflush 2>>"$STATE/logs/iptables.log" ||
      detail "Some iptables rules stayed; see $STATE/logs/iptables.log"
  done
}

our_chains() {
  awk -v name="name: \\\\\"$POD_NETWORK\\\\\"" '
    /^:KUBE-/ { print substr($1, 2) }
    /^-A POSTROUTING/ && index($0, name) { for (i = 1; i < NF; i++) if ($i == "-j") print $(i + 1) }' | sort -u
}

# our_rules CHAINS: deletions of the rules elsewhere that lead to CHAINS or carry a pod address.
our_rules() {
  awk -v chains="$1" -v prefix="${POD_RANGE%0/24}" '
    BEGIN { n = split(chains, list, /[ \n]+/); for (i = 1; i <= n; i++) ours[list[i]] = 1 }
    /^-A/ && !($2 in ours) {
      leads = 0
      for (i = 3; i < NF; i++) if ($i == "-j" && ($(i + 1) in ours)) leads = 1
      if (leads || ($2 ~ /^CNI-/ && index($0, " " prefix))) { $1 = "-D"; print }
    }'
}

remove_pod_cgroup() {
  local folder
  for folder in /sys/fs/cgroup/*/"$POD_CGROUP" /sys/fs/cgroup/"$POD_CGROUP"; do
    if [[ -d $folder ]]; then find "$folder" -depth -type d -exec rmdir {} + 2>/dev/null || true; fi
  done
}
