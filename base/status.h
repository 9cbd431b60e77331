// Status codes and error messages: how every function of the project reports failure.
//
// A function that can fail returns `enum status` and takes a `struct error *err` last. On failure
// it writes one line of reason into err ("could not X: reason", lower case, naming what, where and
// what to do) and returns the same code; on success err is untouched. Libraries never log an error
// they return: the stage loop or main() logs it once.
#ifndef FRESHET_BASE_STATUS_H
#define FRESHET_BASE_STATUS_H

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

enum status {
    STATUS_OK = 0,
    STATUS_INVALID,     // bad input or configuration: retrying cannot help
    STATUS_NOT_FOUND,   // a thing named does not exist
    STATUS_EXISTS,      // a thing to be made exists already
    STATUS_EXHAUSTED,   // out of memory, disk or a configured limit
    STATUS_IO,          // the operating system refused a read or write
    STATUS_UNAVAILABLE, // a server cannot be reached now: retrying may help
    STATUS_TIMEOUT,     // nothing happened within the time given
    STATUS_FENCED,      // a newer instance of this task has taken over: stop
    STATUS_CORRUPT,     // stored bytes are not what was written
    STATUS_CHANGED,     // a log, configuration or build is not the one that the journal names
    STATUS_END,         // no more data
    STATUS_STOPPED,     // asked to stop
    STATUS_UNSUPPORTED, // this build or library cannot do it
};

#define ERROR_MESSAGE_MAX 1024

struct error {
    enum status status;
    char message[ERROR_MESSAGE_MAX];
};

#define CHECKED __attribute__((warn_unused_result))
#define PRINTF_LIKE(text, first) __attribute__((format(printf, text, first)))

// Writes the message (err may be NULL: then only the code is returned) and returns `status`.
enum status error_set(struct error *err, enum status status, const char *format, ...)
    PRINTF_LIKE(3, 4);

// Puts "<formatted>: " before the message that err already holds and returns err's status.
// err must not be NULL and must hold a failure.
enum status error_prefix(struct error *err, const char *format, ...) PRINTF_LIKE(2, 3);

// "out of memory: could not get N bytes for WHAT".
enum status error_no_memory(struct error *err, size_t bytes, const char *what);

// The code's name in lower case with dashes, e.g. "not-found"; never NULL.
const char *status_name(enum status status);

// A broken invariant is a defect of the program: print where and stop, in release builds too.
_Noreturn void require_failed(const char *condition, const char *file, int line);
#define REQUIRE(condition) ((condition) ? (void)0 : require_failed(#condition, __FILE__, __LINE__))

#endif
