# Shared by the clients in scripts/compat that are built from source: options, what has to be installed, and the
# run against an ensemble of three. To be sourced; takes the options of its caller.

here=$(dirname "$(realpath "$0")")
name=scripts/compat/$(basename "$0")

kind=conclave
while [ $# -gt 0 ]; do
    case $1 in
        --kind) kind=$2; shift 2 ;;
        --short) shift ;;
        --seed) shift 2 ;;
        *) echo "usage: $0 [--kind conclave|zookeeper] [--short]" >&2; exit 2 ;;
    esac
done

build=$(mktemp -d)
trap 'rm -rf "$build"' EXIT

# need PATH_OR_COMMAND PACKAGE: ends with an error when it is not there.
need() {
    [ -e "$1" ] || command -v "$1" > /dev/null || {
        echo "FAILED: $1 is missing; install $2 (.ci/run does)" >&2
        exit 1
    }
}

# against_ensemble COMMAND...: runs it with ENSEMBLE_HOSTS and ENSEMBLE_PIDS; ends with the verdict.
against_ensemble() {
    echo "$name against $kind"
    if "$here/../ensemble" --kind "$kind" --members 3 -- timeout -k 5 120 "$@"; then
        echo "passed $name"
        exit 0
    fi
    echo "FAILED $name"
    exit 1
}
