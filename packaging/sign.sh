#!/usr/bin/env bash
# Checksums of the files of a release, signed: packaging/sign.sh DIST KEY
# DIST is a folder of files; KEY a private SSH key (ssh-keygen -t ed25519 -f KEY), whose public half users get as
# `allowed_signers`, a line "release@cellflax ssh-ed25519 AAAA...", from a place other than the files.
# Writes DIST/SHA256SUMS and DIST/SHA256SUMS.sig. packaging/notes.py says how to check them.
set -euo pipefail
if [[ $# -ne 2 ]]; then
  sed -n '2,5s/^# //p' "$0" >&2
  exit 2
fi
key=$(realpath "$2")
cd "$1"
rm -f SHA256SUMS SHA256SUMS.sig
files=(*)
if [[ ! -f ${files[0]} ]]; then
  echo "error: $1: holds no files; build them with python -m build" >&2
  exit 1
fi
sha256sum -- "${files[@]}" > SHA256SUMS.tmp
ssh-keygen -Y sign -q -f "$key" -n file SHA256SUMS.tmp
mv SHA256SUMS.tmp.sig SHA256SUMS.sig
mv SHA256SUMS.tmp SHA256SUMS
