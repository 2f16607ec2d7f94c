# shellcheck shell=bash
# host.sh NAME STATE SHARED... - the first process of an emulated host. The head gives it
# its network.
set -eu
lib=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$lib/machine.sh"
PATH=$PATH:/usr/sbin:/sbin
name=$1 state=$2
shift 2
exec 7>"$state/$name.ready"
no_ipv6
machine "$name" "$state" "$@"
echo ready >&7
exec 7>&-
rest
