/* A library of tasks that a test loads and unloads while it runs. It needs
 * nothing of libcrew. */
#include <crew/task.h>

crew_fn *plugin_hidden(void);
crew_fn plugin_square_task, plugin_spare_task;

/* out = in * in, of int64_t. */
int plugin_square_task(crew_call *call) {
    int64_t in = *CREW_IN(call, int64_t);
    *CREW_OUT(call, int64_t) = in * in;
    return 0;
}

/* Never called: a test overwrites it in a copy of this file. */
int plugin_spare_task(crew_call *call) {
    return call->worker * 3 + call->attempt;
}

/* A static function: in no dynamic symbol table. */
__attribute__((noinline)) static int negate_task(crew_call *call) {
    *CREW_OUT(call, int64_t) = -*CREW_IN(call, int64_t);
    return 0;
}

crew_fn *plugin_hidden(void) {
    return negate_task;
}
