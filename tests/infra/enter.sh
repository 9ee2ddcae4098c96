#!/bin/sh
# enter.sh NEW PREFIX VOLUME USER COMMAND...: run a command in the tree NEW as a container would be run: its own
# mounts, a temporary /tmp, and, for anybody but root, nothing to write to but the volume. Called by `unshare -m`.
set -eu
new=$1 prefix=$2 volume=$3 user=$4
shift 4
mount --make-rprivate /
mount --bind "$new" "$new"
for name in usr etc; do
    mount --rbind "/$name" "$new/$name"
    mount -o remount,bind,ro "$new/$name"
done
mount --bind "$prefix" "$new$prefix"
mount -o remount,bind,ro "$new$prefix"
mount --rbind /dev "$new/dev"
mount -t proc proc "$new/proc"
mount -t tmpfs tmpfs "$new/tmp"
chmod 1777 "$new/tmp"
mount --bind "$volume" "$new/home/dicom"
if [ "$user" = 0 ]; then
    exec chroot "$new" "$@"
fi
mount -o remount,bind,ro "$new"
exec chroot "$new" setpriv --reuid="$user" --regid="$user" --clear-groups --bounding-set=-all --inh-caps=-all \
    --no-new-privs "$@"
