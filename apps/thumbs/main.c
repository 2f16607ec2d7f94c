/* thumbs - small WebP pictures of all JPEG and PNG pictures in a folder.
 *
 * Pictures come from anywhere: some are broken, a few are made to break the program that
 * reads them. So each is read in a worker process, with a limit of time and of memory:
 * whatever a file does there, it costs that file's thumbnail and no other. */
#include "../support/tool.h"
#include "picture.h"
#include "walk.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>
#include <webp/encode.h>

static const char HELP[] =
    "Usage: thumbs [OPTION]... FROM TO\n"
    "\n"
    "Makes a small WebP picture of each JPEG and PNG picture in the folder FROM and\n"
    "those below it, upright, on every core. The folder TO gets the same folders: of\n"
    "FROM/a/b.jpg it is TO/a/b.webp. What is there already and newer than its\n"
    "picture is left alone, if it was made with the same --size and --quality; these\n"
    "are noted in TO/.thumbs.\n"
    "\n"
    "  --size=N       pixels, of the longer side (256); small pictures stay small\n"
    "  --quality=Q    from 0 to 100 (80)\n"
    "  --force        makes those too that are there already\n"
    "  --timeout=T    seconds that one picture may take (30)\n"
    "  --memory=N     bytes that one picture may take, 512M for instance (512M)\n"
    "  --stats        says how many there were and how long it took\n"
    "  --backend=B    serial, threads or fork, as CREW_BACKEND=B. Only processes (fork)\n"
    "                 have limits, and outlive a file that makes a library crash\n"
    "  --workers=N    as CREW_WORKERS=N; default: one for each core there is\n"
    "  --help         this\n"
    "  --version      the version\n"
    "\n"
    "Each file that could not be read is told in a line of its own, and the exit code is\n"
    "then 1.\n";

enum { FOLDER_MOST = 4096 };

/* What every task needs: the common argument. */
struct settings {
    int64_t side, quality, memory;
    bool force;
    struct timespec since; /* when the settings became what they are */
    char from[FOLDER_MOST], to[FOLDER_MOST];
};

struct request {
    struct settings settings;
    double timeout;
    bool stats;
    const char *from, *to;
};

/* ---- one picture: the item is its name ---- */

/* The answer. That a picture is broken is one, too: the task has done all it can. */
enum { MADE, KEPT, UNREADABLE, UNWRITABLE, FULL };
struct outcome {
    int what;
    char why[PICTURE_WHY];
};

static bool older(struct timespec a, struct timespec b) {
    return a.tv_sec != b.tv_sec ? a.tv_sec < b.tv_sec : a.tv_nsec < b.tv_nsec;
}

static bool up_to_date(const struct settings *s, const char *from, const char *to) {
    struct stat picture, thumb;
    return !s->force && stat(to, &thumb) == 0 && stat(from, &picture) == 0 &&
           !older(thumb.st_mtim, picture.st_mtim) && !older(thumb.st_mtim, s->since);
}

/* The folders that the file will lie in. */
static bool make_folders(char *path) {
    for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = 0;
        bool good = mkdir(path, 0777) == 0 || errno == EEXIST;
        *slash = '/';
        if (!good)
            return false;
    }
    return true;
}

/* Under another name until it is whole: who looks never finds half a picture. */
static bool write_whole(const char *path, const char *part, const void *data, size_t size) {
    int fd = open(part, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0666);
    FILE *file = fd < 0 ? NULL : fdopen(fd, "wb");
    bool good = file && fwrite(data, 1, size, file) == size;
    int why = errno;
    if (file && fclose(file) != 0 && good) {
        good = false;
        why = errno;
    }
    if (good && rename(part, path) != 0) {
        good = false;
        why = errno;
    }
    if (fd >= 0 && !good)
        unlink(part);
    errno = why;
    return good;
}

static void make_thumb(const struct settings *s, const char *from, char *to, const char *part,
                       struct outcome *o) {
    uint8_t *webp = NULL;
    size_t size;
    o->what = UNREADABLE;
    if (!picture_thumb(from, (int)s->side, (float)s->quality, (size_t)s->memory, &webp, &size,
                       o->why))
        return;
    o->what = MADE;
    if (!make_folders(to) || !write_whole(to, part, webp, size)) {
        /* Where a disk is full or read-only the others cannot be written either. */
        bool full = errno == ENOSPC || errno == EDQUOT || errno == EROFS;
        o->what = full ? FULL : UNWRITABLE;
        snprintf(o->why, sizeof o->why, "its thumbnail cannot be written: %s", strerror(errno));
    }
    WebPFree(webp);
}

static int thumb_task(crew_call *call) {
    const struct settings *s = call->common;
    struct outcome *o = call->out;
    const char *name = call->in;
    char *thumb = walk_thumb_name(name), *from = NULL, *to = NULL, *part = NULL;
    memset(o, 0, sizeof *o);
    o->what = KEPT;
    if (!thumb || asprintf(&from, "%s/%s", s->from, name) < 0 ||
        asprintf(&to, "%s/%s", s->to, thumb) < 0 || asprintf(&part, "%s.part", to) < 0)
        return crew_fail(call, 1, "not enough memory");
    if (!up_to_date(s, from, to))
        make_thumb(s, from, to, part, o);
    free(thumb);
    free(from);
    free(to);
    free(part);
    return 0;
}

/* ---- all of them ---- */

struct job {
    const struct settings *settings;
    walk pictures;
    int64_t given;
    bool *told; /* of each picture: what has become of it is known */
    int64_t made, kept;
};

static int next_picture(void *ctx, const void **item, size_t *size) {
    struct job *job = ctx;
    if (job->given == job->pictures.count)
        return 0;
    *item = job->pictures.names[job->given++];
    *size = strlen(*item) + 1;
    return 1;
}

/* What a task that was killed may have begun to write. */
static void remove_part(const struct job *job, int64_t index) {
    char *thumb = walk_thumb_name(job->pictures.names[index]), *part = NULL;
    if (thumb && asprintf(&part, "%s/%s.part", job->settings->to, thumb) >= 0)
        unlink(part);
    free(thumb);
    free(part);
}

/* False if there is no use in going on. */
static bool tell(struct job *job, const crew_item *item, const struct outcome *o,
                 const crew_error *err) {
    const char *name = job->pictures.names[item->index];
    job->told[item->index] = true;
    if (item->status) { /* it has cost its worker: a crash, a limit */
        tool_say("%s: %s", name, err->text);
        remove_part(job, item->index);
        return true;
    }
    job->made += o->what == MADE;
    job->kept += o->what == KEPT;
    if (o->what != MADE && o->what != KEPT)
        tool_say("%s: %s", name, o->why);
    return o->what != FULL;
}

static void make_all(crew_pool *pool, struct job *job) {
    crew_error err;
    struct outcome o;
    int64_t done = 0;
    int status = 0;
    crew_map_opts opts = {.common = job->settings,
                          .common_size = sizeof *job->settings,
                          .on_error = CREW_CONTINUE,
                          .unordered = true};
    crew_iter *it =
        crew_imap(pool, thumb_task, (crew_source){next_picture, job}, sizeof o, &opts, &err);
    bool going = it;
    while (going && !tool_stopped()) {
        crew_item item = {.index = -1};
        status = crew_next(it, &o, &item, 0.1, &err);
        if (item.index >= 0)
            going = tell(job, &item, &o, &err);
        else
            going = status == CREW_ETIMEDOUT;
        if (item.index >= 0)
            tool_bar(++done, job->pictures.count, "pictures");
    }
    if (!it || (status < 0 && !going))
        tool_say("%s", err.text);
    tool_bar_end();
    crew_iter_free(it);
}

/* The settings as TO/.thumbs has them, which is written where they have changed: what is
 * older than that file was made with others. It is locked as long as this program lives,
 * for two at once would write to the same files. */
static bool note_settings(struct settings *s) {
    char path[FOLDER_MOST + 16], now[80], before[80] = "";
    struct stat noted;
    snprintf(path, sizeof path, "%s/.thumbs", s->to);
    int length = snprintf(now, sizeof now, "size %lld, quality %lld\n", (long long)s->side,
                          (long long)s->quality);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
        tool_say("another one is at work in %s: wait for its end", s->to);
        close(fd);
        return false;
    }
    bool good = fd >= 0 && pread(fd, before, sizeof before - 1, 0) >= 0;
    if (good && strcmp(before, now) != 0)
        good = ftruncate(fd, 0) == 0 && pwrite(fd, now, (size_t)length, 0) == length;
    good = good && fstat(fd, &noted) == 0;
    if (good)
        s->since = noted.st_mtim;
    else
        tool_say("%s cannot be written: %s", path, strerror(errno));
    return good;
}

static int64_t make_thumbs(const struct request *r, struct job *job) {
    crew_error err;
    crew_pool_opts opts = {.name = "thumbs", .task_timeout = r->timeout}, settled;
    /* Threads have no memory of their own that could be limited. */
    if (crew_pool_plan(&opts, &settled, NULL, 0, &err) >= 0 && settled.backend != CREW_SERIAL &&
        settled.backend != CREW_THREADS)
        opts.task_memory = (size_t)job->settings->memory;
    double start = tool_now();
    crew_pool *pool = crew_pool_open(&opts, &err);
    if (!pool) {
        tool_say("%s", err.text);
        return -1;
    }
    make_all(pool, job);
    int64_t failed = job->pictures.count - job->made - job->kept + job->pictures.failed;
    char what[120];
    snprintf(what, sizeof what, "%lld made, %lld up to date, %lld not made", (long long)job->made,
             (long long)job->kept, (long long)failed);
    if (tool_stopped())
        tool_say("stopped: %s. Run it again to go on", what);
    else if (r->stats)
        tool_stats(pool, tool_now() - start, what);
    crew_pool_free(pool);
    return failed;
}

static int run(struct request *r) {
    struct settings *s = &r->settings;
    struct job job = {.settings = s};
    int64_t failed = -1;
    if (!realpath(r->from, s->from)) {
        tool_say("%s cannot be read: %s", r->from, strerror(errno));
        return EXIT_FAILURE;
    }
    if ((mkdir(r->to, 0777) != 0 && errno != EEXIST) || !realpath(r->to, s->to)) {
        tool_say("%s cannot be made: %s", r->to, strerror(errno));
        return EXIT_FAILURE;
    }
    if (note_settings(s) && walk_folder(&job.pictures, s->from, s->to) &&
        (job.told = calloc((size_t)job.pictures.count + 1, 1)))
        failed = make_thumbs(r, &job);
    for (int64_t i = 0; i < job.given; i++)
        if (!job.told[i])
            remove_part(&job, i);
    walk_free(&job.pictures);
    free(job.told);
    return failed ? EXIT_FAILURE : 0;
}

/* ---- the command line ---- */

static void parse(int argc, char **argv, struct request *r) {
    static const struct option options[] = {{"size", required_argument, NULL, 's'},
                                            {"quality", required_argument, NULL, 'q'},
                                            {"force", no_argument, NULL, 'f'},
                                            {"timeout", required_argument, NULL, 't'},
                                            {"memory", required_argument, NULL, 'm'},
                                            {"stats", no_argument, NULL, 'a'},
                                            TOOL_OPTIONS};
    struct settings *s = &r->settings;
    opterr = 0;
    for (int option; (option = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        if (option == 's')
            s->side = tool_integer("size", optarg, 1, WEBP_MAX_DIMENSION);
        else if (option == 'q')
            s->quality = tool_integer("quality", optarg, 0, 100);
        else if (option == 'f')
            s->force = true;
        else if (option == 't')
            r->timeout = tool_number("timeout", optarg, 0.001, 1e6);
        else if (option == 'm')
            s->memory = tool_integer("memory", optarg, 1 << 20, (int64_t)1 << 40);
        else if (option == 'a')
            r->stats = true;
        else
            tool_option(option, argv);
    }
    if (optind != argc - 2)
        tool_misuse("two folders are needed, FROM and TO");
    else if (strlen(argv[optind]) >= FOLDER_MOST || strlen(argv[optind + 1]) >= FOLDER_MOST)
        tool_misuse("the name of a folder is too long");
    r->from = argv[optind];
    r->to = r->from ? argv[optind + 1] : NULL;
}

int main(int argc, char **argv) {
    static struct request r = {.timeout = 30};
    r.settings.side = 256;
    r.settings.quality = 80;
    r.settings.memory = 512 << 20;
    parse(argc, argv, &r);
    if (!tool_start(&argc, &argv, HELP))
        return tool_end(0);
    tool_catch_signals();
    return tool_end(run(&r));
}
