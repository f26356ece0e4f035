# What the scripts share; to be sourced.
# shellcheck shell=bash

say() { printf '\033[1m==> %s\033[0m\n' "$*" >&2; }
notice() { printf 'Note: %s\n' "$*" >&2; }
stop() {
    printf 'Stopped: %s\n' "$*" >&2
    exit 1
}

# The libraries that the build links; module maps in Sources name the same.
# shellcheck disable=SC2034
build_packages=(libsimdjson-dev libre2-dev libsqlite3-dev libpq-dev libnats-dev zlib1g-dev libcmark-gfm-dev libcmark-gfm-extensions-dev pkg-config)

# Installing goes one after the other, also where several parts of a script run at once: COMMAND [ARGUMENT ...].
alone() {
    if [[ -z ${setup_lock:-} || -n ${is_alone:-} ]]; then
        "$@"
        return
    fi
    local is_alone=1 lock code=0
    exec {lock}>"$setup_lock"
    flock "$lock"
    "$@" || code=$?
    # A server that a package starts has it open too.
    flock -u "$lock"
    exec {lock}>&-
    return "$code"
}

# Installs those of the named Debian packages that are missing, or says how.
need_packages() { alone install_packages "$@"; }

install_packages() {
    local missing=() package
    if ! command -v dpkg-query >/dev/null; then
        notice "this machine has no apt; make sure of these yourself: $*"
        return
    fi
    for package in "$@"; do
        [[ $(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null) == installed ]] || missing+=("$package")
    done
    ((${#missing[@]})) || return 0
    local as_root=()
    if ((EUID != 0)); then
        if ! command -v sudo >/dev/null || ! sudo -n true 2>/dev/null; then
            stop "system packages are missing and this user may not install them. Run this, then start again:
  sudo apt-get update && sudo apt-get install -y --no-install-recommends ${missing[*]}"
        fi
        as_root=(sudo -n)
    fi
    say "Installing ${missing[*]}"
    "${as_root[@]}" apt-get update -q >&2 || notice "the package lists could not be renewed; trying with those that are here"
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "${missing[@]}" >&2 \
        || stop "the packages ${missing[*]} could not be installed; see above."
}

need_swift() {
    command -v swift >/dev/null || stop "Swift is not installed. Get 6.1 or newer from https://www.swift.org/install/linux/ and put it on the PATH."
    local version
    version=$(swift --version 2>&1 | sed -n 's/.*Swift version \([0-9]*\.[0-9]*\).*/\1/p' | head -n 1)
    [[ $version =~ ^([0-9]+)\.([0-9]+)$ ]] || stop "the version of Swift can't be read from \`swift --version\`."
    ((BASH_REMATCH[1] > 6 || (BASH_REMATCH[1] == 6 && BASH_REMATCH[2] >= 1))) \
        || stop "Swift $version is too old; get 6.1 or newer from https://www.swift.org/install/linux/."
}

need_python() {
    python3 -c 'import ensurepip, venv' 2>/dev/null || need_packages python3 python3-venv
}

# Makes .venv and installs a requirements file into it, once for each content of the file. Fails where that can't be had.
need_requirements() { alone install_requirements "$@"; }

install_requirements() {
    local requirements=$1 stamp
    need_python
    [[ -x .venv/bin/python ]] || python3 -m venv .venv || return 1
    [[ -f $requirements ]] || return 0
    stamp=.venv/installed-$(sha256sum "$requirements" | cut -c 1-16)
    [[ -f $stamp ]] && return 0
    say "Installing the Python packages of $requirements into .venv"
    .venv/bin/python -m pip install --quiet --disable-pip-version-check -r "$requirements" >&2 || return 1
    touch "$stamp"
}

# A Python environment of its own, for packages that would not agree with others: FOLDER REQUIREMENTS...
need_environment() { alone install_environment "$@"; }

install_environment() {
    local folder=$1 file stamp
    shift
    need_python
    [[ -x .venv/bin/python ]] || python3 -m venv .venv || return 1
    [[ -x $folder/bin/python ]] || python3 -m venv "$folder" || return 1
    for file in "$@"; do
        stamp=$folder/installed-$(sha256sum "$file" | cut -c 1-16)
        [[ -f $stamp ]] && continue
        say "Installing the Python packages of $file into $folder"
        "$folder/bin/python" -m pip install --quiet --disable-pip-version-check -r "$file" >&2 || return 1
        touch "$stamp"
    done
}

# Whether GET http://HOST:PORT/PATH is answered with 200.
answers() {
    local host=${1//[\[\]]/} port=$2 path=$3
    (
        exec 3<>"/dev/tcp/$host/$port" || exit 1
        printf 'GET %s HTTP/1.0\r\nHost: %s\r\n\r\n' "$path" "$host" >&3
        read -r -t 5 _ status _ <&3
        [[ $status == 200 ]]
    ) 2>/dev/null
}

# Where a program on this machine finds what listens on HOST:PORT: what listens everywhere is asked on the loopback address.
reachable() {
    case $1 in
        0.0.0.0:*) printf '127.0.0.1:%s\n' "${1##*:}" ;;
        "[::]:"*) printf '[::1]:%s\n' "${1##*:}" ;;
        *) printf '%s\n' "$1" ;;
    esac
}

# Stops where something listens on HOST:PORT already. ADDRESS WHO ADVICE
need_free() {
    local address host
    address=$(reachable "$1")
    host=${address%:*}
    if (exec 3<>"/dev/tcp/${host//[\[\]]/}/${address##*:}") 2>/dev/null; then
        stop "$1, where $2 is to listen, is in use by another program (perhaps one of an earlier start): end that one, or $3."
    fi
}

# The folder of the newest PostgreSQL's programs; Debian keeps them off the PATH.
postgres_programs() {
    local folder
    folder=$(find /usr/lib/postgresql -path '*/bin/initdb' 2>/dev/null | sort -V | tail -n 1)
    [[ -n $folder ]] || folder=$(command -v initdb) || stop "there is no PostgreSQL here; install Debian's package postgresql."
    folder=$(dirname "$(realpath "$folder")")
    local version
    version=$("$folder/postgres" --version | sed 's/[^0-9]*\([0-9]*\).*/\1/')
    ((version >= 14)) || stop "PostgreSQL $version is too old; get 14 or newer."
    printf '%s\n' "$folder"
}

# The text of a field in one line of JSON of ours (no escapes in these).
json_field() { sed -n "s/.*\"$1\":\"\([^\"]*\)\".*/\1/p"; }
