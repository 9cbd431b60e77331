// Paths of the mapping: "user.id", "categorical.author_id", "/request.time", ".".
//
// Segments are joined by dots: field names of records and keys of maps; a backslash before a dot or
// a backslash makes it part of the segment. Unions are passed through. A leading "/" means the
// outer record where an input has `each`; "." alone is the item itself.
#ifndef FRESHET_INGEST_PATHS_H
#define FRESHET_INGEST_PATHS_H

#include "base/memory.h"

#define PATH_SEGMENTS_MAX 64

struct path_segment {
    const char *text;
    size_t length;
};
struct path {
    const char *text; // as configured
    bool outer;       // began with "/"
    size_t count;
    struct path_segment *segments;
};

// Segments live in `arena`; text is borrowed. STATUS_INVALID: an empty path or segment, or too
// many.
CHECKED enum status path_parse(const char *text, struct arena *arena, struct path *ret_path,
                               struct error *err);

#endif
