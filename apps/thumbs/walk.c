/* walk.c - the pictures in a folder and those below it. */
#include "walk.h"
#include "../support/tool.h"
#include <errno.h>
#include <fts.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/stat.h>

static const char *ending(const char *name) {
    static const char *const endings[] = {".jpg", ".jpeg", ".png"};
    size_t length = strlen(name);
    for (size_t i = 0; i < sizeof endings / sizeof *endings; i++) {
        size_t n = strlen(endings[i]);
        if (length > n && name[length - n - 1] != '/' &&
            strcasecmp(name + length - n, endings[i]) == 0)
            return name + length - n;
    }
    return NULL;
}

char *walk_thumb_name(const char *name) {
    char *thumb;
    int base = (int)(ending(name) - name);
    return asprintf(&thumb, "%.*s.webp", base, name) < 0 ? NULL : thumb;
}

static bool add(walk *w, const char *name) {
    if (w->count == w->room) {
        int64_t room = w->room ? 2 * w->room : 256;
        char **names = realloc(w->names, (size_t)room * sizeof *names);
        if (!names)
            return false;
        w->names = names;
        w->room = room;
    }
    w->names[w->count] = strdup(name);
    return w->names[w->count++];
}

void walk_free(walk *w) {
    for (int64_t i = 0; i < w->count; i++)
        free(w->names[i]);
    free(w->names);
}

/* By what comes before the ending: so doubles are neighbours. */
static int by_name(const void *left, const void *right) {
    const char *a = *(char *const *)left, *b = *(char *const *)right;
    size_t an = (size_t)(ending(a) - a), bn = (size_t)(ending(b) - b);
    int order = memcmp(a, b, an < bn ? an : bn);
    return order ? order : an != bn ? (an > bn ? 1 : -1) : strcmp(a, b);
}

/* Two pictures whose names differ in their endings alone would be one thumbnail, now of
 * this one and now of that. */
static void leave_out_doubles(walk *w) {
    int64_t kept = 0;
    qsort(w->names, (size_t)w->count, sizeof *w->names, by_name);
    for (int64_t i = 0; i < w->count; i++) {
        const char *name = w->names[i], *before = kept ? w->names[kept - 1] : NULL;
        size_t n = (size_t)(ending(name) - name);
        if (before && (size_t)(ending(before) - before) == n && memcmp(before, name, n) == 0) {
            tool_say("%s: left out, its thumbnail would be that of %s", name, before);
            w->failed++;
            free(w->names[i]);
        } else {
            w->names[kept++] = w->names[i];
        }
    }
    w->count = kept;
}

/* Links to files are followed, links to folders below are not: they may lead in circles. */
static bool step(walk *w, FTS *tree, FTSENT *e, size_t skip, const struct stat *without) {
    switch (e->fts_info) {
    case FTS_D:
        if (without && e->fts_statp->st_dev == without->st_dev &&
            e->fts_statp->st_ino == without->st_ino)
            fts_set(tree, e, FTS_SKIP);
        return true;
    case FTS_DNR:
    case FTS_ERR:
    case FTS_NS:
        tool_say("%s: %s", e->fts_path, strerror(e->fts_errno));
        w->failed++;
        return e->fts_level > FTS_ROOTLEVEL;
    case FTS_DP:
        return true;
    default:
        return !ending(e->fts_name) || add(w, e->fts_path + skip);
    }
}

bool walk_folder(walk *w, const char *folder, const char *without) {
    struct stat out;
    char *folders[] = {(char *)(uintptr_t)folder, NULL};
    bool known = stat(without, &out) == 0, good = true;
    FTS *tree = fts_open(folders, FTS_PHYSICAL | FTS_NOCHDIR, NULL);
    size_t skip = strcmp(folder, "/") == 0 ? 1 : strlen(folder) + 1;
    errno = 0;
    for (FTSENT *e; good && tree && (e = fts_read(tree));)
        good = step(w, tree, e, skip, known ? &out : NULL);
    if (!tree || (errno && good)) {
        tool_say("%s cannot be read: %s", folder, strerror(errno));
        good = false;
    }
    if (tree)
        fts_close(tree);
    if (good)
        leave_out_doubles(w);
    return good;
}
