# shellcheck shell=bash
# etcd, API server, controller manager and scheduler, all on loopback.

start_control_plane() {
  local node_ip=$1
  is_running etcd || start_etcd
  is_running kube-apiserver || start_apiserver "$node_ip"
  wait_for kube-apiserver 90 api_answers
  is_running kube-controller-manager || start_controller_manager
  is_running kube-scheduler || start_scheduler
}

api_answers() {
  curl --silent --fail --noproxy '*' --max-time 2 --output /dev/null --cacert "$PKI/ca.crt" \
    --cert "$PKI/admin.crt" --key "$PKI/admin.key" "https://127.0.0.1:$(port_of kube-apiserver)/readyz"
}

# Its contents last until `down`, so nothing is lost by not waiting for the disk.
start_etcd() {
  local program client peer
  program=$(command -v etcd || unpack_package etcd-server usr/bin/etcd)
  client=https://127.0.0.1:$(port_of etcd)
  peer=https://127.0.0.1:$(port_of etcd-peer)
  start_service etcd "$program" --data-dir "$KUBERNETES/etcd" --unsafe-no-fsync --logger zap --log-level warn \
    --listen-client-urls "$client" --advertise-client-urls "$client" \
    --listen-peer-urls "$peer" --initial-advertise-peer-urls "$peer" --initial-cluster "default=$peer" \
    --cert-file "$PKI/server.crt" --key-file "$PKI/server.key" \
    --trusted-ca-file "$PKI/ca.crt" --client-cert-auth \
    --peer-cert-file "$PKI/server.crt" --peer-key-file "$PKI/server.key" \
    --peer-trusted-ca-file "$PKI/ca.crt" --peer-client-cert-auth
}

start_apiserver() {
  api_server_command "$1" "$(port_of kube-apiserver)"
  start_service kube-apiserver "${COMMAND[@]}"
}

# another_api_server PORT: becomes one beside the first, on the same etcd, as a cluster with several has them. It is in
# no list of the cluster's own addresses, so only who is told its port asks it.
another_api_server() {
  is_running kube-apiserver || fail 'Kubernetes does not run here.' '' "$0 up"
  api_server_command "$(primary_address)" "$1"
  exec "${COMMAND[@]}" --endpoint-reconciler-type none
}

# api_server_command NODE_IP PORT: puts it into COMMAND.
api_server_command() {
  COMMAND=(
    "$BINARIES/kube-apiserver"
    --bind-address 127.0.0.1 --secure-port "$2" --advertise-address "$1"
    --etcd-servers "https://127.0.0.1:$(port_of etcd)" --etcd-cafile "$PKI/ca.crt"
    --etcd-certfile "$PKI/admin.crt" --etcd-keyfile "$PKI/admin.key"
    --tls-cert-file "$PKI/server.crt" --tls-private-key-file "$PKI/server.key" --client-ca-file "$PKI/ca.crt"
    --kubelet-certificate-authority "$PKI/ca.crt" --kubelet-preferred-address-types InternalIP
    --kubelet-client-certificate "$PKI/admin.crt" --kubelet-client-key "$PKI/admin.key"
    --service-account-issuer https://kubernetes.default.svc --service-account-key-file "$PKI/service-account.key"
    --service-account-signing-key-file "$PKI/service-account.key" --service-cluster-ip-range "$SERVICE_RANGE"
    --authorization-mode "Node,RBAC" --enable-admission-plugins NodeRestriction --allow-privileged
  )
}

start_controller_manager() {
  start_service kube-controller-manager "$BINARIES/kube-controller-manager" \
    --kubeconfig "$KUBERNETES/kube-controller-manager.kubeconfig" --leader-elect=false --port 0 --secure-port 0 \
    --root-ca-file "$PKI/ca.crt" --service-account-private-key-file "$PKI/service-account.key" \
    --cluster-signing-cert-file "$PKI/ca.crt" --cluster-signing-key-file "$PKI/ca.key" \
    --flex-volume-plugin-dir "$KUBERNETES/volume-plugins" --use-service-account-credentials
}

start_scheduler() {
  start_service kube-scheduler "$BINARIES/kube-scheduler" \
    --kubeconfig "$KUBERNETES/kube-scheduler.kubeconfig" --leader-elect=false --port 0 --secure-port 0
}
