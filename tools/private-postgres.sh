# shellcheck shell=bash
# The private PostgreSQL of tools/run: a cluster that belongs to this checkout and listens on a Unix
# socket only. Sourced after lib.sh.
#
# Every running tools/run holds a shared lock on $pg_base/postgres.users; whoever can turn it into an
# exclusive one is the last and stops the server. Starting and stopping happen under
# $pg_base/postgres.lock. Both locks go with their process, however that ends.

pg_port=54329
pg_os_user=
pg_base=
pg_bin=
pg_url=
pg_maybe_up=

# Runs a command as the cluster's owner (PostgreSQL refuses root).
as_pg() {
    if [ -n "$pg_os_user" ]; then
        (cd / && runuser -u "$pg_os_user" -- "$@")
    else
        (cd / && "$@")
    fi
}

# The folder the cluster lives in: var/, or where its owner can't get there, one of its own.
pg_choose_place() {
    pg_base=$top/var
    mkdir -p "$pg_base"
    [ -w "$pg_base" ] || die "$pg_base is not writable for $(id -un)"
    if is_root; then
        pg_os_user=postgres
        id "$pg_os_user" >/dev/null 2>&1 || die "there is no user '$pg_os_user' to run PostgreSQL as"
        chmod 755 "$pg_base"
        if ! as_pg test -x "$pg_base"; then
            pg_base=/var/lib/respgres-tools/$(printf '%s' "$top" | cksum | cut -d' ' -f1)
            say "the user '$pg_os_user' cannot enter $top/var: using $pg_base instead"
            (umask 022 && mkdir -p "$pg_base")
        fi
    fi
}

# Makes a folder that belongs to the cluster's owner.
pg_make_dir() {
    [ -d "$1" ] || mkdir "$1"
    if [ -n "$pg_os_user" ]; then
        chown "$pg_os_user": "$1"
    elif [ ! -O "$1" ]; then
        die "$1 belongs to $(stat -c %U "$1"): remove it, or run this as that user"
    fi
    chmod 700 "$1"
}

# The programs of the version that made the cluster, or of the newest one.
pg_find_programs() {
    local version=
    if as_pg test -f "$pg_base/postgres/PG_VERSION"; then
        version=$(as_pg cat "$pg_base/postgres/PG_VERSION")
    fi
    pg_bin=$(find /usr/lib/postgresql -path "*/${version:-*}/bin/initdb" 2>/dev/null |
        sort -V | tail -n 1)
    if [ -z "$pg_bin" ]; then
        pg_bin=$(command -v initdb || true)
    fi
    [ -n "$pg_bin" ] || die "no PostgreSQL server programs found${version:+ of version $version, which made $pg_base/postgres}"
    pg_bin=$(dirname "$pg_bin")
}

# A socket's path may have 107 bytes.
pg_choose_socket_dir() {
    pg_socket_dir=$pg_base/run
    if [ "$(printf '%s' "$pg_socket_dir/.s.PGSQL.$pg_port" | wc -c)" -le 107 ]; then
        pg_make_dir "$pg_socket_dir"
        return
    fi
    # The choice is kept, so that the next call finds the server.
    pg_socket_dir=$(cat "$pg_base/postgres.socket-dir" 2>/dev/null || true)
    if [ -z "$pg_socket_dir" ] || [ ! -d "$pg_socket_dir" ]; then
        pg_socket_dir=$(mktemp -d /tmp/respgres-XXXXXX)
        printf '%s' "$pg_socket_dir" >"$pg_base/postgres.socket-dir"
        say "$pg_base is too long for a socket's path: the socket is in $pg_socket_dir"
    fi
    pg_make_dir "$pg_socket_dir"
}

url_encode() {
    local LC_ALL=C text=$1 out='' c i
    for ((i = 0; i < ${#text}; i++)); do
        c=${text:i:1}
        case $c in
        [A-Za-z0-9._~/-]) out+=$c ;;
        *) printf -v c '%%%02X' "'$c" && out+=%${c: -2} ;;
        esac
    done
    printf '%s' "$out"
}

pg_running() { as_pg "$pg_bin/pg_ctl" -D "$pg_base/postgres" status >/dev/null 2>&1; }

pg_sql() {
    as_pg env PGOPTIONS= "$pg_bin/psql" -X -q -t -A -v ON_ERROR_STOP=1 \
        -h "$pg_socket_dir" -p "$pg_port" -U postgres -d postgres -c "$1"
}

pg_initdb() {
    say "making a PostgreSQL cluster in $pg_base/postgres"
    as_pg "$pg_bin/initdb" -D "$pg_base/postgres" -U postgres --no-locale --encoding=UTF8 \
        --auth-local=trust --auth-host=reject >"$pg_log_tmp" 2>&1 || {
        cat "$pg_log_tmp" >&2
        die "initdb failed"
    }
}

pg_start() {
    local log=$pg_base/postgres/server.log
    say "starting PostgreSQL $(as_pg cat "$pg_base/postgres/PG_VERSION") (log: $log)"
    as_pg rm -f "$log"
    as_pg "$pg_bin/pg_ctl" -D "$pg_base/postgres" -l "$log" -w -t 120 \
        -o "-p $pg_port -k '$pg_socket_dir' -c listen_addresses=''" start \
        >/dev/null 7>&- 8>&- || {
        as_pg tail -n 20 "$log" >&2 || true
        die "PostgreSQL did not start"
    }
}

pg_make_database() {
    [ "$(pg_sql "SELECT count(*) FROM pg_roles WHERE rolname = 'respgres'")" = 1 ] ||
        pg_sql "CREATE ROLE respgres LOGIN"
    [ "$(pg_sql "SELECT count(*) FROM pg_database WHERE datname = 'respgres'")" = 1 ] ||
        pg_sql "CREATE DATABASE respgres OWNER respgres"
}

# Makes what is missing, starts the server unless it runs, sets pg_url.
private_postgres_up() {
    unset "${!PG@}"
    pg_choose_place
    exec 7>"$pg_base/postgres.users" 8>"$pg_base/postgres.lock"
    flock 8
    flock -s 7
    pg_make_dir "$pg_base/postgres"
    pg_find_programs
    pg_choose_socket_dir
    pg_log_tmp=$(mktemp)
    as_pg test -f "$pg_base/postgres/PG_VERSION" || pg_initdb
    rm -f "$pg_log_tmp"
    pg_maybe_up=1
    if pg_running; then
        say "PostgreSQL of this checkout is running already"
    else
        pg_start
    fi
    pg_make_database
    flock -u 8
    pg_url="postgresql://respgres@/respgres?host=$(url_encode "$pg_socket_dir")&port=$pg_port"
}

# Stops the server if nobody else uses it.
private_postgres_down() {
    [ -n "$pg_maybe_up" ] || return 0
    flock 8
    if ! flock -n -x 7; then
        say "PostgreSQL stays up: another tools/run of this checkout uses it"
        return
    fi
    if pg_running; then
        say "stopping PostgreSQL"
        as_pg "$pg_bin/pg_ctl" -D "$pg_base/postgres" -w -m fast stop >/dev/null || true
    fi
}
