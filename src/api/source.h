/* api/source.h - the sources that crew makes (crew_source_array and others). They return no
 * error: what they were given is looked at by whoever takes them. */
#ifndef CW_API_SOURCE_H
#define CW_API_SOURCE_H

#include <crew/pool.h>

/* Whether it can be read from, one of the program's own too; else why not. */
int cw_source_check(const crew_source *s, crew_error *err);
/* Says what became of the source, which has given `code` in place of an item. Returns code. */
int cw_source_failed(const crew_source *s, int64_t index, int code, crew_error *err);
/* Frees what one of crew's allocated. */
void cw_source_release(crew_source *s);

#endif
