/* sha1.h - the Secure Hash Algorithm 1 (FIPS 180-4), of messages that fit one block. */
#ifndef UTS_SHA1_H
#define UTS_SHA1_H

#include <stddef.h>
#include <stdint.h>

enum { SHA1_SIZE = 20, SHA1_SHORT = 55 /* the longest message, in bytes */ };

void sha1_short(const uint8_t *message, size_t size, uint8_t digest[SHA1_SIZE]);

#endif
