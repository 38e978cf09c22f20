# shellcheck shell=bash
# The settings that containerd, the pod network, kubelet and kube-proxy read.

write_node_files() {
  local node_ip=$1
  mkdir -p "$KUBERNETES/cni" "$KUBERNETES/kubelet" "$KUBERNETES/volume-plugins"
  containerd_settings >"$KUBERNETES/containerd.toml"
  registry_mirror
  pod_network >"$KUBERNETES/cni/10-pods.conflist"
  kubelet_settings "$node_ip" >"$KUBERNETES/kubelet.yaml"
  proxy_settings >"$KUBERNETES/kube-proxy.yaml"
}

# restrict_oom_score_adj: without CAP_SYS_RESOURCE the score cannot be lowered, and every pod would die at its start.
containerd_settings() {
  cat <<TOML
version = 2
root = "$KUBERNETES/containerd"
state = "$RUN/containerd"
disabled_plugins = ["io.containerd.internal.v1.opt"]
[grpc]
  address = "$CONTAINERD_SOCKET"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "$PAUSE_IMAGE"
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "$KUBERNETES/cni"
  [plugins."io.containerd.grpc.v1.cri".registry]
    config_path = "$KUBERNETES/registries"
TOML
}

# The node pulls from the registry on loopback by plain HTTP.
registry_mirror() {
  local folder
  folder=$KUBERNETES/registries/$(registry_address)
  mkdir -p "$folder"
  printf 'server = "http://%s"\n' "$(registry_address)" >"$folder/hosts.toml"
}

# firewall: Docker sets the FORWARD policy to DROP; without this plugin pods would reach nothing outside.
pod_network() {
  cat <<JSON
{"cniVersion": "0.4.0", "name": "$POD_NETWORK", "plugins": [
  {"type": "bridge", "bridge": "$BRIDGE", "isGateway": true, "ipMasq": true, "hairpinMode": true,
   "ipam": {"type": "host-local", "dataDir": "$KUBERNETES/pod-addresses",
            "ranges": [[{"subnet": "$POD_RANGE"}]], "routes": [{"dst": "0.0.0.0/0"}]}},
  {"type": "portmap", "capabilities": {"portMappings": true}},
  {"type": "firewall"}]}
JSON
}

# No clusterDNS: there is no DNS server in the cluster, so pods use the host's resolver. A stub resolver on loopback
# cannot be reached from a pod; systemd-resolved keeps the real ones in a file of its own.
kubelet_settings() {
  local resolver=/etc/resolv.conf
  if grep -q '^nameserver 127\.0\.0\.53' /etc/resolv.conf && [[ -s /run/systemd/resolve/resolv.conf ]]; then
    resolver=/run/systemd/resolve/resolv.conf
  fi
  cat <<YAML
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
address: $1
port: $(port_of kubelet)
healthzPort: 0
tlsCertFile: $PKI/server.crt
tlsPrivateKeyFile: $PKI/server.key
authentication:
  anonymous: {enabled: false}
  webhook: {enabled: true}
  x509: {clientCAFile: $PKI/ca.crt}
authorization: {mode: Webhook}
cgroupDriver: cgroupfs
cgroupRoot: /$POD_CGROUP
enforceNodeAllocatable: [pods]
failSwapOn: false
oomScoreAdj: 0
resolvConf: $resolver
volumePluginDir: $KUBERNETES/volume-plugins
serializeImagePulls: false
registryPullQPS: 0
imageGCHighThresholdPercent: 95
imageGCLowThresholdPercent: 90
evictionHard: {memory.available: 100Mi, nodefs.available: 1%, nodefs.inodesFree: 1%, imagefs.available: 1%}
featureGates: {DevicePlugins: false}
YAML
}

proxy_settings() {
  cat <<YAML
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
clientConnection: {kubeconfig: $KUBERNETES/kube-proxy.kubeconfig}
hostnameOverride: $NODE_NAME
mode: iptables
clusterCIDR: $POD_RANGE
healthzBindAddress: 127.0.0.1:$(port_of kube-proxy)
oomScoreAdj: 0
iptables: {minSyncPeriod: 100ms}
conntrack: {maxPerCore: 0, min: 0, tcpEstablishedTimeout: 0s, tcpCloseWaitTimeout: 0s}
YAML
}
