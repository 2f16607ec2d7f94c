/* Loaded ELF objects, their identities, and functions in them.
 *
 * One table holds every loadable segment of every loaded object, sorted by
 * address. A lookup asks dl_iterate_phdr for the loader's counts of objects
 * loaded and unloaded so far (11 ns: it stops at the first object), makes the
 * table anew if they moved, and searches it.
 *
 * Forks. dl_iterate_phdr holds a lock of the loader that glibc does not release
 * in a forked child: if another thread was inside it at the fork, the child's
 * first call never returns. So the prepare handler takes our lock, which lets no
 * thread of ours be inside, and brings the table up to date; and a child trusts
 * the table it inherited for the addresses it finds there, without asking the
 * loader. It asks for an address or identity it does not find, when a task was
 * registered or unregistered since the fork (as libraries with CREW_TASK do when
 * they are loaded and unloaded), and when a set of objects is taken; if that
 * returns, the loader's lock is free, and the child goes on like any process.
 * What this leaves is a child that unloads one library and loads another at the
 * very same address, neither with a CREW_TASK, both with a function at the same
 * place.
 *
 * Lock order: the table's lock, then the loader's. A library's constructors run
 * under another of the loader's locks and may take the table's: nothing here
 * loads or unloads anything. The registry's lock (object_task.c) nests inside
 * the table's, in the prepare handler only. */
#include "os/object.h"

#include "base/error.h"
#include "os/object_parts.h"

#include <errno.h>
#include <link.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <unistd.h>

struct object {
    uint64_t id;
    uintptr_t base;
    const void *headers; /* where its program headers are */
    char *path;          /* "" is the main program */
};

struct segment {
    uintptr_t start, end;
    int object;
    bool code;
};

struct table {
    struct object *objects;
    struct segment *segments;
    int nobjects, nsegments;
    int cap_objects, cap_segments;
    unsigned long long adds, subs; /* the loader's counts */
    bool counted;                  /* it has such counts */
    bool valid;
};

/* Owner: whoever holds the lock. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct table table;
static bool inherited; /* the table is a parent's, and the loader's lock may be stuck */
static uint32_t inherited_generation;

/* ---- identities ----------------------------------------------------------- */

/* A 64-bit fold of bytes: xor, multiply, shift, eight at a time. */
static uint64_t fold(uint64_t hash, const unsigned char *data, size_t size) {
    while (size > 0) {
        uint64_t word = 0;
        size_t n = size < sizeof word ? size : sizeof word;
        memcpy(&word, data, n);
        hash = (hash ^ word ^ n) * 0x9e3779b97f4a7c15u;
        hash ^= hash >> 32;
        data += n;
        size -= n;
    }
    return hash;
}

static size_t padded(uint32_t size, size_t align) {
    size_t mask = align == 8 ? 7 : 3;
    return ((size_t)size + mask) & ~mask;
}

uint64_t cw_object_build_id(const unsigned char *notes, size_t size, size_t align) {
    ElfW(Nhdr) note;
    for (size_t at = 0; size - at >= sizeof note;) {
        memcpy(&note, notes + at, sizeof note);
        at += sizeof note;
        size_t name = at, left = size - at;
        if (padded(note.n_namesz, align) > left)
            return 0;
        at += padded(note.n_namesz, align);
        left = size - at;
        if (note.n_descsz > left)
            return 0;
        if (note.n_type == NT_GNU_BUILD_ID && note.n_namesz == 4 && note.n_descsz > 0 &&
            memcmp(notes + name, "GNU", 4) == 0) {
            uint64_t id = fold(note.n_descsz, notes + at, note.n_descsz);
            return id ? id : 1;
        }
        size_t step = padded(note.n_descsz, align);
        if (step > left)
            return 0;
        at += step;
    }
    return 0;
}

/* Whether the bytes of a header lie in a segment that is there to be read. */
static bool readable(const struct dl_phdr_info *info, const ElfW(Phdr) * part) {
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *load = &info->dlpi_phdr[i];
        if (load->p_type == PT_LOAD && load->p_flags & PF_R && part->p_vaddr >= load->p_vaddr &&
            part->p_memsz <= load->p_filesz &&
            part->p_vaddr - load->p_vaddr <= load->p_filesz - part->p_memsz)
            return true;
    }
    return false;
}

/* The build-id, else a hash of the layout and of the executable segments. */
static uint64_t identity(const struct dl_phdr_info *info) {
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *part = &info->dlpi_phdr[i];
        if (part->p_type != PT_NOTE || !readable(info, part))
            continue;
        uint64_t id = cw_object_build_id((const unsigned char *)(info->dlpi_addr + part->p_vaddr),
                                         part->p_memsz, part->p_align);
        if (id)
            return id;
    }
    uint64_t hash = 0;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *part = &info->dlpi_phdr[i];
        if (part->p_type != PT_LOAD)
            continue;
        uint64_t shape[] = {part->p_flags, part->p_offset, part->p_vaddr, part->p_filesz,
                            part->p_memsz};
        hash = fold(hash, (const unsigned char *)shape, sizeof shape);
        if (part->p_flags & PF_X && part->p_flags & PF_R)
            hash = fold(hash, (const unsigned char *)(info->dlpi_addr + part->p_vaddr),
                        part->p_filesz);
    }
    return hash ? hash : 1;
}

/* ---- the table ------------------------------------------------------------ */

static void table_free(struct table *t) {
    for (int i = 0; i < t->nobjects; i++)
        free(t->objects[i].path);
    free(t->objects);
    free(t->segments);
    *t = (struct table){0};
}

/* Room for one more of `size` bytes. */
static bool grow(void **array, int n, int *cap, size_t size) {
    if (n < *cap)
        return true;
    int want = *cap ? 2 * *cap : 32;
    void *bigger = realloc(*array, (size_t)want * size);
    if (!bigger)
        return false;
    *array = bigger;
    *cap = want;
    return true;
}

static bool add_segment(struct table *t, const struct segment *s) {
    void *array = t->segments;
    bool ok = grow(&array, t->nsegments, &t->cap_segments, sizeof *s);
    t->segments = array;
    if (ok)
        t->segments[t->nsegments++] = *s;
    return ok;
}

static bool add_object(struct table *t, const struct object *o) {
    void *array = t->objects;
    bool ok = grow(&array, t->nobjects, &t->cap_objects, sizeof *o);
    t->objects = array;
    if (ok)
        t->objects[t->nobjects++] = *o;
    return ok;
}

/* The kernel's own object, in which nobody's task lies. */
static bool is_vdso(const struct dl_phdr_info *info) {
    uintptr_t vdso = getauxval(AT_SYSINFO_EHDR);
    for (int i = 0; vdso && i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *part = &info->dlpi_phdr[i];
        uintptr_t start = info->dlpi_addr + part->p_vaddr;
        if (part->p_type == PT_LOAD && vdso >= start && vdso - start < part->p_memsz)
            return true;
    }
    return false;
}

struct survey {
    struct table next;
    bool same, no_memory;
};

/* While nothing was unloaded, what was at this address still is. */
static uint64_t known_identity(const struct dl_phdr_info *info, const struct table *next) {
    if (table.valid && table.counted && next->counted && table.subs == next->subs)
        for (int i = 0; i < table.nobjects; i++)
            if (table.objects[i].base == info->dlpi_addr &&
                table.objects[i].headers == info->dlpi_phdr)
                return table.objects[i].id;
    return 0;
}

/* The program's own code: the loader names it first. */
static _Atomic uintptr_t program_from, program_to;

static void note_program(const struct dl_phdr_info *info) {
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *part = &info->dlpi_phdr[i];
        if (part->p_type != PT_LOAD || !(part->p_flags & PF_X))
            continue;
        uintptr_t from = info->dlpi_addr + part->p_vaddr;
        atomic_store_explicit(&program_to, from + part->p_memsz, memory_order_relaxed);
        /* Pairs with the acquire in cw_fn_in_program: the end. */
        atomic_store_explicit(&program_from, from, memory_order_release);
        return;
    }
}

bool cw_fn_in_program(cw_fn *fn) {
    uintptr_t from = atomic_load_explicit(&program_from, memory_order_acquire);
    return from && (uintptr_t)fn >= from &&
           (uintptr_t)fn < atomic_load_explicit(&program_to, memory_order_relaxed);
}

static int visit(struct dl_phdr_info *info, size_t size, void *arg) {
    struct survey *s = arg;
    struct table *t = &s->next;
    if (!t->valid) { /* the first object */
        t->valid = true;
        if (!atomic_load_explicit(&program_from, memory_order_relaxed))
            note_program(info);
        t->counted = size >= offsetof(struct dl_phdr_info, dlpi_subs) + sizeof info->dlpi_subs;
        if (t->counted) {
            t->adds = info->dlpi_adds;
            t->subs = info->dlpi_subs;
        }
        s->same = table.valid && table.counted && t->counted && t->adds == table.adds &&
                  t->subs == table.subs;
        if (s->same)
            return 1;
    }
    if (is_vdso(info))
        return 0;
    struct object o = {.base = info->dlpi_addr, .headers = info->dlpi_phdr};
    o.id = known_identity(info, t);
    if (!o.id)
        o.id = identity(info);
    o.path = strdup(info->dlpi_name ? info->dlpi_name : "");
    if (!o.path || !add_object(t, &o)) {
        free(o.path);
        s->no_memory = true;
        return 1;
    }
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *part = &info->dlpi_phdr[i];
        if (part->p_type != PT_LOAD || part->p_memsz == 0)
            continue;
        struct segment piece = {.start = info->dlpi_addr + part->p_vaddr,
                                .object = t->nobjects - 1,
                                .code = (part->p_flags & PF_X) != 0};
        piece.end = piece.start + part->p_memsz;
        if (!add_segment(t, &piece)) {
            s->no_memory = true;
            return 1;
        }
    }
    return 0;
}

static int by_start(const void *a, const void *b) {
    uintptr_t x = ((const struct segment *)a)->start, y = ((const struct segment *)b)->start;
    return (x > y) - (x < y);
}

/* Brings the table up to date. Called with the lock held. */
static int survey(void) {
    struct survey s = {{0}, false, false};
    dl_iterate_phdr(visit, &s);
    inherited = false; /* it returned: the loader's lock is free */
    if (s.same)
        return 0;
    if (s.no_memory) {
        table_free(&s.next);
        table_free(&table); /* out of date, and no longer to be trusted */
        return CREW_ENOMEM;
    }
    if (s.next.nsegments > 0)
        qsort(s.next.segments, (size_t)s.next.nsegments, sizeof *s.next.segments, by_start);
    table_free(&table);
    table = s.next;
    return 0;
}

static bool trusted(void) {
    return inherited && table.valid && cw_tasks_generation() == inherited_generation;
}

static const struct segment *search(uintptr_t address) {
    int lo = 0, hi = table.nsegments; /* the last segment that starts at or below it */
    while (lo < hi) {
        int mid = lo + (hi - lo) / 2;
        if (table.segments[mid].start <= address)
            lo = mid + 1;
        else
            hi = mid;
    }
    if (lo == 0 || address >= table.segments[lo - 1].end)
        return NULL;
    return &table.segments[lo - 1];
}

/* The segment of an address, NULL if there is none. *code is CREW_ENOMEM if
 * that could not be found out. */
static const struct segment *locate(uintptr_t address, int *code) {
    *code = 0;
    if (trusted()) {
        const struct segment *s = search(address);
        if (s)
            return s;
    }
    *code = survey();
    return *code < 0 ? NULL : search(address);
}

/* ---- forks ---------------------------------------------------------------- */

static void before_fork(void) {
    pthread_mutex_lock(&lock);
    if (!inherited)
        survey(); /* without memory the table is empty, and the child asks the loader */
    cw_tasks_before_fork();
}

static void after_fork_parent(void) {
    cw_tasks_after_fork();
    pthread_mutex_unlock(&lock);
}

static void after_fork_child(void) {
    /* A child of a child that has not asked yet still compares with the
     * generation its first ancestor saw. */
    if (!inherited) {
        inherited = table.valid;
        inherited_generation = cw_tasks_generation();
    }
    cw_tasks_after_fork();
    pthread_mutex_unlock(&lock);
}

static void set_fork_handlers(void) {
    /* Fails only for want of memory; then only a fork in the very moment of a
     * lookup by another thread is unsafe. */
    pthread_atfork(before_fork, after_fork_parent, after_fork_child);
}

void cw_object_watch_forks(void) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, set_fork_handlers);
}

static void take_lock(void) {
    cw_object_watch_forks();
    pthread_mutex_lock(&lock);
}

/* ---- what others call ----------------------------------------------------- */

static int by_id(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

int cw_objects_take(cw_objects *set) {
    *set = (cw_objects){.ids = NULL};
    take_lock();
    int rc = survey();
    if (rc == 0 && table.nobjects > 0) {
        set->ids = malloc((size_t)table.nobjects * sizeof *set->ids);
        if (!set->ids)
            rc = CREW_ENOMEM;
        for (int i = 0; rc == 0 && i < table.nobjects; i++)
            set->ids[set->count++] = table.objects[i].id;
    }
    pthread_mutex_unlock(&lock);
    if (set->count > 0)
        qsort(set->ids, (size_t)set->count, sizeof *set->ids, by_id);
    return rc;
}

void cw_objects_free(cw_objects *set) {
    free(set->ids);
    *set = (cw_objects){.ids = NULL};
}

uint64_t cw_object_of_program(void) {
    take_lock();
    uint64_t id = survey() == 0 && table.nobjects > 0 ? table.objects[0].id : 0;
    pthread_mutex_unlock(&lock);
    return id;
}

static int refuse_newer(cw_fn *fn, const char *advice, crew_error *err) {
    struct cw_object_place place;
    char what[64], from[80];
    cw_object_place((uintptr_t)fn, &place);
    cw_object_title(place.path, from, sizeof from);
    cw_fn_describe(fn, what, sizeof what);
    return cw_error_set(err, CREW_EINVAL, 0,
                        "task %s is from %s, which was loaded after the workers were started: %s",
                        what, from,
                        advice ? advice : "load it before, or open the pool after");
}

int cw_fn_find(cw_fn *fn, const cw_objects *have, cw_fn_name *name, crew_error *err) {
    if (!fn)
        return cw_error_set(err, CREW_EINVAL, 0, "the task is NULL: a function is needed");
    cw_fn_name found = {0, 0};
    int rc;
    take_lock();
    const struct segment *s = locate((uintptr_t)fn, &rc);
    if (s && s->code) {
        found.object = table.objects[s->object].id;
        found.offset = (uintptr_t)fn - table.objects[s->object].base;
    }
    pthread_mutex_unlock(&lock);
    if (rc < 0)
        return cw_error_set(err, rc, ENOMEM, "the list of loaded libraries");
    if (!found.object)
        return cw_object_refuse(fn, err);
    if (have && (have->count == 0 ||
                 !bsearch(&found.object, have->ids, (size_t)have->count, sizeof *have->ids, by_id)))
        return refuse_newer(fn, have->advice, err);
    *name = found;
    return cw_error_clear(err);
}

/* In the table as it is. */
static cw_fn *look_up(cw_fn_name name) {
    for (int i = 0; i < table.nobjects; i++) {
        if (table.objects[i].id != name.object)
            continue;
        uintptr_t address = table.objects[i].base + (uintptr_t)name.offset;
        const struct segment *s = search(address);
        if (s && s->object == i && s->code)
            return (cw_fn *)address;
    }
    return NULL;
}

cw_fn *cw_fn_resolve(cw_fn_name name) {
    if (name.object == 0)
        return NULL;
    take_lock();
    cw_fn *fn = trusted() ? look_up(name) : NULL;
    if (!fn && survey() == 0)
        fn = look_up(name);
    pthread_mutex_unlock(&lock);
    return fn;
}

void cw_object_place(uintptr_t address, struct cw_object_place *place) {
    place->object = place->offset = 0;
    place->code = false;
    place->path[0] = '\0';
    int rc;
    take_lock();
    const struct segment *s = locate(address, &rc);
    if (s) {
        const struct object *o = &table.objects[s->object];
        place->object = o->id;
        place->offset = address - o->base;
        place->code = s->code;
        if (strlen(o->path) < sizeof place->path)
            strcpy(place->path, o->path);
    }
    pthread_mutex_unlock(&lock);
}

void cw_object_title(const char *path, char *buf, size_t cap) {
    char program[PATH_MAX];
    if (!*path) {
        ssize_t n = readlink("/proc/self/exe", program, sizeof program - 1);
        program[n > 0 ? n : 0] = '\0';
        path = program;
    }
    const char *slash = strrchr(path, '/');
    const char *title = slash ? slash + 1 : path;
    size_t size = strlen(title);
    const char gone[] = " (deleted)"; /* what the kernel appends to a file that was replaced */
    if (path == program && size > sizeof gone && !strcmp(title + size - sizeof gone + 1, gone))
        size -= sizeof gone - 1;
    if (size == 0) {
        title = "the program";
        size = strlen(title);
    }
    if (size >= cap)
        size = cap - 1;
    memcpy(buf, title, size);
    buf[size] = '\0';
}
