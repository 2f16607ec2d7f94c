/* Where the modules may be, and what is said when they are not. */
#include "backend/mpi/load.h"

#include "base/error.h"

#include <dlfcn.h>
#include <errno.h>
#include <link.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PATH_MOST = 4096 };

/* ---- where this code is -------------------------------------------------- */

struct here {
    char path[PATH_MOST]; /* of the object that this code is in */
    bool found;
    bool interpreted; /* the program has a loader: it is not a static one */
};

/* For every loaded object, the program first. */
static int visit(struct dl_phdr_info *object, size_t size, void *arg) {
    (void)size;
    struct here *here = arg;
    int (*function)(struct dl_phdr_info *, size_t, void *) = visit;
    uintptr_t us;
    memcpy(&us, &function, sizeof us);
    for (int i = 0; i < object->dlpi_phnum; i++) {
        const ElfW(Phdr) *segment = &object->dlpi_phdr[i];
        uintptr_t start = object->dlpi_addr + segment->p_vaddr;
        here->interpreted = here->interpreted || segment->p_type == PT_INTERP;
        if (segment->p_type != PT_LOAD || us < start || us - start >= segment->p_memsz)
            continue;
        here->found = true;
        snprintf(here->path, sizeof here->path, "%s", object->dlpi_name ? object->dlpi_name : "");
    }
    return 0;
}

static void find_here(struct here *here) {
    *here = (struct here){.found = false};
    dl_iterate_phdr(visit, here);
    if (here->path[0])
        return;
    ssize_t n = readlink("/proc/self/exe", here->path, sizeof here->path - 1);
    here->path[n > 0 ? n : 0] = '\0';
}

/* ---- the places ---------------------------------------------------------- */

static bool is_file(const char *path) {
    struct stat st;
    return stat(path, &st) == 0 && S_ISREG(st.st_mode);
}

static bool join(char *path, size_t cap, const char *folder, int folder_length, const char *between,
                 const char *file) {
    int n = snprintf(path, cap, "%.*s/%s%s%s", folder_length, folder, between, *between ? "/" : "",
                     file);
    return n >= 0 && (size_t)n < cap;
}

static void file_name(const char *flavour, char *name, size_t cap) {
    snprintf(name, cap, "libcrew-mpi-%s.so", flavour);
}

/* The module that CREW_MPI_MODULE names: itself, or one in that folder. */
static void named_path(const char *named, const char *file, char *path, size_t cap) {
    struct stat st;
    if (stat(named, &st) == 0 && S_ISDIR(st.st_mode))
        join(path, cap, named, (int)strlen(named), "", file);
    else
        snprintf(path, cap, "%s", named);
}

bool cw_mpi_find(const char *flavour, const char *named, char *path, size_t cap) {
    char file[64];
    struct here here;
    file_name(flavour, file, sizeof file);
    if (named && *named) {
        named_path(named, file, path, cap);
        return is_file(path);
    }
    find_here(&here);
    const char *slash = strrchr(here.path, '/');
    int length = slash ? (int)(slash - here.path) : 0;
    if (slash && join(path, cap, here.path, length, "", file) && is_file(path))
        return true;
    if (slash && join(path, cap, here.path, length, CREW_BIN_TO_LIB, file) && is_file(path))
        return true;
    return join(path, cap, CREW_LIBDIR, (int)strlen(CREW_LIBDIR), "", file) && is_file(path);
}

/* ---- loading ------------------------------------------------------------- */

static bool is(const char *flavour, const char *which) {
    return strcmp(flavour, which) == 0;
}

static const char *spoken(const char *flavour) {
    return is(flavour, "openmpi") ? "Open MPI" : is(flavour, "mpich") ? "MPICH" : flavour;
}

static int no_launcher(crew_error *err) {
    return cw_error_set(err, CREW_ENOTSUP, 0,
                        "the mpi backend needs a program that was started as MPI ranks, and this "
                        "one was not: start it with mpirun -n 4 %.60s, or srun --mpi=pmix in a "
                        "Slurm job",
                        program_invocation_short_name);
}

static int not_found(const struct cw_launcher *launcher, const char *named, const char *file,
                     crew_error *err) {
    if (named && *named)
        return cw_error_set(err, CREW_ENOTSUP, 0,
                            "CREW_MPI_MODULE=%.80s names neither a module of crew's nor a folder "
                            "with %s in it",
                            named, file);
    return cw_error_set(err, CREW_ENOTSUP, 0,
                        "%s has started this program, but there is no %s beside it, nor in %.60s: "
                        "build crew where %s is installed (%s on Debian), or say in "
                        "CREW_MPI_MODULE where it is",
                        launcher->name, file, CREW_LIBDIR, spoken(launcher->flavour),
                        is(launcher->flavour, "openmpi") ? "libopenmpi-dev" : "libmpich-dev");
}

static int check(void *handle, const char *path, const struct cw_mpi **module, crew_error *err) {
    const struct cw_mpi *table = dlsym(handle, CW_MPI_SYMBOL);
    if (!table)
        return cw_error_set(err, CREW_ENOTSUP, 0, "%.120s is no module of crew's for MPI", path);
    if (table->table != CW_MPI_TABLE || table->size != sizeof *table)
        return cw_error_set(err, CREW_ENOTSUP, 0,
                            "%.120s belongs to another version of crew (table %u of %u bytes; this "
                            "one's is %u of %zu): install both from one build",
                            path, table->table, table->size, (unsigned)CW_MPI_TABLE, sizeof *table);
    *module = table;
    return cw_error_clear(err);
}

/* The loader's own words, without the name that they begin with if that is given
 * already. */
static const char *reason(const char *path) {
    const char *text = dlerror();
    size_t n = strlen(path);
    if (!text)
        return "for no reason given";
    return strncmp(text, path, n) == 0 && strncmp(text + n, ": ", 2) == 0 ? text + n + 2 : text;
}

/* Parts of MPI take signals for themselves as soon as they are loaded (those of faults, and
 * HUP: UCX, below MPICH), and others when they are started, see the module. In a program that
 * knows nothing of MPI signals are the program's.
 *
 * Local: MPI's names are not to come between the program and its libraries. (Open MPI
 * needs its own to be global, for the parts that it loads, and since its version 3.0 sees
 * to that itself when it is started.) */
static void *load(const char *path) {
    struct sigaction before[NSIG], after;
    for (int s = 1; s < NSIG; s++)
        if (sigaction(s, NULL, &before[s]) != 0)
            before[s].sa_handler = SIG_ERR;
    void *handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    for (int s = 1; s < NSIG; s++)
        if (before[s].sa_handler != SIG_ERR && sigaction(s, NULL, &after) == 0 &&
            after.sa_handler != before[s].sa_handler)
            sigaction(s, &before[s], NULL);
    return handle;
}

int cw_mpi_load(const struct cw_launcher *launcher, const char *named, const struct cw_mpi **module,
                crew_error *err) {
    char file[64], path[PATH_MOST];
    struct here here;
    *module = NULL;
    if (launcher->kind == CW_LAUNCHER_NONE)
        return no_launcher(err);
    file_name(launcher->flavour, file, sizeof file);
    find_here(&here);
    if (!here.interpreted)
        return cw_error_set(err, CREW_ENOTSUP, 0,
                            "%s has started this program, which is statically linked and so "
                            "cannot load %s: link it without -static",
                            launcher->name, file);
    bool there = cw_mpi_find(launcher->flavour, named, path, sizeof path);
    if (!there && named && *named)
        return not_found(launcher, named, file, err);
    if (!there)
        snprintf(path, sizeof path, "%s", file); /* wherever the system looks */
    void *handle = load(path);
    if (handle)
        return check(handle, path, module, err);
    const char *why = reason(path);
    if (!there && strncmp(why, "cannot open shared object file", 30) == 0)
        return not_found(launcher, named, file, err);
    return cw_error_set(err, CREW_ENOTSUP, 0, "%.100s cannot be loaded: %.100s", path, why);
}

/* ---- what MPI then says -------------------------------------------------- */

int cw_mpi_agrees(const struct cw_launcher *launcher, const struct cw_mpi *module,
                  const struct cw_mpi_place *place, crew_error *err) {
    bool size = launcher->size == 0 || launcher->size == place->size;
    bool rank = launcher->rank < 0 || launcher->rank == place->rank;
    if (size && rank)
        return cw_error_clear(err);
    char told[32] = "";
    if (launcher->size > 0)
        snprintf(told, sizeof told, " of %d", launcher->size);
    return cw_error_set(err, CREW_EMISMATCH, 0,
                        "%s says that this is rank %d%s, MPI that it is rank %d of %d: the module "
                        "is for another MPI than the launcher (%.70s)",
                        launcher->name, launcher->rank, told, place->rank, place->size,
                        module->library());
}

/* In a program with a library of MPI among its own, however it is linked. */
extern int MPI_Initialized(int *flag) __attribute__((weak));

bool cw_mpi_is_the_programs(void) {
    int (*initialized)(int *) = MPI_Initialized;
    int flag = 0;
    if (!initialized) {
        void *address = dlsym(RTLD_DEFAULT, "MPI_Initialized");
        memcpy(&initialized, &address, sizeof initialized);
    }
    if (initialized && initialized(&flag) == 0 && flag)
        return true;
    /* What we load ourselves is not to be found so. */
    return dlsym(RTLD_DEFAULT, CW_MPI_SYMBOL) != NULL;
}

/* ---- what the program calls ---------------------------------------------- */

/* What of an object's dynamic section tells which functions it takes from others. */
struct imports {
    const ElfW(Sym) * symbols;
    const char *names;
    const uint32_t *hash, *gnu_hash;
};

/* Some systems leave these as they are in the file. */
static const void *address(const struct dl_phdr_info *object, uint64_t value) {
    return (const void *)(uintptr_t)(value < object->dlpi_addr ? value + object->dlpi_addr : value);
}

static void find_imports(const struct dl_phdr_info *object, const ElfW(Dyn) * entry,
                         struct imports *found) {
    for (; entry->d_tag != DT_NULL; entry++) {
        const void *at = address(object, entry->d_un.d_ptr);
        if (entry->d_tag == DT_SYMTAB)
            found->symbols = at;
        else if (entry->d_tag == DT_STRTAB)
            found->names = at;
        else if (entry->d_tag == DT_HASH)
            found->hash = at;
        else if (entry->d_tag == DT_GNU_HASH)
            found->gnu_hash = at;
    }
}

/* Of symbols: all of them, or (GNU's table) those that are not the object's own, which
 * come first. */
static uint32_t count_imports(const struct imports *found) {
    return found->hash ? found->hash[1] : found->gnu_hash ? found->gnu_hash[1] : 0;
}

/* For the first object, which is the program. */
static int look_for_init(struct dl_phdr_info *object, size_t size, void *arg) {
    (void)size;
    bool *called = arg;
    struct imports found = {.symbols = NULL};
    for (int i = 0; i < object->dlpi_phnum; i++)
        if (object->dlpi_phdr[i].p_type == PT_DYNAMIC)
            find_imports(object,
                         (const ElfW(Dyn) *)(uintptr_t)(object->dlpi_addr +
                                                        object->dlpi_phdr[i].p_vaddr),
                         &found);
    if (!found.symbols || !found.names)
        return 1;
    for (uint32_t i = 1, n = count_imports(&found); i < n; i++) {
        const char *name = found.names + found.symbols[i].st_name;
        *called = *called || (found.symbols[i].st_shndx == SHN_UNDEF &&
                              (is(name, "MPI_Init") || is(name, "MPI_Init_thread")));
    }
    return 1;
}

bool cw_mpi_is_called(void) {
    bool called = false;
    dl_iterate_phdr(look_for_init, &called);
    return called;
}
