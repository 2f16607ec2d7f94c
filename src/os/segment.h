/* os/segment.h - one large, sparse piece of shared memory.
 *
 * A memfd, mapped MAP_SHARED | MAP_NORESERVE at a multiple of 2 MiB: it costs
 * nothing until touched,
 * survives no process, and is inherited by forked children at the same address.
 * Not in core dumps (MADV_DONTDUMP).
 *
 * Or memory of somebody else's that several processes have mapped (MPI's, under
 * CREW_SEGMENT=window): then there is no descriptor. */
#ifndef CW_OS_SEGMENT_H
#define CW_OS_SEGMENT_H

#include "os/descriptor.h"

#include <crew/error.h>

typedef struct cw_segment {
    char *base;
    uint64_t size; /* bytes reserved */
    int fd;        /* close-on-exec; -1: there is none */
    struct cw_descriptor_id id;
    const char *bound; /* in words, what its size goes by: whoever wants more changes that */
} cw_segment;

/* Reserves at most `want` bytes (0: twice the machine's memory), at most half of
 * what RLIMIT_AS leaves, what RLIMIT_FSIZE allows, 1 TiB under the thread and
 * address sanitizers, 16 GiB under valgrind; steps down by halves to 64 MiB
 * while the system refuses. */
int cw_segment_create(cw_segment *seg, uint64_t want, crew_error *err);
/* Maps an existing one (a spawned worker's inherited descriptor). Takes fd. */
int cw_segment_attach(cw_segment *seg, int fd, crew_error *err);
/* Maps once more what is mapped at `memory`, shared and at least two pages longer than
 * `size`, from the first whole page on; of other processes with the same memory all map the
 * same. It stays when `memory` is unmapped. */
int cw_segment_over(cw_segment *seg, void *memory, uint64_t size, crew_error *err);
/* How much `want` comes to of what /dev/shm has free (0: three quarters of that).
 * CREW_ENOMEM: it has not so much, with the figures. */
int cw_segment_in_shm(uint64_t want, uint64_t *size, crew_error *err);
/* Threads that nobody waits for may still look at it: this process keeps it mapped, for
 * good, but for the memory from that offset on. To be destroyed all the same. */
void cw_segment_abandon(cw_segment *seg, uint64_t from);
void cw_segment_destroy(cw_segment *seg);

/* Makes [offset, offset + size) real, so that touching it cannot fail. Refused
 * with CREW_ENOMEM, the figures in the text, when the memory or the cgroup has
 * not that much available (the kernel would sooner kill somebody). Pages that
 * were real before keep their contents; after a failure some new ones may be. */
int cw_segment_commit(cw_segment *seg, uint64_t offset, uint64_t size, crew_error *err);
/* The two halves of it, for who has several threads do the second. Room refuses as
 * above what is asked for in all; populate makes a part of it real: 0 or an errno. */
int cw_segment_room(uint64_t size, crew_error *err);
int cw_segment_populate(const cw_segment *seg, uint64_t offset, uint64_t size);
/* What a failed populate means to the caller. */
int cw_segment_no_room(uint64_t size, int sys, crew_error *err);
/* A wish: the range's pages, which are not real yet, are spread over the NUMA nodes
 * this process may use (false: as the process says), whoever makes them real. */
void cw_segment_interleave(const cw_segment *seg, uint64_t offset, uint64_t size, bool spread);
/* Gives whole pages inside the range back; they read as zero afterwards. */
void cw_segment_discard(cw_segment *seg, uint64_t offset, uint64_t size);

/* Bytes this process could still commit: the least of MemAvailable and what
 * its cgroups (v1 or v2, all ancestors) leave. Some 50 to 100 us. */
uint64_t cw_memory_available(void);
/* The same, read from files under `root` instead of "/" (for tests). */
uint64_t cw_memory_available_under(const char *root);
/* True if there is a network (InfiniBand and its like) that would have memory pinned for
 * others to read it: a sparse segment would be real then, as far as it reaches. */
bool cw_memory_is_pinned(void);

/* Room for cw_size_text. */
enum { CW_SIZE_TEXT = 24 };
/* "64 KiB", "1.5 GiB": for messages. Returns buf. */
const char *cw_size_text(uint64_t bytes, char buf[CW_SIZE_TEXT]);

#endif
