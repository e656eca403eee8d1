# shellcheck shell=bash
# Functions that tools/run and tools/test share. Sourced; expects `set -euo pipefail`.

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)

say() { printf '==> %s\n' "$*" >&2; }

die() {
    printf 'error: %s\n' "$*" >&2
    exit 1
}

is_root() { [ "$(id -u)" = 0 ]; }

as_root() {
    if is_root; then
        "$@"
    elif command -v sudo >/dev/null 2>&1; then
        sudo -- "$@"
    else
        die "this needs root, and there is no sudo: $*"
    fi
}

# --- packages ---------------------------------------------------------------------------------

# The packages of the lists named, one a line.
packages_of() {
    local list
    for list in "$@"; do
        sed -e 's/#.*//' -e 's/[[:space:]]//g' -e '/^$/d' "$top/deps/$list"
    done | sort -u
}

packages_missing() {
    local installed
    installed=$(dpkg-query -W -f='${db:Status-Status} ${Package}\n' 2>/dev/null |
        sed -n 's/^installed //p' | sort -u)
    comm -23 <(packages_of "$@") <(printf '%s\n' "$installed")
}

# Installs what is missing of the lists named. Calls apt-get only if something is.
packages_install() {
    if ! command -v dpkg-query >/dev/null 2>&1 || ! command -v apt-get >/dev/null 2>&1; then
        say "not a Debian system: taking for granted what deps/ lists ($*)"
        return
    fi
    local missing
    mapfile -t missing < <(LC_ALL=C packages_missing "$@")
    if [ "${#missing[@]}" = 0 ]; then
        return
    fi
    say "installing: ${missing[*]}"
    as_root env LC_ALL=C bash "$top/tools/install-packages" "${missing[@]}" ||
        die "could not install: ${missing[*]}"
}

# --- building ---------------------------------------------------------------------------------

# Configures and builds one CMake preset. Returns false if that fails, with the output shown.
build_preset() {
    local preset=$1 dir=$2 target=${3:-all} log
    say "building preset '$preset' in ${dir#"$top"/}/"
    if [ -f "$dir/CMakeCache.txt" ] &&
        ! grep -qxF "CMAKE_HOME_DIRECTORY:INTERNAL=$top" "$dir/CMakeCache.txt"; then
        say "that folder belongs to a checkout at another place: starting it afresh"
        rm -rf "$dir"
    fi
    log=$(mktemp)
    if ! (cd "$top" && cmake --preset "$preset") >"$log" 2>&1; then
        cat "$log" >&2
        rm -f "$log"
        return 1
    fi
    if ! cmake --build "$dir" --target "$target" >"$log" 2>&1; then
        cat "$log" >&2
        rm -f "$log"
        return 1
    fi
    tail -n 1 "$log" >&2
    rm -f "$log"
}
