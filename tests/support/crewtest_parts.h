/* support/crewtest_parts.h - what the parts of crewtest share. */
#ifndef CREWTEST_PARTS_H
#define CREWTEST_PARTS_H

/* Ends the process: without `what` there is nothing to test. It says errno's reason. */
void crewtest_give_up(const char *what);

/* Records of a file of /proc that hold one of two strings. */
int crewtest_count_records(const char *path, int delimiter, const char *a, const char *b);

#endif
