/* crew/task.h - what a task sees, and macros that make one from a function. */
#ifndef CREW_TASK_H
#define CREW_TASK_H

#include <crew/error.h>
#include <stdarg.h>
#include <string.h>

#ifdef __cplusplus
#include <type_traits>
extern "C" {
#endif

/* One call of a task. Belongs to the library; valid until the task returns. */
typedef struct crew_call {
    const void *in; /* the item; in the worker's memory, do not write through it */
    size_t in_size;
    void *out; /* its result slot: NULL and 0 for results of any size, see crew_reply */
    size_t out_size;
    const void *common; /* the same for every item */
    size_t common_size;
    void **state;  /* one pointer of this worker's own: the same in init, every task, and fini */
    int64_t index; /* position in the map, from 0 (in index maps the value is *in) */
    int worker;    /* from 0 */
    int node;
    int attempt; /* from 1 */
} crew_call;

/* A task: 0 means done, anything else that it failed with that code. A task
 * may run more than once (see crew_pool_opts.retries); its result counts once. */
typedef int crew_fn(crew_call *call);

#define CREW_IN(call, T) ((const T *)(call)->in)
#define CREW_OUT(call, T) ((T *)(call)->out)
#define CREW_COMMON(call, T) ((const T *)(call)->common)

/* Answer with a result of any size: copied; the last call counts. In a map
 * with result slots, size must be the slot's (else CREW_EMISMATCH). In a map
 * without results the answer is dropped. */
CREW_API int crew_reply(crew_call *call, const void *data, size_t size);

/* An exception: code (not 0) and message reach the caller. Returns code, so
 * that a task can write  return crew_fail(call, 7, "no such file: %s", name); */
CREW_API int crew_fail(crew_call *call, int code, const char *fmt, ...) CREW_PRINTF(3, 4);
/* The same in the body of a crew_for, which names the index that has failed. */
CREW_API int crew_fail_at(crew_call *call, int64_t index, int code, const char *fmt, ...)
    CREW_PRINTF(4, 5);

/* The call this thread is running, NULL outside a task. */
CREW_API crew_call *crew_this_call(void);

/* True once nobody wants this call's result any more (its map was stopped,
 * cancelled or terminated, its future was killed, or it is over its time
 * limit). On threads and serial, where nothing can be killed, a long task asks
 * now and then and returns. */
CREW_API bool crew_cancelled(crew_call *call);

/* A task that makes tasks: fn runs with a copy of in[0, size) on any worker,
 * with this call's index and common; its replies are dropped. Any thread of the task
 * may call until the task returns. The map or future waits for all; the first that
 * fails makes this item fail. When a worker dies, children that the dead attempt had
 * made and that have not begun are dropped before its item runs again. */
CREW_API int crew_spawn(crew_call *call, crew_fn *fn, const void *in, size_t size);

/* Random numbers of this call: Philox4x32-10 with the pool's seed as key and
 * (stream, index, draw) as counter: the same bits on every backend, worker
 * count and attempt. Borrowed until the task returns; for one thread at a time. Each call
 * below is the next draw. */
typedef struct crew_rng crew_rng;
CREW_API crew_rng *crew_call_rng(crew_call *call);
CREW_API uint64_t crew_rng_u64(crew_rng *rng);
CREW_API double crew_rng_double(crew_rng *rng); /* [0, 1), 53 bits */
CREW_API double crew_rng_normal(crew_rng *rng); /* mean 0, deviation 1 */

/* crew_call_comm, of <crew/mpi.h>, without the type that comes from mpi.h: into comm,
 * which has `size` bytes, an MPI_Comm. CREW_ENOTSUP and others fail the task, too. */
CREW_API int crew_call_comm_into(crew_call *call, void *comm, size_t size);

/* What the macros below know of a task: its name for messages, and its sizes,
 * so that a wrong one is refused at the call. -1: any size. */
typedef struct crew_task_info {
    crew_fn *fn;
    const char *name;
    ptrdiff_t in_size, out_size, common_size;
    struct crew_task_info *next;
} crew_task_info;
/* For the macros: when the program, or an object of it, is loaded and unloaded. `info` is
 * borrowed in between. */
CREW_API void crew_task_register(crew_task_info *info);
CREW_API void crew_task_unregister(crew_task_info *info);

/* For the macros: a result of `size` bytes, into the slot or as the answer. */
static inline int crew_task_result(crew_call *call, const void *data, size_t size) {
    if (call->out_size == size && call->out) {
        memcpy(call->out, data, size);
        return 0;
    }
    return crew_reply(call, data, size);
}

/* For the macros: CREW_EMISMATCH for this item, with both sizes in the text. */
CREW_API int crew_task_mismatch(crew_call *call, const char *what, size_t want, size_t have);

#ifdef __cplusplus
}
template <typename T> struct crew_item_type_ {
    static_assert(!std::is_pointer<T>::value, "a pointer cannot travel to another process");
    typedef T type;
};
#define CREW_NO_POINTER_(A) typedef crew_item_type_<A>::type
#define CREW_TASK_DATA_(T) T
#else
/* 5 is gcc's and clang's class of pointer types. */
#define CREW_NO_POINTER_(A)                                                                        \
    _Static_assert(__builtin_classify_type(*(A *)0) != 5,                                          \
                   "a pointer cannot travel to another process");                                  \
    typedef A
#endif

#define CREW_TASK_INFO_(f, in_, out_, common_)                                                     \
    static crew_task_info f##_crew_info = {f##_task, #f, in_, out_, common_, NULL};                \
    __attribute__((constructor, unused)) static void f##_crew_register(void) {                     \
        crew_task_register(&f##_crew_info);                                                        \
    }                                                                                              \
    __attribute__((destructor, unused)) static void f##_crew_unregister(void) {                    \
        crew_task_unregister(&f##_crew_info);                                                      \
    }
#define CREW_TASK_HEAD_(f, A)                                                                      \
    CREW_NO_POINTER_(A) f##_crew_item;                                                             \
    __attribute__((unused)) static int f##_task(crew_call *call) {                                 \
        f##_crew_item crew_item_;                                                                  \
        if (call->in_size != sizeof crew_item_)                                                    \
            return crew_task_mismatch(call, "item", sizeof crew_item_, call->in_size);             \
        memcpy(&crew_item_, call->in, sizeof crew_item_);

/* R f(A) as the task f_task. Structs by value are welcome; a pointer type A is
 * a compile error; sizes are checked at the call. */
#define CREW_TASK(f, R, A)                                                                         \
    CREW_TASK_HEAD_(f, A)                                                                          \
    R crew_result_ = f(crew_item_);                                                                \
    return crew_task_result(call, &crew_result_, sizeof crew_result_);                             \
    }                                                                                              \
    CREW_TASK_INFO_(f, sizeof(A), sizeof(R), -1)

/* void f(A) */
#define CREW_TASK_VOID(f, A)                                                                       \
    CREW_TASK_HEAD_(f, A)                                                                          \
    f(crew_item_);                                                                                 \
    return 0;                                                                                      \
    }                                                                                              \
    CREW_TASK_INFO_(f, sizeof(A), 0, -1)

/* int f(const A *in, R *out): anything but 0 fails the item. */
#define CREW_TASK_REF(f, R, A)                                                                     \
    CREW_TASK_HEAD_(f, A)                                                                          \
    R crew_result_;                                                                                \
    memset((void *)&crew_result_, 0, sizeof crew_result_);                                         \
    int crew_code_ = f(&crew_item_, &crew_result_);                                                \
    if (crew_code_)                                                                                \
        return crew_code_;                                                                         \
    return crew_task_result(call, &crew_result_, sizeof crew_result_);                             \
    }                                                                                              \
    CREW_TASK_INFO_(f, sizeof(A), sizeof(R), -1)

/* R f(A item, const C *common), with opts.common: functools.partial. */
#define CREW_TASK_WITH(f, R, A, C)                                                                 \
    CREW_TASK_HEAD_(f, A)                                                                          \
    if (call->common_size != sizeof(C))                                                            \
        return crew_task_mismatch(call, "common argument", sizeof(C), call->common_size);          \
    R crew_result_ = f(crew_item_, (const C *)call->common);                                       \
    return crew_task_result(call, &crew_result_, sizeof crew_result_);                             \
    }                                                                                              \
    CREW_TASK_INFO_(f, sizeof(A), sizeof(R), sizeof(C))

/* R f(A, B, ...): the items are struct f_args { A a; B b; ... }: starmap. */
#define CREW_TASK_STAR_(f, R, ...)                                                                 \
    CREW_TASK_HEAD_(f, f##_args)                                                                   \
    R crew_result_ = f(__VA_ARGS__);                                                               \
    return crew_task_result(call, &crew_result_, sizeof crew_result_);                             \
    }                                                                                              \
    CREW_TASK_INFO_(f, sizeof(f##_args), sizeof(R), -1)
#define CREW_ARG_(f, T, n) CREW_NO_POINTER_(T) f##_crew_arg_##n;
#define CREW_TASK2(f, R, A, B)                                                                     \
    CREW_ARG_(f, A, a) CREW_ARG_(f, B, b) typedef struct f##_args {                                \
        A a;                                                                                       \
        B b;                                                                                       \
    } f##_args;                                                                                    \
    CREW_TASK_STAR_(f, R, crew_item_.a, crew_item_.b)
#define CREW_TASK3(f, R, A, B, C)                                                                  \
    CREW_ARG_(f, A, a) CREW_ARG_(f, B, b) CREW_ARG_(f, C, c) typedef struct f##_args {             \
        A a;                                                                                       \
        B b;                                                                                       \
        C c;                                                                                       \
    } f##_args;                                                                                    \
    CREW_TASK_STAR_(f, R, crew_item_.a, crew_item_.b, crew_item_.c)
#define CREW_TASK4(f, R, A, B, C, D)                                                               \
    CREW_ARG_(f, A, a)                                                                             \
    CREW_ARG_(f, B, b) CREW_ARG_(f, C, c) CREW_ARG_(f, D, d) typedef struct f##_args {             \
        A a;                                                                                       \
        B b;                                                                                       \
        C c;                                                                                       \
        D d;                                                                                       \
    } f##_args;                                                                                    \
    CREW_TASK_STAR_(f, R, crew_item_.a, crew_item_.b, crew_item_.c, crew_item_.d)
#define CREW_TASK5(f, R, A, B, C, D, E)                                                            \
    CREW_ARG_(f, A, a)                                                                             \
    CREW_ARG_(f, B, b)                                                                             \
    CREW_ARG_(f, C, c) CREW_ARG_(f, D, d) CREW_ARG_(f, E, e) typedef struct f##_args {             \
        A a;                                                                                       \
        B b;                                                                                       \
        C c;                                                                                       \
        D d;                                                                                       \
        E e;                                                                                       \
    } f##_args;                                                                                    \
    CREW_TASK_STAR_(f, R, crew_item_.a, crew_item_.b, crew_item_.c, crew_item_.d, crew_item_.e)
#define CREW_TASK6(f, R, A, B, C, D, E, F)                                                         \
    CREW_ARG_(f, A, a)                                                                             \
    CREW_ARG_(f, B, b)                                                                             \
    CREW_ARG_(f, C, c) CREW_ARG_(f, D, d) CREW_ARG_(f, E, e)                                       \
        CREW_ARG_(f, F, f_) typedef struct f##_args {                                              \
        A a;                                                                                       \
        B b;                                                                                       \
        C c;                                                                                       \
        D d;                                                                                       \
        E e;                                                                                       \
        F f;                                                                                       \
    } f##_args;                                                                                    \
    CREW_TASK_STAR_(f, R, crew_item_.a, crew_item_.b, crew_item_.c, crew_item_.d, crew_item_.e,    \
                    crew_item_.f)

#endif
