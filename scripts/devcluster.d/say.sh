# shellcheck shell=bash
# What devcluster tells people. Talk goes to stderr; stdout is for `env` and `status`.

step() { printf -- '-----> %s\n' "$*" >&2; }

detail() { printf '       %s\n' "$*" >&2; }

# fail WHAT [LOG] [HINT]: ends the run with what failed, the log's last lines, its path, and what to try.
fail() {
  local what=$1 log=${2-} hint=${3-}
  printf ' !     %s\n' "$what" >&2
  if [[ -n $log && -s $log ]]; then
    printf ' !     The last lines of %s:\n' "$log" >&2
    tail -n 12 "$log" | cut -c1-400 | sed 's/^/       | /' >&2
  fi
  if [[ -n $hint ]]; then printf ' !     Try: %s\n' "$hint" >&2; fi
  exit "$TOLD"
}

# tell_unforeseen CODE COMMAND PLACE: for a failure that nothing else has told.
tell_unforeseen() {
  if (($1 != TOLD)); then printf ' !     %s: exit code %d from: %s\n' "$3" "$1" "${2%%$'\n'*}" >&2; fi
}

# in_words SECONDS: "40 s", "about 3 min".
in_words() {
  local seconds=$1
  if ((seconds < 60)); then
    printf '%d s' "$seconds"
  else
    printf '%d min' $(((seconds + 30) / 60))
  fi
}
