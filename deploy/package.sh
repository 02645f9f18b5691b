#!/usr/bin/env bash
# Packs a built binary with its manual pages, completions and unit, as a release has it:
#
#   deploy/package.sh target/dist/quash target/package
#
# The folder then has quash-VERSION-linux-ARCHITECTURE.tar.gz, and what the archive holds as share/, which the .deb takes from there.
set -euo pipefail

binary=$(realpath "$1")
mkdir -p "$2"
out=$(realpath "$2")
cd "$(dirname "$0")/.."

version=$("$binary" --version | cut -d' ' -f2)
name=quash-$version-linux-$(uname -m)
share=$out/share

rm -rf "$share" "${out:?}/$name"
mkdir -p "$share/man" "$share/completions" "$out/$name"
"$binary" man "$share/man"
for shell in bash zsh fish; do "$binary" completions "$shell" >"$share/completions/quash.$shell"; done

cp -r "$share/man" "$share/completions" README.md CHANGELOG.md LICENSE-APACHE LICENSE-MIT deploy/systemd/quash.service "$out/$name"
install -m 755 "$binary" "$out/$name/quash"
# The same files make the same archive, whoever packs them and when.
tar --directory "$out" --sort=name --owner=0 --group=0 --numeric-owner --mtime="@${SOURCE_DATE_EPOCH:-0}" \
    --create "$name" | gzip --no-name >"$out/$name.tar.gz"
rm -r "${out:?}/$name"
echo "$out/$name.tar.gz"
