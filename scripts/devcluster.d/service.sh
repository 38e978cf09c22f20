# shellcheck shell=bash
# Background processes that outlive this shell, each with a log and a file that says which process it is.
#
# The file holds pid, start time and boot id: a pid that the system has since given to another process is never
# taken for the service, and never killed.

# start_service NAME COMMAND...: detached from terminal, session and every inherited descriptor.
start_service() {
  local name=$1 log
  shift
  log=$(log_of "$name")
  mkdir -p "$STATE/logs" "$STATE/services"
  if [[ -f $log ]]; then mv -f "$log" "$log.1"; fi
  (
    close_inherited_descriptors
    exec setsid "$@"
  ) </dev/null >"$log" 2>&1 &
  printf '%s %s %s\n' "$!" "$(start_time_of "$!")" "$(boot_id)" >"$STATE/services/$name"
  disown "$!"
}

# service_pid NAME: prints the pid where the service runs; fails where it does not.
service_pid() {
  local pid started boot
  [[ -r $STATE/services/$1 ]] || return 1
  read -r pid started boot <"$STATE/services/$1" || return 1
  [[ $boot == "$(boot_id)" && -n $started && $(start_time_of "$pid") == "$started" ]] || return 1
  printf '%s\n' "$pid"
}

is_running() { service_pid "$1" >/dev/null; }

# stop_service NAME [SECONDS]: asks, waits, then insists. Does nothing where the service is not running.
stop_service() {
  local name=$1 patience=${2-10} pid tries
  if pid=$(service_pid "$name"); then
    kill -TERM "$pid" 2>/dev/null || true
    for ((tries = patience * 10; tries > 0; tries--)); do
      is_running "$name" || break
      sleep 0.1
    done
    if is_running "$name"; then kill -KILL "$pid" 2>/dev/null || true; fi
  fi
  rm -f "$STATE/services/$name"
}

# wait_for NAME SECONDS COMMAND...: until COMMAND succeeds; fails at once where the service dies.
wait_for() {
  local name=$1 patience=$2
  local deadline=$((SECONDS + patience))
  shift 2
  until "$@" >/dev/null 2>&1; do
    is_running "$name" ||
      fail "$name stopped right after its start." "$(log_of "$name")" "$0 down; $0 up"
    ((SECONDS < deadline)) ||
      fail "$name did not answer within $patience s." "$(log_of "$name")" "$0 down; $0 up"
    sleep 0.1
  done
}

# stop_strays ARGUMENT: ends processes that carry exactly this argument, such as a socket of ours that only our own
# container shims are given.
stop_strays() {
  local pid
  for pid in $(pids_with_argument "$1"); do
    kill -KILL "$pid" 2>/dev/null || true
  done
}

pids_with_argument() {
  local folder
  for folder in /proc/[0-9]*; do
    if grep --quiet --null-data --line-regexp --fixed-strings -- "$1" "$folder/cmdline" 2>/dev/null; then
      printf '%s\n' "${folder#/proc/}"
    fi
  done
}

# choose_port FILE FIRST: the first free port from FIRST on; once chosen it stays, kept in FILE.
choose_port() {
  local file=$1 port=$2 last=$(($2 + 40))
  if [[ -s $file ]]; then return; fi
  until [[ -z $(ss -Hltn "sport = :$port") ]]; do
    ((++port < last)) || fail "No TCP port is free from $2 to $last." '' "end what listens there (ss -ltnp)"
  done
  mkdir -p "${file%/*}"
  printf '%s\n' "$port" >"$file"
}

log_of() { printf '%s/logs/%s.log' "$STATE" "$1"; }

# start_time_of PID: in clock ticks since boot (proc(5), stat, field 22); empty where the process has ended.
start_time_of() {
  local stat
  { stat=$(<"/proc/$1/stat"); } 2>/dev/null || return 0
  local -a fields
  read -r -a fields <<<"${stat##*) }"
  if [[ ${fields[0]} != [ZX] ]]; then printf '%s' "${fields[19]}"; fi
}

boot_id() { printf '%s' "$(</proc/sys/kernel/random/boot_id)"; }

close_inherited_descriptors() {
  local descriptor
  for descriptor in "/proc/$BASHPID/fd/"*; do
    descriptor=${descriptor##*/}
    if ((descriptor > 2)); then exec {descriptor}>&-; fi
  done
}
