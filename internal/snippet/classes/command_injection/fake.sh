#!/bin/sh
# Stands in for a program that a snippet runs: records its name and arguments, does what the real one would do with options
# that run a command, and says that it ran. Programs that read and write plain files are then run for real.
name=${0##*/}
printf '%s\0' "$name" "$#" "$@" >> '@LOG@'
[ -p /dev/stdin ] || exec < /dev/null
case $name in
ls | cat | rm | rmdir | mkdir | touch | cp | mv | head | wc | grep | find | stat | du | sort | uniq | base64 | md5sum | sha256sum | basename | dirname)
  for dir in /usr/bin /bin; do [ -x "$dir/$name" ] && exec "$dir/$name" "$@"; done ;;
esac
places=0 verb='' hidden='' often='' ended=''
for arg do
  case $ended$arg in
  --) ended=' ' ;;
  --upload-pack=* | --exec=* | --receive-pack=* | --use-compress-program=* | --checkpoint-action=exec=* | --rsh=*) hidden=${arg#*=} hidden=${hidden#exec=} ;;
  -oProxyCommand=*) hidden=${arg#*=} ;;
  --checkpoint*) often=yes ;;
  -*) ;;
  *) places=$((places + 1)); verb=${verb:-$arg} ;;
  esac
done
case $name:$verb in
git:fetch | git:pull | git:push | git:ls-remote | ssh:?* | scp:?* | rsync:?*) ;;
git:clone) [ $places -ge 2 ] || hidden='' ;;
tar:*) case "$* " in *--checkpoint-action=*) [ "$often" ] || hidden='' ;; esac
  [ $places -ge 1 ] || hidden='' ;;
*) hidden='' ;;
esac
[ "$hidden" ] && sh -c "$hidden" < /dev/null
printf '%s\n' '@SAID@' "$@"
