// Domains by name: text -> index, in order of first appearance.
//
// Index 0 is `unknown`: it serves whatever has no index of its own (no text, text that is not UTF-8
// or is longer than DOMAINS_NAME_MAX bytes, and every domain that comes after the table is full).
// Indices never change once given; they are part of the trainer's state and are published by name.
#ifndef FRESHET_TRAINER_DOMAINS_H
#define FRESHET_TRAINER_DOMAINS_H

#include "base/memory.h"
#include "base/wire.h"

#define DOMAINS_NAME_MAX 256

struct domains;

// Indices 1 .. known_max can be given. known_max may be 0.
CHECKED enum status domains_new(size_t known_max, struct domains **ret_domains, struct error *err);
void domains_free(struct domains *domains); // NULL is fine
// The text's index, given now if it has none and there is room; *ret_added tells that it was.
CHECKED enum status domains_index(struct domains *domains, const char *text, size_t length,
                                  uint32_t *ret_index, bool *ret_added, struct error *err);
size_t domains_count(const struct domains *domains); // given so far, `unknown` not counted
// Name of index 0 .. domains_count (0 gives "unknown"); NUL-terminated, borrowed until free.
const char *domains_name(const struct domains *domains, uint32_t index);
// Texts seen that found the table full or were not usable, once each time they were asked for.
uint64_t domains_refused(const struct domains *domains);
// Appends the names as a JSON array, index 1 first.
void domains_json(const struct domains *domains, struct buffer *into);
void domains_save(const struct domains *domains, struct buffer *into);
// Into a new, empty table. STATUS_CORRUPT.
CHECKED enum status domains_load(struct domains *domains, struct wire *in, struct error *err);

#endif
