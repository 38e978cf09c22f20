# shellcheck shell=bash
# Mounts that containers left below folders of ours.

# unmount_below FOLDER: the deepest first; lazily where something still holds it.
unmount_below() {
  local mount
  awk '{ print $2 }' /proc/self/mounts | sort --reverse | while IFS= read -r mount; do
    mount=$(printf '%b' "$mount")
    if [[ $mount == "$1"/* ]]; then umount "$mount" 2>/dev/null || umount --lazy "$mount" || true; fi
  done
}
