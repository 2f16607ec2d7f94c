#include "os/segment.h"

#include "base/error.h"
#include "base/sanitized.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#if defined(__has_include)
#if __has_include(<valgrind/valgrind.h>)
#include <valgrind/valgrind.h>
#endif
#endif
#ifndef RUNNING_ON_VALGRIND
#define RUNNING_ON_VALGRIND 0
#endif

/* Newer than some C libraries we build with; kernels that lack them say EINVAL. */
#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U
#endif
#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif
#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif
/* Of <numaif.h>, which belongs to a library that we do without. */
enum { CW_MPOL_DEFAULT = 0, CW_MPOL_INTERLEAVE = 3, CW_MPOL_MEMS_ALLOWED = 4 };

static const uint64_t HUGE = 2 * 1024 * 1024; /* bytes of a huge page */
static const uint64_t LEAST_IN_SHM = 16 * 1024 * 1024;
static const uint64_t KIB = 1024, MIB = 1024 * 1024, GIB = 1024 * 1024 * 1024;

const char *cw_size_text(uint64_t bytes, char buf[CW_SIZE_TEXT]) {
    static const char *const units[] = {"bytes", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    double value = (double)bytes;
    int unit = 0;
    while (value >= 1024 && unit < 6) {
        value /= 1024;
        unit++;
    }
    const char *fmt = value == (double)(uint64_t)value ? "%.0f %s" : "%.1f %s";
    snprintf(buf, CW_SIZE_TEXT, fmt, value, units[unit]);
    return buf;
}

static uint64_t page_size(void) {
    return (uint64_t)sysconf(_SC_PAGESIZE);
}

/* Half of the address space that RLIMIT_AS leaves: the program needs some too. */
static uint64_t address_space_limit(void) {
    struct rlimit lim;
    if (getrlimit(RLIMIT_AS, &lim) != 0 || lim.rlim_cur == RLIM_INFINITY)
        return UINT64_MAX;
    uint64_t pages = 0;
    FILE *f = fopen("/proc/self/statm", "re");
    if (f) {
        if (fscanf(f, "%" SCNu64, &pages) != 1)
            pages = 0;
        fclose(f);
    }
    uint64_t used = pages * page_size();
    return lim.rlim_cur > used ? (lim.rlim_cur - used) / 2 : 0;
}

static const char BOUND[] = "see CREW_SEGMENT_SIZE";
static const char IN_SHM[] = "see CREW_SEGMENT_SIZE; /dev/shm is to have so much free";

/* Takes the limit if it is the lower one, and notes whose it is. */
static void bound(uint64_t *size, uint64_t limit, const char *whose, const char **by) {
    if (limit >= *size)
        return;
    *size = limit;
    *by = whose;
}

/* `by` names the limit that made it smaller than wanted. */
static uint64_t bounded_size(uint64_t want, const char **by) {
    uint64_t size = want ? want : 2 * (uint64_t)sysconf(_SC_PHYS_PAGES) * page_size();
    *by = BOUND;
    bound(&size, address_space_limit(), "the limit of address space: raise ulimit -v", by);
    struct rlimit file; /* passing it raises SIGXFSZ, which ends the program */
    if (getrlimit(RLIMIT_FSIZE, &file) == 0 && file.rlim_cur != RLIM_INFINITY)
        bound(&size, file.rlim_cur, "the limit of file sizes: raise ulimit -f", by);
    if (CW_SANITIZED)
        size = size < 1024 * GIB ? size : 1024 * GIB;
    if (RUNNING_ON_VALGRIND)
        size = size < 16 * GIB ? size : 16 * GIB;
    return size - size % (64 * KIB);
}

/* A place at a multiple of HUGE, so that the file's huge pages can be mapped as
 * such; NULL if there is none to be had. */
static void *aligned_place(uint64_t size) {
    char *p = mmap(NULL, size + HUGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED)
        return NULL;
    char *at = (char *)(((uintptr_t)p + HUGE - 1) / HUGE * HUGE);
    if (at > p)
        munmap(p, (size_t)(at - p));
    if (at < p + HUGE)
        munmap(at + size, (size_t)(p + HUGE - at));
    return at;
}

static int map(cw_segment *seg) {
    void *at = aligned_place(seg->size);
    void *p = mmap(at, seg->size, PROT_READ | PROT_WRITE,
                   MAP_SHARED | MAP_NORESERVE | (at ? MAP_FIXED : 0), seg->fd, 0);
    if (p == MAP_FAILED) {
        int sys = errno;
        if (at)
            munmap(at, seg->size);
        return sys;
    }
    madvise(p, seg->size, MADV_DONTDUMP); /* only a wish */
    seg->base = p;
    return 0;
}

int cw_segment_create(cw_segment *seg, uint64_t want, crew_error *err) {
    *seg = (cw_segment){.fd = -1};
    const char *by;
    uint64_t size = bounded_size(want, &by);
    int fd = memfd_create("crew", MFD_CLOEXEC | MFD_NOEXEC_SEAL);
    if (fd < 0 && errno == EINVAL)
        fd = memfd_create("crew", MFD_CLOEXEC);
    fd = cw_descriptor_above_standard(fd);
    if (fd < 0)
        return cw_error_set(err, errno == ENOMEM ? CREW_ENOMEM : CREW_EAGAIN, errno,
                            "cannot make a shared memory segment");
    int sys = ENOMEM;
    uint64_t asked = size;
    for (; size > 0; size = size / 2 - size / 2 % (64 * KIB)) {
        seg->fd = fd;
        seg->size = size;
        sys = ftruncate(fd, (off_t)size) == 0 ? map(seg) : errno;
        if (sys == 0) {
            seg->id = cw_descriptor_identify(fd);
            seg->bound = by;
            return cw_error_clear(err);
        }
        if (size / 2 < 64 * MIB)
            break;
    }
    close(fd);
    *seg = (cw_segment){.fd = -1};
    char text[CW_SIZE_TEXT];
    return cw_error_set(err, CREW_ENOMEM, sys,
                        "cannot reserve %s of address space for shared memory (%s)",
                        cw_size_text(asked, text), by == BOUND ? "see ulimit -v" : by);
}

int cw_segment_attach(cw_segment *seg, int fd, crew_error *err) {
    *seg = (cw_segment){.fd = -1};
    struct stat st;
    if (fstat(fd, &st) != 0)
        return cw_error_set(err, CREW_EINVAL, errno, "descriptor %d is no shared segment", fd);
    if (!S_ISREG(st.st_mode) || st.st_size <= 0) {
        close(fd);
        return cw_error_set(err, CREW_EINVAL, 0, "descriptor %d is no shared segment", fd);
    }
    fcntl(fd, F_SETFD, FD_CLOEXEC);
    seg->fd = fd;
    seg->size = (uint64_t)st.st_size;
    seg->id = (struct cw_descriptor_id){st.st_dev, st.st_ino};
    seg->bound = BOUND;
    int sys = map(seg);
    if (sys) {
        char text[CW_SIZE_TEXT];
        uint64_t size = seg->size;
        close(fd);
        *seg = (cw_segment){.fd = -1};
        return cw_error_set(err, CREW_ENOMEM, sys, "cannot map the shared segment of %s",
                            cw_size_text(size, text));
    }
    return cw_error_clear(err);
}

int cw_segment_over(cw_segment *seg, void *memory, uint64_t size, crew_error *err) {
    uint64_t page = page_size();
    char *first = (char *)(((uintptr_t)memory + page - 1) / page * page);
    void *at = aligned_place(size);
    *seg = (cw_segment){.fd = -1};
    /* Of a shared mapping, no bytes: another one of the same pages is made. Not by libc's
     * mremap, in whose place UCX, below MPICH and some Open MPIs, puts one of its own that
     * loses the last argument (1.13): the mapping came to lie at address 0. */
    long mapped = at ? syscall(SYS_mremap, first, 0, size, MREMAP_MAYMOVE | MREMAP_FIXED, at)
                     : syscall(SYS_mremap, first, 0, size, MREMAP_MAYMOVE);
    void *p = (void *)mapped; /* MAP_FAILED is -1 */
    if (p == MAP_FAILED) {
        int sys = errno;
        char text[CW_SIZE_TEXT];
        if (at)
            munmap(at, size);
        return cw_error_set(err, CREW_ENOMEM, sys, "cannot map the shared memory of %s that MPI made",
                            cw_size_text(size, text));
    }
    madvise(p, size, MADV_DONTDUMP);
    *seg = (cw_segment){.base = p, .size = size, .fd = -1, .bound = IN_SHM};
    seg->id.inode = (uintptr_t)p; /* unlike any other segment's here: it is of no file system */
    return cw_error_clear(err);
}

int cw_segment_in_shm(uint64_t want, uint64_t *size, crew_error *err) {
    struct statvfs shm;
    char wanted[CW_SIZE_TEXT], there[CW_SIZE_TEXT];
    const char *by;
    if (statvfs("/dev/shm", &shm) != 0)
        return cw_error_set(err, CREW_ENOTSUP, errno, "CREW_SEGMENT=window needs /dev/shm");
    uint64_t available = (uint64_t)shm.f_bavail * shm.f_frsize;
    *size = bounded_size(want, &by);
    if (!want && *size > available / 4 * 3)
        *size = available / 4 * 3 / (64 * KIB) * (64 * KIB);
    if (*size < LEAST_IN_SHM)
        *size = LEAST_IN_SHM;
    if (*size + 2 * page_size() <= available)
        return cw_error_clear(err);
    return cw_error_set(err, CREW_ENOMEM, 0,
                        "CREW_SEGMENT=window: a node's shared memory is to have %s, and /dev/shm has "
                        "%s free: make that larger, set CREW_SEGMENT_SIZE (16M and more), or unset "
                        "CREW_SEGMENT",
                        cw_size_text(*size, wanted), cw_size_text(available, there));
}

void cw_segment_abandon(cw_segment *seg, uint64_t from) {
    if (cw_descriptor_is(seg->fd, seg->id))
        fallocate(seg->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)from,
                  (off_t)(seg->size - from));
    seg->base = NULL;
}

void cw_segment_destroy(cw_segment *seg) {
    if (seg->base)
        munmap(seg->base, seg->size);
    if (cw_descriptor_is(seg->fd, seg->id))
        close(seg->fd);
    *seg = (cw_segment){.fd = -1};
}

/* Huge pages where the kernel has some (from 6.1 on): the range is real in half the
 * time, and each process that touches it later has one fault for 512 pages. The
 * kernel collapses ranges that have a page at least. Only a wish. */
static void collapse(const cw_segment *seg, uint64_t offset, uint64_t size) {
    const uint64_t piece = 64 * MIB;
    uint64_t at = (offset + HUGE - 1) / HUGE * HUGE, to = (offset + size) / HUGE * HUGE;
    if ((uintptr_t)seg->base % HUGE != 0)
        return;
    while (at < to) {
        uint64_t n = to - at < piece ? to - at : piece;
        for (uint64_t i = 0; i < n; i += HUGE)
            if (fallocate(seg->fd, FALLOC_FL_KEEP_SIZE, (off_t)(at + i), (off_t)page_size()) != 0)
                return;
        if (madvise(seg->base + at, n, MADV_COLLAPSE) != 0)
            return;
        at += n;
    }
}

/* Populating also maps the pages here, and a full memory is an error instead of
 * SIGBUS. Kernels before 5.14 cannot; they allocate through the file, in pieces,
 * because a signal undoes the piece it interrupts. */
int cw_segment_populate(const cw_segment *seg, uint64_t offset, uint64_t size) {
    const uint64_t piece = 64 * MIB;
    if (size >= 2 * HUGE)
        collapse(seg, offset, size);
    bool by_file = false;
    while (size > 0) {
        uint64_t n = size < piece ? size : piece;
        if (by_file && !cw_descriptor_is(seg->fd, seg->id))
            return EBADF;
        int rc = by_file ? fallocate(seg->fd, 0, (off_t)offset, (off_t)n)
                         : madvise(seg->base + offset, n, MADV_POPULATE_WRITE);
        if (rc != 0 && errno == EINVAL && !by_file) {
            by_file = true;
            continue;
        }
        if (rc != 0 && (errno == EINTR || errno == EAGAIN))
            continue;
        if (rc != 0)
            return errno;
        offset += n;
        size -= n;
    }
    return 0;
}

int cw_segment_room(uint64_t size, crew_error *err) {
    char asked[CW_SIZE_TEXT], left[CW_SIZE_TEXT];
    uint64_t available = cw_memory_available();
    if (size > available)
        return cw_error_set(err, CREW_ENOMEM, 0, "%s of shared memory asked for, %s available",
                            cw_size_text(size, asked), cw_size_text(available, left));
    return 0;
}

int cw_segment_no_room(uint64_t size, int sys, crew_error *err) {
    char asked[CW_SIZE_TEXT], left[CW_SIZE_TEXT];
    return cw_error_set(err, CREW_ENOMEM, sys == EFAULT ? ENOSPC : sys,
                        "%s of shared memory asked for, which was not to be had; %s available now",
                        cw_size_text(size, asked), cw_size_text(cw_memory_available(), left));
}

int cw_segment_commit(cw_segment *seg, uint64_t offset, uint64_t size, crew_error *err) {
    if (offset > seg->size || size > seg->size - offset)
        return cw_error_set(err, CREW_EINVAL, 0,
                            "%" PRIu64 " bytes at %" PRIu64
                            " are not inside the segment of %" PRIu64,
                            size, offset, seg->size);
    if (size == 0)
        return cw_error_clear(err);
    uint64_t page = page_size();
    uint64_t from = offset - offset % page;
    uint64_t to = (offset + size + page - 1) / page * page;
    to = to < seg->size ? to : seg->size;
    int rc = cw_segment_room(to - from, err);
    if (rc < 0)
        return rc;
    int sys = cw_segment_populate(seg, from, to - from);
    return sys ? cw_segment_no_room(to - from, sys, err) : cw_error_clear(err);
}

void cw_segment_interleave(const cw_segment *seg, uint64_t offset, uint64_t size, bool spread) {
    unsigned long nodes[1024 / 8 / sizeof(unsigned long)] = {0};
    const unsigned long bits = 8 * sizeof nodes;
    if (syscall(SYS_get_mempolicy, NULL, nodes, bits, NULL, CW_MPOL_MEMS_ALLOWED) != 0)
        return;
    int count = 0;
    for (size_t i = 0; i < sizeof nodes / sizeof *nodes; i++)
        count += __builtin_popcountl(nodes[i]);
    if (count > 1)
        syscall(SYS_mbind, seg->base + offset, size,
                spread ? CW_MPOL_INTERLEAVE : CW_MPOL_DEFAULT, spread ? nodes : NULL,
                spread ? bits : 0, 0);
}

void cw_segment_discard(cw_segment *seg, uint64_t offset, uint64_t size) {
    uint64_t page = page_size();
    uint64_t from = (offset + page - 1) / page * page;
    uint64_t to = (offset + size) / page * page;
    if (to <= from)
        return;
    if (madvise(seg->base + from, to - from, MADV_REMOVE) == 0)
        return;
    memset(seg->base + from, 0, to - from); /* it must read as zero in any case */
}
