// Splits the mapping's paths into segments.
#include "ingest/paths.h"

#include <string.h>

enum status path_parse(const char *text, struct arena *arena, struct path *ret_path,
                       struct error *err) {
    struct path path = {.text = text, .outer = text[0] == '/'};
    const char *at = text + path.outer;
    if (strcmp(at, ".") == 0) {
        *ret_path = path;
        return STATUS_OK;
    }
    size_t length = strlen(at);
    path.segments = arena_get(arena, PATH_SEGMENTS_MAX, sizeof(*path.segments));
    char *copy = arena_copy_string(arena, at, length);
    if (path.segments == NULL || copy == NULL)
        return error_no_memory(err, length, "a path");
    size_t used = 0;
    size_t begin = 0;
    for (size_t i = 0; i <= length; i++) {
        if (at[i] == '\\' && (at[i + 1] == '.' || at[i + 1] == '\\')) {
            copy[used++] = at[++i];
            continue;
        }
        if (at[i] != '.' && at[i] != '\0') {
            copy[used++] = at[i];
            continue;
        }
        if (used == begin)
            return error_set(err, STATUS_INVALID, "path `%s` has an empty segment", text);
        if (path.count == PATH_SEGMENTS_MAX)
            return error_set(err, STATUS_INVALID, "path `%.64s...` has more than %d segments", text,
                             PATH_SEGMENTS_MAX);
        path.segments[path.count++] =
            (struct path_segment){.text = copy + begin, .length = used - begin};
        begin = used;
    }
    *ret_path = path;
    return STATUS_OK;
}
