/* What the parts of the command line have in common. */
#ifndef CREW_MAIN_H
#define CREW_MAIN_H

/* `crew shm WORD`: the exit code, or -1 if there is no such word. */
int crew_shm_command(const char *word);
/* `crew journal FILE`: the exit code. */
int crew_journal_command(const char *path);

#endif
