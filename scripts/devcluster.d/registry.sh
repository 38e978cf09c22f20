# shellcheck shell=bash
# The image registry: Debian's docker-registry, plain HTTP on loopback, which Docker and our node accept without more.

registry_address() { printf '127.0.0.1:%s' "$(cat "$STATE/registry/port" 2>/dev/null || echo 5000)"; }

registry_up() {
  if is_running registry && registry_answers; then
    already registry "$(registry_address)"
    return
  fi
  if ! is_running registry; then start_registry; fi
  wait_for registry 20 registry_answers
  detail "The registry answers on $(registry_address)"
}

registry_down() {
  if ! [[ -e $STATE/services/registry ]]; then return; fi
  step 'Stopping the registry'
  stop_service registry
}

registry_purge() { rm -rf "$STATE/registry" "$CACHE/packages/docker-registry"; }

registry_answers() {
  curl --silent --fail --noproxy '*' --max-time 2 --output /dev/null "http://$(registry_address)/v2/"
}

start_registry() {
  local program
  need_packages curl=curl ss=iproute2
  program=$(command -v docker-registry || unpack_package docker-registry usr/bin/docker-registry)
  choose_port "$STATE/registry/port" 5000
  step 'Starting the registry (about 1 s)'
  write_registry_config
  start_service registry "$program" serve "$STATE/registry/config.yml"
}

write_registry_config() {
  mkdir -p "$STATE/registry/images"
  cat >"$STATE/registry/config.yml" <<YAML
version: 0.1
log:
  level: warn
  accesslog:
    disabled: true
storage:
  filesystem:
    rootdirectory: $STATE/registry/images
  delete:
    enabled: true
http:
  addr: $(registry_address)
YAML
}
