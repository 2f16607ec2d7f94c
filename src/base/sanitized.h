/* base/sanitized.h - whether this is a build with the address or the thread
 * sanitizer, which take terabytes of address space for themselves. */
#ifndef CW_BASE_SANITIZED_H
#define CW_BASE_SANITIZED_H

#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
#define CW_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer) || __has_feature(address_sanitizer)
#define CW_SANITIZED 1
#endif
#endif
#ifndef CW_SANITIZED
#define CW_SANITIZED 0
#endif

#endif
