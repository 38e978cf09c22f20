# shellcheck shell=bash
# What runs, for people and for programs, and whose it is.

print_status() {
  local json=$1 part state address separator='' missing=no
  if [[ $json == yes ]]; then printf '{'; fi
  for part in "${ALL_PARTS[@]}"; do
    state=$(state_of "$part")
    address=$(address_of "$part" "$state")
    if [[ $state == down || $state == broken ]]; then missing=yes; fi
    if [[ $json == yes ]]; then
      printf '%s"%s": {"state": "%s", "address": %s}' \
        "$separator" "$part" "$state" "$(json_string "$address")"
      separator=', '
    else
      printf '%-11s %-7s %s\n' "$part" "$state" "$address"
    fi
  done
  if [[ $json == yes ]]; then printf '}\n'; fi
  if [[ $missing == yes ]]; then exit 3; fi
}

# Only what devcluster runs itself: a variable that the user has set, and the default socket, need no help.
print_environment() {
  local part state
  for part in "${ALL_PARTS[@]}"; do
    state=$(state_of "$part")
    case $state in
      up) printf 'export %s=%q\n' "$(variable_of "$part")" "$(own_value_of "$part")" ;;
      down | broken) detail "$(describe "$part") is $state: $0 up --only $part" ;;
    esac
  done
}

# state_of PART: up (ours), own (the user's variable), system (Docker on the default socket), broken (ours, does not
# answer or partly died), down.
state_of() {
  if is_the_users_own "$1"; then
    echo own
  elif "$1_runs"; then
    if "$1_is_well"; then echo up; else echo broken; fi
  elif [[ $1 == docker ]] && docker_is_system; then
    echo system
  else
    echo down
  fi
}

docker_runs() { is_running docker; }
docker_is_well() { docker_answers "$RUN/docker.sock"; }
registry_runs() { is_running registry; }
registry_is_well() { registry_answers; }

address_of() {
  case $2 in
    own) value_of "$1" ;;
    up | broken) own_value_of "$1" ;;
    system) echo unix:///var/run/docker.sock ;;
    *) echo ;;
  esac
}

# The user's own: set, and not merely what `env` printed.
is_the_users_own() { [[ -n $(value_of "$1") && $(value_of "$1") != "$(own_value_of "$1")" ]]; }

describe() {
  case $1 in
    docker) echo Docker ;;
    registry) echo 'The registry' ;;
    kubernetes) echo Kubernetes ;;
  esac
}

variable_of() {
  case $1 in
    docker) echo DOCKER_HOST ;;
    registry) echo GITRECEIVE_REGISTRY ;;
    kubernetes) echo KUBECONFIG ;;
  esac
}

value_of() {
  local variable
  variable=$(variable_of "$1")
  printf '%s' "${!variable-}"
}

own_value_of() {
  case $1 in
    docker) docker_address ;;
    registry) registry_address ;;
    kubernetes) printf '%s' "$KUBERNETES/admin.kubeconfig" ;;
  esac
}

json_string() {
  local text=${1//\\/\\\\}
  printf '"%s"' "${text//\"/\\\"}"
}
