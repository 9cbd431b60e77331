// The tables of options: the only source of every setting's type, range, default and help.
//
// Each module owns a settings struct and one `struct option_table` that describes it. The reader
// (config.h) fills the struct from YAML by these tables, refuses what does not fit with file, line,
// key, what was expected and the nearest known key, and docs/configuration.md is generated from
// them.
#ifndef FRESHET_CONFIG_OPTION_H
#define FRESHET_CONFIG_OPTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum option_type {
    OPTION_BOOL,     // bool
    OPTION_INT,      // int64_t
    OPTION_REAL,     // double; NaN and infinity refused ("off" gives INFINITY where maximum is
                     // INFINITY)
    OPTION_TEXT,     // const char *
    OPTION_SECRET,   // const char *; may be given as {file: PATH} or {env: NAME}; never printed
    OPTION_CHOICE,   // int: index into choices
    OPTION_DURATION, // int64_t milliseconds; "250ms", "10s", "5m", "2h", "7d"
    OPTION_BYTES,    // int64_t bytes; "64KiB", "512MiB", "2GiB", or a plain number
    OPTION_INTS,     // struct option_ints
    OPTION_TEXTS,    // struct option_texts
    OPTION_SECTION,  // nested struct at offset, described by `table`
    OPTION_SECTIONS, // struct option_sections: a YAML list of such sections
};

struct option_ints {
    int64_t *items;
    size_t count;
};
struct option_texts {
    const char **items;
    size_t count;
};
struct option_sections {
    void *items;
    size_t count;
}; // items: array of table->struct_bytes each

struct option {
    const char *key; // as written in YAML, snake_case, units in the name where not typed
    enum option_type type;
    size_t offset;            // offsetof the field in the settings struct
    const char *default_text; // parsed like the user's text; NULL = required (scalars) or empty
    double minimum, maximum;  // INT, REAL, DURATION (ms), BYTES and the items of INTS; both 0 = any
    const char *const *choices;       // CHOICE: NULL-terminated
    const struct option_table *table; // SECTION, SECTIONS
    bool reloadable;                  // safe to change by SIGHUP
    const char *help;                 // one or two full sentences
};

struct option_table {
    const char *title; // heading in the documentation
    const char *help;  // a paragraph on the section
    size_t struct_bytes;
    const struct option *options;
    size_t count;
};

#endif
