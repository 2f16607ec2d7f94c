/* api/deputy.h - the process that makes calls at home: see share/desk.h. */
#ifndef CW_API_DEPUTY_H
#define CW_API_DEPUTY_H

#include "backend/backend.h"

/* In a process that the session's nursery has brought; billet->team is the offset of its
 * struct cw_deputy. Never returns. */
void cw_deputy_enter(const struct cw_billet *billet);

#endif
