/* api/shm_impl.h - named memory, for the session. */
#ifndef CW_API_SHM_IMPL_H
#define CW_API_SHM_IMPL_H

/* The end of the session: nothing is mapped any more, owned memory is gone. */
void cw_shm_finish(void);
/* In a process that was forked: it owns nothing. */
void cw_shm_forked(void);

#endif
