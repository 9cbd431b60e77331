// Which series a reader asks for, by name and labels; and label texts as JSON.
#ifndef FRESHET_MONITOR_SELECT_H
#define FRESHET_MONITOR_SELECT_H

#include "base/memory.h"

enum { SELECT_WHERE_MAX = 8 };

// A reader's wish, taken apart once.
struct select {
    const char *names; // patterns as for fnmatch, separated by commas; NULL or "" takes all
    struct {
        char label[512]; // KEY="escaped value"
        size_t key_length;
    } where[SELECT_WHERE_MAX];
    size_t where_count;
    const char *last_name; // the name met last, and whether it is wanted: names come in a row
    bool last_wanted;
};
// where: "KEY:VALUE,...", or NULL; what is no such text, or beyond SELECT_WHERE_MAX, is ignored.
void select_init(struct select *select, const char *names, const char *where);
// Whether a series is wanted: its name fits, and each KEY that its labels have has its VALUE. Names
// are compared by their address too: they live as long as the selection.
bool select_wants(struct select *select, const char *name, const char *labels);
// Whether a label text (`task="click",domain="1"`) has this label with this value.
bool select_has(const char *labels, const char *key, const char *value);
// The label text as a JSON object.
void select_labels_json(const char *labels, struct buffer *into);

#endif
