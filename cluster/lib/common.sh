# shellcheck shell=bash disable=SC2034 # root is for those who source this
# common.sh - what the scripts under cluster/ share. Sourced by bash; needs nothing.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)

say() {
    printf '%s\n' "$*"
}

die() {
    printf '%s: %s\n' "$(basename "$0")" "$*" >&2
    exit 1
}

# A command line that means nothing.
misused() {
    printf '%s: %s\n' "$(basename "$0")" "$*" >&2
    exit 2
}

# How many processors this script may use.
cores() {
    nproc 2>/dev/null || echo 1
}

# have PACKAGE: whether what we want of it is there already, from wherever. Of a
# package that has no line here, need asks dpkg.
have() {
    case $1 in
    cmake | gcc | g++ | clang | spin | valgrind) command -v "$1" ;;
    make) command -v make || command -v ninja ;;
    pkg-config) command -v pkg-config ;;
    libhwloc-dev) pkg-config --exists hwloc ;;
    libxxhash-dev) pkg-config --exists libxxhash ;;
    libcmocka-dev) pkg-config --exists cmocka ;;
    libsqlite3-dev) pkg-config --exists sqlite3 ;;
    libjpeg-dev) pkg-config --exists libjpeg ;;
    libpng-dev) pkg-config --exists libpng ;;
    libwebp-dev) pkg-config --exists libwebp ;;
    libomp-dev) ls /usr/lib/llvm-*/lib/libomp.so /usr/lib/*/libomp.so ;;
    libgomp1) ls /usr/lib/*/libgomp.so.1 /usr/lib64/libgomp.so.1 /usr/lib/gcc/*/*/libgomp.so ;;
    iproute2) PATH=$PATH:/usr/sbin:/sbin command -v ip ;;
    openmpi-bin) command -v mpirun.openmpi ;;
    libopenmpi-dev) command -v mpicc.openmpi ;;
    mpich) command -v mpiexec.mpich ;;
    libmpich-dev) command -v mpicc.mpich ;;
    slurmctld | slurmd) PATH=$PATH:/usr/sbin:/sbin command -v "$1" ;;
    slurm-client) command -v srun ;;
    munge) PATH=$PATH:/usr/sbin:/sbin command -v munged ;;
    libclang-rt-dev) ls "$(clang -print-resource-dir)"/lib/*/libclang_rt.ubsan_standalone*.a ;;
    *) false ;;
    esac >/dev/null 2>&1
}

# need PACKAGE...: installs the Debian packages that are missing. Asks nothing
# of the network if none is.
need() {
    local package missing=() sudo=()
    for package in "$@"; do
        # "ls" of several places fails if one is missing, though another has it.
        have "$package" || [[ $(dpkg-query -W -f='${Status}' "$package" 2>/dev/null) == *installed ]] ||
            missing+=("$package")
    done
    [[ ${#missing[@]} -eq 0 ]] && return 0
    command -v apt-get >/dev/null ||
        die "missing: ${missing[*]} (names as in Debian). There is no apt-get here: install them and run this again."
    if [[ $(id -u) -ne 0 ]]; then
        command -v sudo >/dev/null ||
            die "missing: ${missing[*]}. Install them as root: apt-get install ${missing[*]}"
        sudo=(sudo)
    fi
    say "Installing ${missing[*]}"
    "${sudo[@]}" apt-get update -qq || say "apt-get update failed; trying with the lists there are."
    "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive \
        apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null ||
        die "apt-get could not install ${missing[*]}"
}
