// Reads a YAML file into settings by the modules' tables of options.
#ifndef FRESHET_CONFIG_CONFIG_H
#define FRESHET_CONFIG_CONFIG_H

#include "base/memory.h"
#include "config/option.h"

// Fills *settings (root->struct_bytes, zeroed by the caller) from the file. Everything the settings
// point to lives in `arena`. STATUS_INVALID: "FILE:LINE: key `a.b`: expected X, found Y; did you
// mean `c`?" (first mistake only); STATUS_NOT_FOUND or STATUS_IO when the file cannot be read.
// Environment references ${NAME} in scalars are replaced; an unset one without a default
// (${NAME:-default}) is a mistake.
CHECKED enum status config_load(const char *path, const struct option_table *root, void *settings,
                                struct arena *arena, struct error *err);
// The same from text; `name` stands for the file in messages.
CHECKED enum status config_parse(const char *name, const char *text, size_t length,
                                 const struct option_table *root, void *settings,
                                 struct arena *arena, struct error *err);
// XXH3 of the settings in canonical order with defaults filled in, secrets and reloadable settings
// left out: the identity that journals and checkpoints carry.
uint64_t config_hash(const struct option_table *root, const void *settings);
// Whether settings differ in one that is not reloadable, and the first such, as "a.b.c".
bool config_unsafe_change(const struct option_table *root, const void *before, const void *after,
                          char *ret_key, size_t size);
// Appends "a.b.c" of every reloadable setting outside of lists, separated by spaces; path: "".
void config_reloadable(const struct option_table *root, const char *path, struct buffer *into);
// Canonical "a.b.c = value" lines, secrets as "***".
void config_print(const struct option_table *root, const void *settings, struct buffer *into);
// docs/configuration.md, whole.
void config_document(const struct option_table *root, struct buffer *into);

#endif
