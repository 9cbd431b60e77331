// Status names and the writing of error messages; owns no state.
//
// A message longer than ERROR_MESSAGE_MAX loses its end, never its beginning: what failed is said
// first and the reason last, so callers keep prefixes short.
#include "base/status.h"

#include <stdint.h>
#include <string.h>

static const char *const status_names[] = {
    [STATUS_OK] = "ok",
    [STATUS_INVALID] = "invalid",
    [STATUS_NOT_FOUND] = "not-found",
    [STATUS_EXISTS] = "exists",
    [STATUS_EXHAUSTED] = "exhausted",
    [STATUS_IO] = "io",
    [STATUS_UNAVAILABLE] = "unavailable",
    [STATUS_TIMEOUT] = "timeout",
    [STATUS_FENCED] = "fenced",
    [STATUS_CORRUPT] = "corrupt",
    [STATUS_CHANGED] = "changed",
    [STATUS_END] = "end",
    [STATUS_STOPPED] = "stopped",
    [STATUS_UNSUPPORTED] = "unsupported",
};

enum status error_set(struct error *err, enum status status, const char *format, ...) {
    if (err) {
        va_list arguments;
        va_start(arguments, format);
        // Formatted aside first, as an argument may be err's own message.
        char message[ERROR_MESSAGE_MAX];
        if (vsnprintf(message, sizeof message, format, arguments) < 0) {
            message[0] = '\0';
        }
        va_end(arguments);
        memcpy(err->message, message, strlen(message) + 1);
        err->status = status;
    }
    return status;
}

enum status error_prefix(struct error *err, const char *format, ...) {
    REQUIRE(err);
    REQUIRE(err->status != STATUS_OK);
    char message[ERROR_MESSAGE_MAX];
    va_list arguments;
    va_start(arguments, format);
    if (vsnprintf(message, sizeof message, format, arguments) < 0) {
        message[0] = '\0';
    }
    va_end(arguments);
    const char *const parts[] = {": ", err->message};
    size_t used = strlen(message);
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        size_t length = strlen(parts[i]);
        size_t room = sizeof message - 1 - used;
        length = length < room ? length : room;
        memcpy(message + used, parts[i], length);
        used += length;
    }
    message[used] = '\0';
    memcpy(err->message, message, used + 1);
    return err->status;
}

enum status error_no_memory(struct error *err, size_t bytes, const char *what) {
    return error_set(err, STATUS_EXHAUSTED, "out of memory: could not get %zu bytes for %s", bytes,
                     what);
}

const char *status_name(enum status status) {
    size_t index = (size_t)status;
    if (index >= sizeof status_names / sizeof *status_names) {
        return "unknown";
    }
    return status_names[index];
}

_Noreturn void require_failed(const char *condition, const char *file, int line) {
    fprintf(stderr, "%s:%d: broken invariant: %s\n", file, line, condition);
    fflush(stderr);
    abort();
}
