#!/usr/bin/env bash
# Builds c_client.c with ZooKeeper's C library, as Debian packages it, and runs it against an ensemble of three, of which it kills one.
# Takes --kind conclave|zookeeper; other options are accepted and change nothing.
set -euo pipefail
source "$(dirname "$(realpath "$0")")/../lib/outside.sh"

need gcc gcc
need /usr/include/zookeeper/zookeeper.h libzookeeper-mt-dev
gcc -std=c11 -D_GNU_SOURCE -O1 -Wall -Wextra -Werror -o "$build/c_client" "$here/c_client.c" -lzookeeper_mt -lpthread
against_ensemble "$build/c_client"
