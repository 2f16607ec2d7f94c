/* mandelbrot - a picture of the Mandelbrot set, drawn by rows into a shared array.
 *
 * Rows take times that differ by a factor of a thousand: with --overlay each has the
 * colour of the worker that drew it, so that one sees how they were shared out. */
#include "../support/tool.h"
#include <math.h>
#include <png.h>
#include <stdlib.h>

static const char HELP[] =
    "Usage: mandelbrot [OPTION]... FILE\n"
    "\n"
    "Draws the Mandelbrot set, or a part of it, on every core, into the PNG picture\n"
    "FILE; - is standard output.\n"
    "\n"
    "  --size=WxH        pixels (1920x1080)\n"
    "  --center=X,Y      what is in the middle (-0.6,0)\n"
    "  --width=W         how much of the plane it is from left to right (4)\n"
    "  --iterations=N    rounds after which a point counts as inside (1000)\n"
    "  --overlay         colours each row by the worker that drew it\n"
    "  --stats           says how long it took, and how many rows each worker drew\n"
    "  --backend=B       serial, threads or fork, as CREW_BACKEND=B\n"
    "  --workers=N       as CREW_WORKERS=N; default: one for each core there is\n"
    "  --help            this\n"
    "  --version         the version\n"
    "\n"
    "Try: mandelbrot --center=-0.743643887,0.131825904 --width=1e-5 --iterations=5000 a.png\n";

struct request {
    int64_t width, height, iterations;
    double x, y, across;
    bool overlay, stats;
    const char *path;
};

/* What every row needs: the common argument. */
struct view {
    double left, top, step; /* of the plane: where the first pixel is, from one to the next */
    int64_t width, iterations;
    bool overlay;
};

enum { SIDE_MOST = 100000, PIXELS_MOST = 1 << 30 };

/* ---- a row ---- */

/* How many rounds until the point is seen to be outside, with a fraction that makes the
 * colours flow into each other; -1 for one that is not. */
static double escape(double x, double y, int64_t most) {
    /* The two large parts of the inside are known. */
    double q = (x - 0.25) * (x - 0.25) + y * y;
    if (q * (q + (x - 0.25)) <= 0.25 * y * y || (x + 1) * (x + 1) + y * y <= 0.0625)
        return -1;
    double a = 0, b = 0, aa = 0, bb = 0;
    for (int64_t n = 0; n < most; n++) {
        b = 2 * a * b + y;
        a = aa - bb + x;
        aa = a * a;
        bb = b * b;
        if (aa + bb > 256)
            return (double)n + 1 - log2(log2(aa + bb) / 2);
    }
    return -1;
}

static void paint(double rounds, unsigned char *pixel) {
    static const double phase[3] = {3.4, 4.2, 5.0};
    double t = 0.55 * sqrt(rounds < 0 ? 0 : rounds);
    for (int c = 0; c < 3; c++)
        pixel[c] = rounds < 0 ? 0 : (unsigned char)(127.5 + 127.5 * cos(t + phase[c]));
}

/* A stripe of the worker's colour at the left, and a veil of it over the row. */
static void overlay(int worker, int64_t width, unsigned char *row) {
    static const unsigned char colours[][3] = {{230, 60, 60},  {60, 120, 230}, {240, 200, 40},
                                               {60, 190, 90},  {180, 80, 220}, {60, 200, 220},
                                               {240, 140, 40}, {200, 200, 200}};
    const unsigned char *colour = colours[worker % (int)(sizeof colours / sizeof *colours)];
    for (int64_t i = 0; i < width * 3; i++)
        row[i] =
            i / 3 < width / 40 ? colour[i % 3] : (unsigned char)((2 * row[i] + colour[i % 3]) / 3);
}

/* The item is the row's number, the result its pixels. */
static int row_task(crew_call *call) {
    const struct view *view = call->common;
    unsigned char *row = call->out;
    double y = view->top - view->step * (double)*CREW_IN(call, int64_t);
    for (int64_t i = 0; i < view->width; i++) {
        if (tool_stopped()) /* on threads and in series, where tasks are not killed */
            return crew_fail(call, 1, "stopped");
        paint(escape(view->left + view->step * (double)i, y, view->iterations), row + 3 * i);
    }
    if (view->overlay)
        overlay(call->worker, view->width, row);
    return 0;
}

/* ---- the picture ---- */

static bool write_png(tool_file *file, const struct request *r, const unsigned char *pixels) {
    png_image image = {.version = PNG_IMAGE_VERSION,
                       .width = (png_uint_32)r->width,
                       .height = (png_uint_32)r->height,
                       .format = PNG_FORMAT_RGB};
    bool good = png_image_write_to_stdio(&image, file->to, 0, pixels, 0, NULL);
    tool_file_written(file);
    if (!good && !file->problem) /* what the file says is told when it is closed */
        tool_say("the picture could not be made: %s", image.message);
    return good || file->problem;
}

static void report(crew_pool *pool, double seconds) {
    tool_stats(pool, seconds, "drawn");
    for (int w = 0; w < crew_pool_workers(pool); w++) {
        crew_stats stats;
        if (crew_pool_stats(pool, w, &stats) == 0)
            fprintf(stderr, "worker %d: %lld rows, %.2f s\n", w, (long long)stats.items,
                    stats.busy);
    }
}

/* The array is the map's `out`: workers draw into it, and nothing is copied. */
static int draw(crew_pool *pool, const struct request *r, crew_array picture, tool_file *file) {
    crew_error err;
    double step = r->across / (double)r->width, start = tool_now();
    struct view view = {.left = r->x - step * (double)(r->width - 1) / 2,
                        .top = r->y + step * (double)(r->height - 1) / 2,
                        .step = step,
                        .width = r->width,
                        .iterations = r->iterations,
                        .overlay = r->overlay};
    crew_map_opts opts = {.common = &view, .common_size = sizeof view, .progress = true};
    unsigned char *pixels = crew_array_data(picture);
    crew_job *job = crew_map_async(pool, row_task, NULL, 0, r->height, pixels, (size_t)r->width * 3,
                                   &opts, &err);
    if (tool_wait(job, &err) < 0)
        return -1;
    if (r->stats)
        report(pool, tool_now() - start);
    return write_png(file, r, pixels) ? 0 : -1;
}

static int run(const struct request *r) {
    crew_error err;
    crew_array picture;
    tool_file file;
    int64_t shape[] = {r->height, r->width * 3};
    /* First, so that nobody draws for hours what cannot be written. */
    if (!tool_file_open(&file, r->path))
        return EXIT_FAILURE;
    int status = -1;
    crew_pool *pool = crew_pool_open(&(crew_pool_opts){.name = "mandelbrot"}, &err);
    if (!pool) {
        tool_say("%s", err.text);
    } else if (crew_array_create(&picture, CREW_U8, 2, shape, NULL) < 0) {
        tool_say("%s", crew_last_error()->text);
    } else {
        status = draw(pool, r, picture, &file);
        crew_array_destroy(picture);
    }
    crew_pool_free(pool);
    return tool_file_close(&file, status == 0 && !tool_stopped()) < 0 ? EXIT_FAILURE : 0;
}

/* ---- the command line ---- */

static void parse_size(const char *text, struct request *r) {
    char *x, *end;
    r->width = strtol(text, &x, 10);
    r->height = *x == 'x' ? strtol(x + 1, &end, 10) : 0;
    if (r->width < 1 || r->height < 1 || *end || r->width > SIDE_MOST || r->height > SIDE_MOST ||
        r->width * r->height > PIXELS_MOST)
        tool_misuse("--size takes WIDTHxHEIGHT, each from 1 to %d and %d pixels at most, not %s",
                    SIDE_MOST, PIXELS_MOST, text);
}

static void parse_center(const char *text, struct request *r) {
    char *comma, *end;
    r->x = strtod(text, &comma);
    r->y = *comma == ',' ? strtod(comma + 1, &end) : 0;
    if (comma == text || *comma != ',' || end == comma + 1 || *end ||
        !(fabs(r->x) <= 4 && fabs(r->y) <= 4))
        tool_misuse("--center takes two numbers, X,Y, from -4 to 4, not %s", text);
}

static void parse(int argc, char **argv, struct request *r) {
    static const struct option options[] = {{"size", required_argument, NULL, 's'},
                                            {"center", required_argument, NULL, 'c'},
                                            {"width", required_argument, NULL, 'w'},
                                            {"iterations", required_argument, NULL, 'i'},
                                            {"overlay", no_argument, NULL, 'o'},
                                            {"stats", no_argument, NULL, 't'},
                                            TOOL_OPTIONS};
    opterr = 0;
    for (int option; (option = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        if (option == 's')
            parse_size(optarg, r);
        else if (option == 'c')
            parse_center(optarg, r);
        else if (option == 'w')
            r->across = tool_number("width", optarg, 1e-13, 100);
        else if (option == 'i')
            r->iterations = tool_integer("iterations", optarg, 1, 1 << 30);
        else if (option == 'o')
            r->overlay = true;
        else if (option == 't')
            r->stats = true;
        else
            tool_option(option, argv);
    }
    if (optind != argc - 1)
        tool_misuse("one FILE for the picture is needed");
    r->path = argv[optind];
}

int main(int argc, char **argv) {
    struct request r = {.width = 1920, .height = 1080, .iterations = 1000, .x = -0.6, .across = 4};
    parse(argc, argv, &r);
    if (!tool_start(&argc, &argv, HELP))
        return tool_end(0);
    tool_catch_signals();
    return tool_end(run(&r));
}
