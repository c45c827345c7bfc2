#!/usr/bin/env bash
# What the command prints for a shell completes commands, options and values there; its manual pages are taken by man
# without a complaint, one a command.
. "$(dirname "$0")/common.sh"

set +E  # compgen that finds nothing is no failure
eval "$("$CAIRN" completion bash)"
completes() {  # completes "cairn layer sy" sync: the last word of the line goes on to these
  local line=$1
  shift
  read -r -a COMP_WORDS <<<"$line"
  [[ $line == *" " ]] && COMP_WORDS+=("")
  COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
  COMPREPLY=()
  _cairn
  [ "${COMPREPLY[*]}" = "$*" ] || fail "'$line' goes on to '${COMPREPLY[*]}', not to '$*'"
}
completes "cairn rep" replicate
completes "cairn layer sy" sync
completes "cairn compact an" analyse
completes "cairn replicate --adopt " local remote
completes "cairn --log-level err" error
completes "cairn layer list --log-level w" warn
completes "cairn replicate --snap" --snapshot-interval
completes "cairn restore /backup/app.db --overw" --overwrite
completes "cairn completion z" zsh
completes "cairn replicate my.d" # left to the shell, which knows files
for shell in zsh fish; do
  "$CAIRN" completion $shell >script
  if command -v $shell >/dev/null; then $shell -n script || fail "$shell does not take its script"; fi
done
expect 2 "$CAIRN" completion csh

mkdir pages
"$CAIRN" manual pages
for command in "" -replicate -restore -layer-sync -compact-analyse; do
  [ -s "pages/cairn$command.1" ] || fail "there is no page of cairn$command"
done
! ls pages | grep -q manual || fail "what is hidden has a page"
if command -v man >/dev/null && command -v groff >/dev/null; then
  for page in pages/*; do
    said=$(LC_ALL=C.UTF-8 man --warnings -E UTF-8 -l -Tutf8 -Z "$page" 2>&1 >/dev/null) || true
    [ -z "$said" ] || fail "$page: $said"
  done
fi
