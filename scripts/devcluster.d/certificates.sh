# shellcheck shell=bash
# The cluster's own certificate authority, certificates and kubeconfig files. They live as long as the cluster does.

PKI=$STATE/kubernetes/pki

# write_certificates NODE_IP: what is missing, and the server's anew where the host's address has changed.
write_certificates() {
  local names="DNS:localhost,DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc,DNS:$NODE_NAME"
  names+=",IP:127.0.0.1,IP:10.96.0.1,IP:$1"
  mkdir -p "$PKI"
  if [[ ! -s $PKI/ca.crt ]]; then
    step 'Making certificates'
    make_authority
    make_key "$PKI/service-account.key"
    issue admin /O=system:masters/CN=admin
    issue kubelet "/O=system:nodes/CN=system:node:$NODE_NAME"
    issue kube-controller-manager /CN=system:kube-controller-manager
    issue kube-scheduler /CN=system:kube-scheduler
    issue kube-proxy /CN=system:kube-proxy
  fi
  if [[ ! -s $PKI/server.crt || $(cat "$PKI/server.names" 2>/dev/null) != "$names" ]]; then
    issue server /CN=kube-apiserver "$names"
    printf '%s\n' "$names" >"$PKI/server.names"
  fi
}

# write_kubeconfig WHO FILE: complete in itself, so that it can be copied elsewhere.
write_kubeconfig() {
  (
    umask 077
    cat >"$2" <<YAML
apiVersion: v1
kind: Config
clusters:
- name: devcluster
  cluster:
    server: https://127.0.0.1:$(port_of kube-apiserver)
    certificate-authority-data: $(base64 -w0 <"$PKI/ca.crt")
users:
- name: $1
  user:
    client-certificate-data: $(base64 -w0 <"$PKI/$1.crt")
    client-key-data: $(base64 -w0 <"$PKI/$1.key")
contexts:
- name: devcluster
  context: {cluster: devcluster, user: $1}
current-context: devcluster
YAML
  )
}

# The authority's certificate comes last: where it exists, all the others do.
make_authority() {
  make_key "$PKI/ca.key"
  openssl req -x509 -new -key "$PKI/ca.key" -days 3650 -subj /CN=devcluster -out "$PKI/ca.crt" \
    -addext keyUsage=critical,keyCertSign,cRLSign
}

make_key() { (umask 077 && openssl ecparam -name prime256v1 -genkey -noout -out "$1"); }

# issue NAME SUBJECT [SUBJECT_ALTERNATIVE_NAMES]: NAME.key and NAME.crt, for either end of a connection.
issue() {
  local name=$1 subject=$2 names=${3-}
  local extensions='extendedKeyUsage=serverAuth,clientAuth'
  if [[ -n $names ]]; then extensions+=$'\nsubjectAltName='$names; fi
  make_key "$PKI/$name.key"
  openssl req -new -key "$PKI/$name.key" -subj "$subject" |
    openssl x509 -req -CA "$PKI/ca.crt" -CAkey "$PKI/ca.key" -CAserial "$PKI/ca.srl" -CAcreateserial -days 3650 \
      -extfile <(printf '%s\n' "$extensions") -out "$PKI/$name.crt" 2>"$STATE/logs/openssl.log" ||
    fail "No certificate could be made for $name." "$STATE/logs/openssl.log" "$0 down; $0 up"
}
