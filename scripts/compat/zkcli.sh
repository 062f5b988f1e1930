#!/usr/bin/env bash
# Drives an ensemble with the Java shell of Apache ZooKeeper, zkCli.sh, as Debian packages it: one interactive
# session fed by stdin, whose outputs are checked command by command, and two single commands for their exit codes.
# Takes --kind conclave|zookeeper; other options are accepted and change nothing.
set -euo pipefail
here=$(dirname "$(realpath "$0")")
shell=/usr/share/zookeeper/bin/zkCli.sh

kind=conclave
inner=no
while [ $# -gt 0 ]; do
    case $1 in
        --kind) kind=$2; shift 2 ;;
        --short) shift ;;
        --seed) shift 2 ;;
        --inner) inner=yes; shift ;; # Inside the ensemble that the outer call has started.
        *) echo "usage: $0 [--kind conclave|zookeeper] [--short]" >&2; exit 2 ;;
    esac
done

[ -e "$shell" ] || { echo "FAILED: $shell is missing; install zookeeper (.ci/run does)" >&2; exit 1; }
command -v java > /dev/null || { echo "FAILED: java is missing; install default-jre-headless" >&2; exit 1; }

if [ "$inner" = no ]; then
    echo "scripts/compat/zkcli.sh against $kind"
    if "$here/../ensemble" --kind "$kind" --members 3 -- "$0" --kind "$kind" --inner; then
        echo "passed scripts/compat/zkcli.sh"
        exit 0
    fi
    echo "FAILED scripts/compat/zkcli.sh"
    exit 1
fi

out=$(mktemp)
trap 'rm -f "$out" "$out.part"' EXIT
# No log and no line editing; a fast start matters more than a fast run.
export CLIENT_JVMFLAGS="-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"
export ZOO_LOG_DIR=${TMPDIR:-/tmp}

# The shell echoes nothing of its input, so an unknown command marks where the answer to each begins:
# the shell answers it with its name.
commands=(
    "create /j one"
    "get -s /j"
    "create /j/a first"
    "create -e /j/e mine"
    "create -s /j/s- numbered"
    "create /j two"
    "create /absent/x y"
    "ls /j"
    "ls -s /j"
    "set -s /j second"
    "set -v 0 /j third"
    "stat /j"
    "stat /absent"
    "getAcl /j"
    "setAcl /j world:anyone:cdrwa"
    "sync /j"
    "get -w /j"
    "set /j fired"
    "ls -w /j"
    "create /j/b second"
    "getEphemerals /j"
    "getAllChildrenNumber /j"
    "delete /j"
    "delete /j/b"
    "ls /j"
    "create /j/deep"
    "create /j/deep/er"
    "deleteall /j"
    "ls /"
    "get /j"
    "create /q"
    "setquota -N 3 /q"
    "create /q/a 12345"
    "listquota /q"
    "create /q/b 1"
    "create /q/c 1"
    "delquota -N /q"
    "create /q/d 1"
    "deleteall /q"
)

{
    for i in "${!commands[@]}"; do
        echo "mark$i"
        echo "${commands[$i]}"
        # An event arrives on another thread than the answers are printed by: it is given a moment.
        case ${commands[$i]} in "set /j fired" | "create /j/b second") sleep 1 ;; esac
    done
    echo "mark${#commands[@]}"
    # The shell ends with the code of its last command, so that one must have succeeded.
    echo "ls /"
    echo "quit"
} | timeout 120 "$shell" -timeout 10000 -waitforconnection -server "$ENSEMBLE_HOSTS" > "$out" 2>&1 || {
    grep -v $'^\t' "$out" | tail -50
    echo "  FAILED: the interactive session ended with an error"
    exit 1
}

failures=0

# Checks that the answer to a command matches an extended regular expression, `!` in front: does not.
answer() {
    local command=$1 index
    shift
    for index in "${!commands[@]}"; do
        [ "${commands[$index]}" = "$command" ] && [ "$index" -ge "$from" ] && break
    done
    from=$index
    awk -v start="mark$index" -v end="mark$((index + 1))" '
        $NF == end { exit }
        inside { print }
        $NF == start { inside = 1 }' "$out" > "$out.part"
    local pattern
    for pattern in "$@"; do
        # An event comes on a thread of its own, and may be printed behind the answers that follow.
        if [ "${pattern#WatchedEvent}" != "$pattern" ]; then
            grep -qE -- "$pattern" "$out" && { echo "  ok: $command: $pattern"; continue; }
        fi
        if [ "${pattern#!}" != "$pattern" ]; then
            grep -qE -- "${pattern#!}" "$out.part" || { echo "  ok: $command: no ${pattern#!}"; continue; }
        else
            grep -qE -- "$pattern" "$out.part" && { echo "  ok: $command: $pattern"; continue; }
        fi
        echo "  FAILED: $command: expected $pattern, got:"
        sed 's/^/    | /' "$out.part"
        failures=$((failures + 1))
    done
}

from=0
answer "create /j one" '^Created /j$'
answer "get -s /j" '^one$' '^cZxid = 0x[0-9a-f]+$' '^dataVersion = 0$' '^ephemeralOwner = 0x0$' '^dataLength = 3$'
answer "create /j/a first" '^Created /j/a$'
answer "create -e /j/e mine" '^Created /j/e$'
answer "create -s /j/s- numbered" '^Created /j/s-0000000002$'
answer "create /j two" 'Node already exists: /j'
answer "create /absent/x y" 'Node does not exist: /absent/x'
answer "ls /j" '^\[a, e, s-0000000002\]$'
answer "ls -s /j" '^\[a, e, s-0000000002\]$|^\[a, e, s-0000000002\]cZxid' '^numChildren = 3$' '^cversion = 3$'
answer "set -s /j second" '^dataVersion = 1$' '^dataLength = 6$'
answer "set -v 0 /j third" 'version No is not valid : /j'
answer "stat /j" '^dataVersion = 1$' '^numChildren = 3$' '^mtime = '
answer "stat /absent" 'Node does not exist: /absent'
answer "getAcl /j" "^'world,'anyone$" '^: cdrwa$'
answer "setAcl /j world:anyone:cdrwa" '!Exception|not valid|does not exist|KeeperErrorCode'
answer "sync /j" '^Sync is OK$'
answer "get -w /j" '^second$'
answer "set /j fired" 'WatchedEvent state:SyncConnected type:NodeDataChanged path:/j'
answer "ls -w /j" '^\[a, e, s-0000000002\]$'
answer "create /j/b second" '^Created /j/b$' 'WatchedEvent state:SyncConnected type:NodeChildrenChanged path:/j'
answer "getEphemerals /j" '^\[/j/e\]$'
answer "getAllChildrenNumber /j" '^4$'
answer "delete /j" 'Node not empty: /j'
answer "delete /j/b" '!Exception|not empty|does not exist|KeeperErrorCode'
answer "ls /j" '^\[a, e, s-0000000002\]$'
answer "create /j/deep" '^Created /j/deep$'
answer "create /j/deep/er" '^Created /j/deep/er$'
answer "deleteall /j" '!Exception|not empty|does not exist|KeeperErrorCode|Failed'
answer "ls /" '^\[zookeeper\]$'
answer "get /j" 'Node does not exist: /j'

answer "create /q" '^Created /q$'
answer "setquota -N 3 /q" '!Exception|not valid|KeeperErrorCode'
answer "create /q/a 12345" '^Created /q/a$'
answer "listquota /q" '^Output quota for /q .*countHardLimit=3' '^Output stat for /q count=2,bytes=5$'
answer "create /q/b 1" '^Created /q/b$'
if [ "$kind" = conclave ]; then
    answer "create /q/c 1" 'Quota has exceeded : /q/c'
else
    # ZooKeeper only warns, unless it is told otherwise.
    answer "create /q/c 1" '^Created /q/c$'
fi
answer "delquota -N /q" '!Exception|KeeperErrorCode'
answer "create /q/d 1" '^Created /q/d$'
answer "deleteall /q" '!Exception|not empty|does not exist|KeeperErrorCode|Failed'

timeout 60 "$shell" -waitforconnection -server "$ENSEMBLE_HOSTS" create /k single > "$out" 2>&1 && grep -q 'Created /k' "$out" \
    && echo "  ok: a single command does its work and ends with 0" || { failures=$((failures + 1)); cat "$out"; }
if timeout 60 "$shell" -waitforconnection -server "$ENSEMBLE_HOSTS" get /absent > "$out" 2>&1; then
    echo "  FAILED: a single command that failed ended with 0"
    failures=$((failures + 1))
else
    echo "  ok: a single command that failed ends with an error"
fi
[ "$failures" -eq 0 ]
