#!/usr/bin/env bash
# Builds c_client.c against libzookeeper-mt and runs it against an ensemble of three, one of which it kills.
# Takes --kind conclave|zookeeper; other options are accepted and change nothing.
set -euo pipefail
here=$(dirname "$(realpath "$0")")

kind=conclave
while [ $# -gt 0 ]; do
    case $1 in
        --kind) kind=$2; shift 2 ;;
        --short) shift ;;
        --seed) shift 2 ;;
        *) echo "usage: $0 [--kind conclave|zookeeper] [--short]" >&2; exit 2 ;;
    esac
done

command -v gcc > /dev/null || { echo "FAILED: gcc is missing; install gcc (.ci/run does)" >&2; exit 1; }
[ -e /usr/include/zookeeper/zookeeper.h ] || {
    echo "FAILED: zookeeper.h is missing; install libzookeeper-mt-dev (.ci/run does)" >&2
    exit 1
}

build=$(mktemp -d)
trap 'rm -rf "$build"' EXIT
gcc -std=c11 -D_GNU_SOURCE -O1 -Wall -Wextra -Werror -o "$build/c_client" "$here/c_client.c" -lzookeeper_mt -lpthread

echo "scripts/compat/c_client.sh against $kind"
if "$here/../ensemble" --kind "$kind" --members 3 -- "$build/c_client"; then
    echo "passed scripts/compat/c_client.sh"
else
    echo "FAILED scripts/compat/c_client.sh"
    exit 1
fi
