// Walks label texts as metrics_label makes them: key="value" with \", \\ and \n escaped.
#include "monitor/select.h"

#include <fnmatch.h>
#include <string.h>

#include "base/metrics.h"

struct label {
    const char *key, *value; // not ended
    size_t key_length, value_length;
};

// The label at *at, which moves behind it; false at the end.
static bool label_next(const char **at, struct label *ret_label) {
    const char *equals = strchr(*at, '=');
    if (!equals || equals[1] != '"')
        return false;
    ret_label->key = *at;
    ret_label->key_length = (size_t)(equals - *at);
    const char *end = equals + 2;
    while (*end && *end != '"')
        end += *end == '\\' && end[1] ? 2 : 1;
    ret_label->value = equals + 2;
    ret_label->value_length = (size_t)(end - equals - 2);
    *at = *end ? end + 1 : end;
    if (**at == ',')
        ++*at;
    return true;
}

static bool name_fits(const char *name, const char *patterns) {
    char pattern[128];
    if (!patterns || !*patterns)
        return true;
    for (const char *at = patterns; *at;) {
        size_t length = strcspn(at, ",");
        if (length < sizeof pattern) {
            memcpy(pattern, at, length);
            pattern[length] = '\0';
            if (fnmatch(pattern, name, 0) == 0)
                return true;
        }
        at += length + (at[length] == ',');
    }
    return false;
}

// Whether the labels have the key with another value than that of `wanted` (KEY="escaped").
static bool conflicts(const char *labels, const char *wanted, size_t key_length) {
    struct label label;
    while (label_next(&labels, &label)) {
        if (label.key_length != key_length || memcmp(label.key, wanted, key_length) != 0)
            continue;
        const char *value = wanted + key_length + 2;
        size_t length = strlen(value) - 1; // without the closing quote
        return label.value_length != length || memcmp(label.value, value, length) != 0;
    }
    return false;
}

bool select_has(const char *labels, const char *key, const char *value) {
    char wanted[512] = "";
    struct label label;
    size_t key_length = strlen(key);
    metrics_label(wanted, sizeof wanted, key, value);
    for (const char *at = labels; label_next(&at, &label);)
        if (label.key_length == key_length && memcmp(label.key, key, key_length) == 0)
            return !conflicts(labels, wanted, key_length);
    return false;
}

void select_init(struct select *select, const char *names, const char *where) {
    char part[480];
    *select = (struct select){.names = names};
    for (const char *at = where ? where : ""; *at;) {
        size_t length = strcspn(at, ",");
        size_t kept = length < sizeof part ? length : sizeof part - 1;
        memcpy(part, at, kept);
        part[kept] = '\0';
        at += length + (at[length] == ',');
        char *colon = strchr(part, ':');
        if (!colon || select->where_count == SELECT_WHERE_MAX)
            continue;
        *colon = '\0';
        char *label = select->where[select->where_count].label;
        metrics_label(label, sizeof select->where[0].label, part, colon + 1);
        select->where[select->where_count].key_length = strlen(part);
        if (label[0])
            select->where_count++;
    }
}

bool select_wants(struct select *select, const char *name, const char *labels) {
    if (name != select->last_name) {
        select->last_name = name;
        select->last_wanted = name_fits(name, select->names);
    }
    if (!select->last_wanted)
        return false;
    for (size_t i = 0; i < select->where_count; i++)
        if (conflicts(labels, select->where[i].label, select->where[i].key_length))
            return false;
    return true;
}

// The escapes of a label are JSON's too; other control characters are not allowed there.
void select_labels_json(const char *labels, struct buffer *into) {
    struct label label;
    const char *comma = "";
    buffer_append_byte(into, '{');
    while (label_next(&labels, &label)) {
        buffer_append_text(into, "%s\"%.*s\":\"", comma, (int)label.key_length, label.key);
        for (size_t i = 0; i < label.value_length; i++) {
            unsigned char c = (unsigned char)label.value[i];
            if (c < 0x20)
                buffer_append_text(into, "\\u%04x", c);
            else
                buffer_append_byte(into, c);
        }
        buffer_append_byte(into, '"');
        comma = ",";
    }
    buffer_append_byte(into, '}');
}
