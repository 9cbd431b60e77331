// The two sections of a configuration that a decoder needs, for tests, fuzz targets and benches.
#ifndef FRESHET_TESTS_INGEST_DECODE_ROOT_H
#define FRESHET_TESTS_INGEST_DECODE_ROOT_H

#include <stddef.h>
#include <string.h>

#include "config/config.h"
#include "ingest/ingest.h"

struct decode_root {
    struct ingest_settings ingest;
    struct spec data;
};
static const struct option decode_root_rows[] = {
    {.key = "ingest",
     .type = OPTION_SECTION,
     .offset = offsetof(struct decode_root, ingest),
     .table = &ingest_options,
     .help = "Ingest."},
    {.key = "data",
     .type = OPTION_SECTION,
     .offset = offsetof(struct decode_root, data),
     .table = &spec_options,
     .help = "Data."},
};
static const struct option_table decode_root_options = {.title = "test",
                                                        .help = "Test.",
                                                        .struct_bytes = sizeof(struct decode_root),
                                                        .options = decode_root_rows,
                                                        .count = 2};

// `name` stands in messages; texts lie in the arena. As config_parse and spec_check.
static inline enum status decode_root_parse(const char *name, const char *yaml, struct arena *arena,
                                            struct decode_root *root, struct error *err) {
    *root = (struct decode_root){0};
    enum status status =
        config_parse(name, yaml, strlen(yaml), &decode_root_options, root, arena, err);
    return status == STATUS_OK ? spec_check(&root->data, err) : status;
}

#endif
