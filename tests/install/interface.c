/* interface.c - every name of the interface that programs are written against, with its
 * type. It is compiled, as C and as C++, and not run: a name or a type that has changed
 * is an error here. What was added since may be missing. */
#include <crew/crew.h>

#define CALL(result, name, ...)                                                                    \
    do {                                                                                           \
        result (*is)(__VA_ARGS__) = name;                                                          \
        (void)is;                                                                                  \
    } while (0)
#define FIELD(type, of, name)                                                                      \
    do {                                                                                           \
        static of object;                                                                          \
        type *is = &object.name;                                                                   \
        (void)is;                                                                                  \
    } while (0)
#define HOLDS(condition)                                                                           \
    do {                                                                                           \
        char is[(condition) ? 1 : -1];                                                             \
        (void)is;                                                                                  \
    } while (0)
#define VALUE(name, number) HOLDS((name) == (number))
#define SMALL(handle) HOLDS(sizeof(handle) <= 16)

typedef void done_fn(void *, crew_future *);
typedef void job_fn(void *, crew_job *);

void errors_and_ends(void);
void errors_and_ends(void) {
    FIELD(int, crew_error, code);
    FIELD(int, crew_error, sys);
    FIELD(int, crew_error, task_code);
    FIELD(int64_t, crew_error, item);
    FIELD(int, crew_error, worker);
    FIELD(int, crew_error, node);
    FIELD(int, crew_error, pid);
    FIELD(int, crew_error, signal);
    FIELD(int, crew_error, attempt);
    HOLDS(sizeof((crew_error *)0)->text == 256);
    CALL(const crew_error *, crew_last_error, void);
    CALL(const char *, crew_strerror, int);
    const int codes[] = {CREW_EINVAL,     CREW_ENOMEM,  CREW_EAGAIN, CREW_ETOOSMALL, CREW_ETIMEDOUT,
                         CREW_ECANCELLED, CREW_ECLOSED, CREW_EEXIST, CREW_ENOENT,    CREW_EPERM,
                         CREW_EFAILED,    CREW_EDIED,   CREW_ELIMIT, CREW_EBROKEN,   CREW_ENOTSUP,
                         CREW_EMISMATCH,  CREW_ESTOPPED};
    (void)codes;
    VALUE(CREW_OWNERDEAD, 1);
    double forever = CREW_FOREVER;
    (void)forever;
    CALL(int, crew_init, int *, char ***);
    CALL(int, crew_finalize, void);
}

void tasks(void);
void tasks(void) {
    FIELD(const void *, crew_call, in);
    FIELD(size_t, crew_call, in_size);
    FIELD(void *, crew_call, out);
    FIELD(size_t, crew_call, out_size);
    FIELD(const void *, crew_call, common);
    FIELD(size_t, crew_call, common_size);
    FIELD(void **, crew_call, state);
    FIELD(int64_t, crew_call, index);
    FIELD(int, crew_call, worker);
    FIELD(int, crew_call, node);
    FIELD(int, crew_call, attempt);
    crew_fn *fn = NULL;
    CALL(int, *fn, crew_call *);
    crew_call call;
    memset(&call, 0, sizeof call);
    const int *in = CREW_IN(&call, int), *common = CREW_COMMON(&call, int);
    int *out = CREW_OUT(&call, int);
    (void)in, (void)common, (void)out;
    CALL(int, crew_reply, crew_call *, const void *, size_t);
    CALL(int, crew_fail, crew_call *, int, const char *, ...);
    CALL(crew_call *, crew_this_call, void);
    CALL(bool, crew_cancelled, crew_call *);
    CALL(int, crew_spawn, crew_call *, crew_fn *, const void *, size_t);
    CALL(crew_rng *, crew_call_rng, crew_call *);
    CALL(uint64_t, crew_rng_u64, crew_rng *);
    CALL(double, crew_rng_double, crew_rng *);
    CALL(double, crew_rng_normal, crew_rng *);
}

void pools(void);
void pools(void) {
    FIELD(int, crew_pool_opts, backend);
    FIELD(int, crew_pool_opts, workers);
    FIELD(int, crew_pool_opts, threads_per_worker);
    FIELD(int, crew_pool_opts, start);
    FIELD(int, crew_pool_opts, bind);
    FIELD(crew_fn *, crew_pool_opts, init);
    FIELD(const void *, crew_pool_opts, init_arg);
    FIELD(size_t, crew_pool_opts, init_size);
    FIELD(crew_fn *, crew_pool_opts, fini);
    FIELD(int64_t, crew_pool_opts, tasks_per_worker);
    FIELD(int, crew_pool_opts, retries);
    FIELD(double, crew_pool_opts, task_timeout);
    FIELD(size_t, crew_pool_opts, task_memory);
    FIELD(uint64_t, crew_pool_opts, seed);
    FIELD(const char *, crew_pool_opts, name);
    VALUE(CREW_AUTO, 0);
    VALUE(CREW_START_AUTO, 0);
    VALUE(CREW_BIND_AUTO, 0);
    const int words[] = {CREW_SERIAL,     CREW_THREADS,      CREW_FORK,        CREW_MPI,
                         CREW_START_FORK, CREW_START_SERVER, CREW_START_SPAWN, CREW_BIND_NONE,
                         CREW_BIND_CORE,  CREW_BIND_PU,      CREW_BIND_L3,     CREW_BIND_NUMA,
                         CREW_BIND_SOCKET};
    (void)words;
    CALL(crew_pool *, crew_pool_open, const crew_pool_opts *, crew_error *);
    CALL(void, crew_pool_close, crew_pool *);
    CALL(int, crew_pool_join, crew_pool *, double, crew_error *);
    CALL(void, crew_pool_terminate, crew_pool *);
    CALL(void, crew_pool_free, crew_pool *);
    CALL(int, crew_pool_shutdown, crew_pool *, bool, bool);
    CALL(int, crew_pool_workers, crew_pool *);
    CALL(int, crew_pool_fd, crew_pool *);
    FIELD(int64_t, crew_stats, items);
    FIELD(int64_t, crew_stats, failures);
    FIELD(int64_t, crew_stats, restarts);
    FIELD(double, crew_stats, busy);
    FIELD(double, crew_stats, idle);
    CALL(int, crew_pool_stats, crew_pool *, int, crew_stats *);
    CALL(int, crew_pool_each, crew_pool *, crew_fn *, const void *, size_t, crew_error *);
}

void maps(void);
void maps(void) {
    FIELD(int64_t, crew_map_opts, chunk);
    FIELD(int, crew_map_opts, schedule);
    FIELD(const void *, crew_map_opts, common);
    FIELD(size_t, crew_map_opts, common_size);
    FIELD(int64_t, crew_map_opts, first);
    FIELD(int64_t, crew_map_opts, step);
    FIELD(int, crew_map_opts, on_error);
    FIELD(int *, crew_map_opts, statuses);
    FIELD(crew_error *, crew_map_opts, errors);
    FIELD(int64_t, crew_map_opts, errors_cap);
    FIELD(bool, crew_map_opts, progress);
    FIELD(bool, crew_map_opts, unordered);
    FIELD(int64_t, crew_map_opts, window);
    FIELD(double, crew_map_opts, timeout);
    FIELD(uint64_t, crew_map_opts, stream);
    FIELD(const char *, crew_map_opts, journal);
    FIELD(job_fn *, crew_map_opts, done);
    FIELD(void *, crew_map_opts, ctx);
    VALUE(CREW_SCHED_AUTO, 0);
    VALUE(CREW_STOP, 0);
    const int words[] = {CREW_SCHED_STATIC, CREW_SCHED_DYNAMIC, CREW_SCHED_GUIDED, CREW_CONTINUE};
    (void)words;
    CALL(int, crew_pool_map, crew_pool *, crew_fn *, const void *, size_t, int64_t, void *, size_t,
         const crew_map_opts *, crew_error *);
    CALL(int, crew_for, crew_pool *, int (*)(crew_call *, int64_t, int64_t), int64_t,
         const crew_map_opts *, crew_error *);
    CALL(int, crew_reduce, crew_pool *, crew_fn *, const void *, size_t, int64_t, void *, size_t,
         int (*)(void *, const void *), const crew_map_opts *, crew_error *);
    FIELD(const void *, crew_bytes, data);
    FIELD(size_t, crew_bytes, size);
    CALL(crew_results *, crew_map_bytes, crew_pool *, crew_fn *, const crew_bytes *, int64_t,
         const crew_map_opts *, crew_error *);
    CALL(const void *, crew_results_at, crew_results *, int64_t, size_t *);
    CALL(int, crew_results_error, crew_results *, int64_t, crew_error *);
    CALL(void, crew_results_free, crew_results *);
    CALL(crew_job *, crew_map_async, crew_pool *, crew_fn *, const void *, size_t, int64_t, void *,
         size_t, const crew_map_opts *, crew_error *);
    CALL(int, crew_job_wait, crew_job *, double);
    CALL(bool, crew_job_ready, crew_job *);
    CALL(int, crew_job_get, crew_job *, double, crew_error *);
    CALL(int, crew_job_cancel, crew_job *);
    CALL(void, crew_job_free, crew_job *);
}

int map_macros(crew_pool *, crew_fn *, crew_error *);
int map_macros(crew_pool *p, crew_fn *fn, crew_error *err) {
    double in[2] = {1, 2}, out[2];
    return crew_map(p, fn, in, 2, out, NULL, err) + crew_map_index(p, fn, 2, out, NULL, err) +
           crew_each(p, fn, in, 2, NULL, err);
}

void streams(void);
void streams(void) {
    typedef int next_fn(void *, const void **, size_t *);
    FIELD(next_fn *, crew_source, next);
    FIELD(void *, crew_source, ctx);
    CALL(crew_source, crew_source_array, const void *, size_t, int64_t);
    CALL(crew_source, crew_source_range, int64_t, int64_t, int64_t);
    CALL(crew_source, crew_source_lines, FILE *);
    FIELD(int64_t, crew_item, index);
    FIELD(int, crew_item, status);
    FIELD(const void *, crew_item, data);
    FIELD(size_t, crew_item, size);
    CALL(crew_iter *, crew_imap, crew_pool *, crew_fn *, crew_source, size_t, const crew_map_opts *,
         crew_error *);
    CALL(int, crew_next, crew_iter *, void *, crew_item *, double, crew_error *);
    CALL(void, crew_iter_free, crew_iter *);
}

void futures(void);
void futures(void) {
    FIELD(int, crew_submit_opts, retries);
    FIELD(double, crew_submit_opts, task_timeout);
    FIELD(size_t, crew_submit_opts, task_memory);
    FIELD(const void *, crew_submit_opts, common);
    FIELD(size_t, crew_submit_opts, common_size);
    FIELD(int64_t, crew_submit_opts, index);
    FIELD(int, crew_submit_opts, priority);
    FIELD(int, crew_submit_opts, ranks);
    FIELD(const char *, crew_submit_opts, key);
    FIELD(const char *, crew_submit_opts, journal);
    CALL(crew_future *, crew_submit, crew_pool *, crew_fn *, const void *, size_t,
         const crew_submit_opts *, crew_error *);
    CALL(int, crew_future_result, crew_future *, void *, size_t, double, crew_error *);
    CALL(const void *, crew_future_data, crew_future *, size_t *);
    CALL(bool, crew_future_done, crew_future *);
    CALL(bool, crew_future_running, crew_future *);
    CALL(bool, crew_future_cancelled, crew_future *);
    CALL(int, crew_future_cancel, crew_future *);
    CALL(int, crew_future_kill, crew_future *);
    CALL(int, crew_future_then, crew_future *, done_fn *, void *);
    CALL(void, crew_future_free, crew_future *);
    VALUE(CREW_WAIT_ALL, 0);
    const int words[] = {CREW_WAIT_FIRST, CREW_WAIT_FIRST_ERROR};
    (void)words;
    CALL(int, crew_wait, crew_future **, size_t, int, double);
    CALL(crew_completed *, crew_as_completed, crew_future **, size_t);
    CALL(int, crew_completed_next, crew_completed *, size_t *, double);
    CALL(void, crew_completed_free, crew_completed *);
    CALL(int, crew_apply, crew_pool *, crew_fn *, const void *, size_t, void *, size_t,
         crew_error *);
    CALL(crew_future *, crew_apply_async, crew_pool *, crew_fn *, const void *, size_t, done_fn *,
         done_fn *, void *, crew_error *);
}

void processes(void);
void processes(void) {
    SMALL(crew_process);
    SMALL(crew_queue);
    SMALL(crew_conn);
    SMALL(crew_lock);
    SMALL(crew_rlock);
    SMALL(crew_event);
    SMALL(crew_sem);
    SMALL(crew_cond);
    SMALL(crew_barrier);
    SMALL(crew_value);
    SMALL(crew_array);
    SMALL(crew_shm);
    SMALL(crew_dict);
    SMALL(crew_list);
    FIELD(const char *, crew_process_opts, name);
    FIELD(bool, crew_process_opts, daemon);
    FIELD(int, crew_process_opts, start);
    FIELD(int, crew_process_opts, node);
    FIELD(const crew_conn *, crew_process_opts, conns);
    FIELD(int, crew_process_opts, nconns);
    CALL(int, crew_process_start, crew_process *, crew_fn *, const void *, size_t,
         const crew_process_opts *, crew_error *);
    CALL(int, crew_process_join, crew_process, double);
    CALL(int, crew_process_exitcode, crew_process, int *);
    CALL(int, crew_process_alive, crew_process);
    CALL(int, crew_process_terminate, crew_process);
    CALL(int, crew_process_kill, crew_process);
    CALL(int, crew_process_pid, crew_process);
    CALL(int, crew_process_fd, crew_process);
    CALL(const char *, crew_process_name, crew_process);
    CALL(int, crew_process_close, crew_process);
    CALL(int, crew_cpu_count, void);
    CALL(crew_process, crew_self, void);
    CALL(int, crew_children, crew_process *, int);
}

void channels(void);
void channels(void) {
    FIELD(bool, crew_queue_opts, eof);
    CALL(int, crew_queue_create, crew_queue *, int64_t, const crew_queue_opts *);
    CALL(int, crew_queue_put, crew_queue, const void *, size_t, double);
    CALL(ptrdiff_t, crew_queue_get, crew_queue, void *, size_t, double);
    CALL(ptrdiff_t, crew_queue_get_alloc, crew_queue, void **, double);
    CALL(int64_t, crew_queue_size, crew_queue);
    CALL(int, crew_queue_full, crew_queue);
    CALL(int, crew_queue_task_done, crew_queue);
    CALL(int, crew_queue_join, crew_queue, double);
    CALL(int, crew_queue_close, crew_queue);
    CALL(int, crew_queue_produce, crew_queue);
    CALL(int, crew_queue_destroy, crew_queue);
    CALL(int, crew_pipe_create, crew_conn *, crew_conn *, bool);
    CALL(int, crew_conn_send, crew_conn, const void *, size_t, double);
    CALL(ptrdiff_t, crew_conn_recv, crew_conn, void *, size_t, double);
    CALL(ptrdiff_t, crew_conn_recv_alloc, crew_conn, void **, double);
    CALL(int, crew_conn_poll, crew_conn, double);
    CALL(int, crew_conn_fd, crew_conn);
    CALL(int, crew_conn_close, crew_conn);
}

void synchronisation(void);
void synchronisation(void) {
    CALL(int, crew_lock_create, crew_lock *);
    CALL(int, crew_lock_acquire, crew_lock, double);
    CALL(int, crew_lock_release, crew_lock);
    CALL(int, crew_lock_destroy, crew_lock);
    CALL(int, crew_rlock_create, crew_rlock *);
    CALL(int, crew_rlock_acquire, crew_rlock, double);
    CALL(int, crew_rlock_release, crew_rlock);
    CALL(int, crew_rlock_destroy, crew_rlock);
    CALL(int, crew_sem_create, crew_sem *, int64_t, int64_t);
    CALL(int, crew_sem_acquire, crew_sem, double);
    CALL(int, crew_sem_release, crew_sem);
    CALL(int, crew_sem_destroy, crew_sem);
    CALL(int, crew_event_create, crew_event *);
    CALL(int, crew_event_set, crew_event);
    CALL(int, crew_event_clear, crew_event);
    CALL(int, crew_event_wait, crew_event, double);
    CALL(int, crew_event_destroy, crew_event);
    CALL(int, crew_cond_create, crew_cond *, crew_lock);
    CALL(int, crew_cond_wait, crew_cond, double);
    CALL(int, crew_cond_wait_for, crew_cond, bool (*)(void *), void *, double);
    CALL(int, crew_cond_notify, crew_cond, int64_t);
    CALL(int, crew_cond_notify_all, crew_cond);
    CALL(int, crew_cond_destroy, crew_cond);
    CALL(int, crew_barrier_create, crew_barrier *, int, crew_fn *);
    CALL(int, crew_barrier_wait, crew_barrier, double);
    CALL(int, crew_barrier_abort, crew_barrier);
    CALL(int, crew_barrier_reset, crew_barrier);
    CALL(int, crew_barrier_destroy, crew_barrier);
}

void memory(void);
void memory(void) {
    const int types[] = {CREW_I8,
                         CREW_U8,
                         CREW_I16,
                         CREW_U16,
                         CREW_I32,
                         CREW_U32,
                         CREW_I64,
                         CREW_U64,
                         CREW_F32,
                         CREW_F64,
                         CREW_ARRAY_REPLICATED,
                         CREW_ARRAY_PARTITIONED};
    (void)types;
    VALUE(CREW_ARRAY_NODE, 0);
    CALL(int, crew_value_create, crew_value *, int);
    CALL(void *, crew_value_ptr, crew_value);
    CALL(int, crew_value_lock, crew_value);
    CALL(int, crew_value_unlock, crew_value);
    CALL(int64_t, crew_value_get_i64, crew_value);
    CALL(int, crew_value_set_i64, crew_value, int64_t);
    CALL(int64_t, crew_value_add_i64, crew_value, int64_t);
    CALL(bool, crew_value_cas_i64, crew_value, int64_t *, int64_t);
    CALL(double, crew_value_get_f64, crew_value);
    CALL(int, crew_value_set_f64, crew_value, double);
    CALL(double, crew_value_add_f64, crew_value, double);
    CALL(bool, crew_value_cas_f64, crew_value, double *, double);
    CALL(int, crew_value_destroy, crew_value);
    FIELD(int, crew_array_opts, scope);
    FIELD(const crew_shm *, crew_array_opts, over);
    FIELD(bool, crew_array_opts, interleave);
    CALL(int, crew_array_create, crew_array *, int, int, const int64_t *, const crew_array_opts *);
    CALL(void *, crew_array_data, crew_array);
    CALL(void *, crew_array_row, crew_array, int64_t);
    CALL(int, crew_array_shape, crew_array, int64_t *, int);
    CALL(int, crew_array_slice, crew_array *, crew_array, int, int64_t, int64_t, int64_t);
    CALL(int, crew_array_lock, crew_array);
    CALL(int, crew_array_unlock, crew_array);
    CALL(int, crew_array_bcast, crew_array);
    CALL(int, crew_array_reduce, crew_array, int, crew_combine_fn *);
    CALL(int, crew_array_get, crew_array, int64_t, int64_t, void *);
    CALL(int, crew_array_put, crew_array, int64_t, int64_t, const void *);
    CALL(int, crew_array_add, crew_array, int64_t, int64_t, const void *);
    CALL(int, crew_array_destroy, crew_array);
    FIELD(bool, crew_shm_opts, owned);
    CALL(int, crew_shm_create, crew_shm *, const char *, size_t, const crew_shm_opts *);
    CALL(int, crew_shm_attach, crew_shm *, const char *);
    CALL(void *, crew_shm_data, crew_shm);
    CALL(size_t, crew_shm_size, crew_shm);
    CALL(int, crew_shm_close, crew_shm);
    CALL(int, crew_shm_unlink, crew_shm);
}

void managers(void);
void managers(void) {
    typedef int pair_fn(void *, const void *, size_t, const void *, size_t);
    typedef int place_fn(void *, int64_t, const void *, size_t);
    CALL(int, crew_dict_create, crew_dict *);
    CALL(int, crew_dict_set, crew_dict, const void *, size_t, const void *, size_t);
    CALL(ptrdiff_t, crew_dict_get, crew_dict, const void *, size_t, void *, size_t, double);
    CALL(ptrdiff_t, crew_dict_pop, crew_dict, const void *, size_t, void *, size_t, double);
    CALL(int, crew_dict_del, crew_dict, const void *, size_t);
    CALL(int, crew_dict_cas, crew_dict, const void *, size_t, const void *, size_t, const void *,
         size_t);
    CALL(int64_t, crew_dict_size, crew_dict);
    CALL(int, crew_dict_each, crew_dict, pair_fn *, void *);
    CALL(int, crew_dict_destroy, crew_dict);
    CALL(int, crew_list_create, crew_list *);
    CALL(int, crew_list_append, crew_list, const void *, size_t);
    CALL(ptrdiff_t, crew_list_get, crew_list, int64_t, void *, size_t);
    CALL(int, crew_list_set, crew_list, int64_t, const void *, size_t);
    CALL(ptrdiff_t, crew_list_pop, crew_list, int64_t, void *, size_t);
    CALL(int64_t, crew_list_size, crew_list);
    CALL(int, crew_list_each, crew_list, place_fn *, void *);
    CALL(int, crew_list_destroy, crew_list);
}
