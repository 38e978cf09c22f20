# shellcheck shell=bash
# The Docker engine: the one on the default socket where it answers, else our own dockerd.

DOCKER_PACKAGES=(curl=curl dockerd=docker.io docker=docker.io iptables=iptables)

docker_address() { printf 'unix://%s/docker.sock' "$RUN"; }

docker_up() {
  if is_running docker && docker_answers "$RUN/docker.sock"; then
    already docker "$(docker_address)"
    return
  fi
  if ! is_running docker; then
    if ! docker_is_system; then need_packages "${DOCKER_PACKAGES[@]}"; fi
    if docker_is_system; then
      already docker 'the engine on the default socket, which is not ours to stop'
      return
    fi
    start_docker
  fi
  wait_for docker 60 docker_answers "$RUN/docker.sock"
  detail "Docker answers on $(docker_address)"
}

docker_down() {
  if ! [[ -e $STATE/services/docker ]]; then return; fi
  step 'Stopping Docker and its containers'
  # A dockerd that was killed has left its containers running: only one that runs can end them.
  if ! is_running docker && [[ -n $(pids_with_argument "$RUN/docker/containerd/containerd.sock") ]]; then
    start_docker
    wait_for docker 60 docker_answers "$RUN/docker.sock"
  fi
  stop_service docker 30
  stop_strays "$RUN/docker/containerd/containerd.toml"
  stop_strays "$RUN/docker/containerd/containerd.sock"
  unmount_below "$RUN/docker"
  unmount_below "$STATE/docker"
  rm -rf "$RUN/docker" "$RUN/docker.sock"
}

docker_purge() { rm -rf "$STATE/docker"; }

docker_is_system() { ! is_running docker && docker_answers /var/run/docker.sock; }

docker_answers() { [[ $(curl --silent --noproxy '*' --max-time 2 --unix-socket "$1" http://docker/_ping) == OK ]]; }

start_docker() {
  step 'Starting Docker (about 8 s)'
  mkdir -p "$STATE/docker" "$RUN/docker"
  printf '{}\n' >"$STATE/docker/daemon.json"
  # What a dockerd that was killed left would be taken for a containerd that still works.
  stop_strays "$RUN/docker/containerd/containerd.toml"
  rm -f "$RUN/docker.pid" "$RUN/docker/containerd/containerd.pid"
  start_service docker dockerd --config-file "$STATE/docker/daemon.json" --host "$(docker_address)" \
    --data-root "$STATE/docker" --exec-root "$RUN/docker" --pidfile "$RUN/docker.pid"
}
