/* The serial backend: the one member is whoever calls. */
#include "backend/backend.h"

#include "base/error.h"

#include <stdlib.h>

static int open_serial(const struct cw_hands_request *request, struct cw_hands **hands,
                       crew_error *err) {
    struct cw_hands *h = calloc(1, sizeof *h);
    if (!h)
        return cw_error_set(err, CREW_ENOMEM, 0, "no memory for a pool");
    h->ops = &cw_backend_serial;
    h->request = *request;
    *hands = h;
    return 0;
}

/* Nobody has to come: the seat is taken at once. */
static int start_serial(struct cw_hands *h, int rank, crew_error *err) {
    (void)err;
    atomic_store(&h->request.seats[rank].state, CW_SEAT_ALIVE);
    return 0;
}

static void kill_serial(struct cw_hands *h, int rank) {
    (void)h, (void)rank;
}

static bool lost_serial(struct cw_hands *h, crew_error *err) {
    (void)h, (void)err;
    return false;
}

static void bury_serial(struct cw_hands *h) {
    (void)h;
}

static void close_serial(struct cw_hands *h) {
    free(h);
}

const struct cw_backend cw_backend_serial = {
    .name = "serial",
    .caller = true,
    .open = open_serial,
    .start = start_serial,
    .kill = kill_serial,
    .lost = lost_serial,
    .bury = bury_serial,
    .close = close_serial,
};
