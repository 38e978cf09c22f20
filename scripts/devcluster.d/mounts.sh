# shellcheck shell=bash
# Mounts that containers left below folders of ours.

# unmount_below FOLDER: FOLDER included, the deepest first; lazily where something still holds it. What comes after may
# remove FOLDER, and must not reach into a mounted volume.
unmount_below() {
  local mount
  awk '{ print $2 }' /proc/self/mounts | sort --reverse | while IFS= read -r mount; do
    mount=$(printf '%b' "$mount")
    if [[ $mount/ == "$1"/* ]]; then
      umount "$mount" 2>/dev/null || umount --lazy "$mount" ||
        fail "$mount could not be unmounted, so nothing below $1 was removed." '' "umount $mount; $0 down"
    fi
  done
}
