#include "base/stopwords.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const double TEN_YEARS = 10 * 366 * 86400.0;

/* ---- spans of time ------------------------------------------------------- */

/* A number of at most nine digits at *at, which moves behind it. */
static bool number(const char **at, long *value) {
    *value = 0;
    const char *from = *at;
    for (; **at >= '0' && **at <= '9'; ++*at)
        if (*at - from < 9)
            *value = *value * 10 + (**at - '0');
    return *at != from && *at - from <= 9;
}

/* ".25" behind seconds. */
static bool fraction(const char **at, double *value) {
    double digit = 0.1;
    *value = 0;
    if (**at != '.')
        return true;
    if (!(*++*at >= '0' && **at <= '9'))
        return false;
    for (; **at >= '0' && **at <= '9'; ++*at, digit /= 10)
        *value += digit * (**at - '0');
    return true;
}

bool cw_span_parse(const char *text, double *seconds) {
    long part[3], days = 0;
    int parts = 1;
    bool dated = false;
    if (!number(&text, &part[0]))
        return false;
    if (*text == '-') {
        dated = true;
        days = part[0];
        text++;
        if (!number(&text, &part[0]) || part[0] > 23)
            return false;
    }
    for (; *text == ':' && parts < 3; parts++) {
        text++;
        if (!number(&text, &part[parts]) || part[parts] > 59)
            return false;
    }
    double rest = 0;
    if (!fraction(&text, &rest) || *text || (dated && parts != 3))
        return false;
    double sum = 0;
    for (int i = 0; i < parts; i++)
        sum = sum * 60 + (double)part[i];
    *seconds = (double)days * 86400 + sum + rest;
    return *seconds <= TEN_YEARS;
}

void cw_span_print(double seconds, char *buf, size_t cap) {
    long long s = (long long)(seconds + 0.5);
    if (s >= 86400)
        snprintf(buf, cap, "%lld-%02lld:%02lld:%02lld", s / 86400, s / 3600 % 24, s / 60 % 60,
                 s % 60);
    else if (s >= 3600)
        snprintf(buf, cap, "%lld:%02lld:%02lld", s / 3600, s / 60 % 60, s % 60);
    else if (s >= 60)
        snprintf(buf, cap, "%lld:%02lld", s / 60, s % 60);
    else
        snprintf(buf, cap, "%g s", seconds);
}

/* ---- signals ------------------------------------------------------------- */

static const struct {
    const char *name;
    int number;
} names[] = {{"HUP", SIGHUP},   {"INT", SIGINT},   {"QUIT", SIGQUIT}, {"USR1", SIGUSR1},
             {"USR2", SIGUSR2}, {"ALRM", SIGALRM}, {"TERM", SIGTERM}, {"XCPU", SIGXCPU},
             {"URG", SIGURG},   {"PWR", SIGPWR}};
enum { NAMES = sizeof names / sizeof *names };

bool cw_stop_signal_may(int signal) {
    switch (signal) {
    case SIGKILL:
    case SIGSTOP:
    case SIGSEGV:
    case SIGBUS:
    case SIGFPE:
    case SIGILL:
    case SIGTRAP:
    case SIGABRT:
    case SIGSYS:
    case SIGCHLD:
        return false;
    default: /* the C library keeps 32 and 33 for itself */
        return signal >= 1 && signal <= 64 && signal != 32 && signal != 33;
    }
}

const char *cw_stop_signal_names(void) {
    return "HUP, INT, QUIT, USR1, USR2, ALRM, TERM, XCPU, URG, PWR or a number";
}

void cw_stop_signal_print(int signal, char *buf, size_t cap) {
    for (int i = 0; i < NAMES; i++)
        if (names[i].number == signal) {
            snprintf(buf, cap, "SIG%s", names[i].name);
            return;
        }
    snprintf(buf, cap, "signal %d", signal);
}

/* One word's signal, 0 if it is none. */
static int signal_of(const char *word) {
    const char *at = word;
    long value;
    if (number(&at, &value))
        return *at == '\0' && cw_stop_signal_may((int)value) ? (int)value : 0;
    if (strncmp(word, "SIG", 3) == 0)
        word += 3;
    for (int i = 0; i < NAMES; i++)
        if (strcmp(word, names[i].name) == 0)
            return names[i].number;
    return 0;
}

bool cw_stop_signals_parse(const char *text, uint64_t *set) {
    *set = 0;
    for (;;) {
        char word[16];
        size_t n = strcspn(text, ",");
        if (n >= sizeof word)
            return false;
        memcpy(word, text, n);
        word[n] = '\0';
        int signal = signal_of(word);
        if (!signal)
            return false;
        *set |= 1ull << (signal - 1);
        if (!text[n])
            return true;
        text += n + 1;
    }
}
