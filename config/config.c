// Fills settings from a YAML document by the tables of options.
//
// document_load gives the text as a document of nodes with their lines; this file walks nodes and
// tables side by side. The walk goes only where a table leads, so neither deep nesting nor anchors
// that repeat can make it large. Defaults run through the same parser as the user's text.
#include "config/config.h"

#include <ctype.h>
#include <string.h>

#include "base/disk.h"
#include "config/document_load.h"
#include "config/scalar.h"

enum {
    CONFIG_BYTES_MAX = 1 << 20,
    SETTINGS_BYTES_MAX = 64 << 20, // what aliases of aliases may make of that
    PATH_TEXT_MAX = 256,
    SECTIONS_MAX = 10000
};

struct reading {
    const char *name; // of the file
    yaml_document_t document;
    struct arena *arena;
    size_t arena_bytes_max; // of arena->used_bytes
    struct error *err;
};

// Where in the file and under which key the walk stands.
struct place {
    char path[PATH_TEXT_MAX]; // "a.b[2].c"
    size_t line;              // from 1
};

static struct place place_below(const struct place *above, const char *key, size_t line) {
    struct place place = {.line = line};
    int length = snprintf(place.path, sizeof place.path, "%s%s%s", above->path,
                          above->path[0] ? "." : "", key);
    REQUIRE(length >= 0);
    return place;
}

static enum status mistake(const struct reading *reading, const struct place *place,
                           const char *expected, const char *found) {
    return error_set(reading->err, STATUS_INVALID, "%s:%zu: key `%s`: expected %s, found %s",
                     reading->name, place->line, place->path, expected, found);
}

// Levenshtein distance of short keys; long ones count as far.
static size_t key_distance(const char *a, const char *b) {
    enum { LONGEST = 48 };
    size_t row[LONGEST + 1], length_a = strlen(a), length_b = strlen(b);
    if (length_a > LONGEST || length_b > LONGEST)
        return SIZE_MAX;
    for (size_t k = 0; k <= length_b; k++)
        row[k] = k;
    for (size_t i = 1; i <= length_a; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t k = 1; k <= length_b; k++) {
            size_t change = diagonal + (a[i - 1] != b[k - 1]);
            diagonal = row[k];
            size_t insert = row[k] + 1, delete = row[k - 1] + 1;
            row[k] = change < insert ? change : insert;
            if (delete < row[k])
                row[k] = delete;
        }
    }
    return row[length_b];
}

static enum status unknown_key(const struct reading *reading, const struct place *place,
                               const struct option_table *table, const char *key) {
    const char *nearest = table->count ? table->options[0].key : "";
    size_t least = SIZE_MAX;
    for (size_t i = 0; i < table->count; i++) {
        size_t distance = key_distance(key, table->options[i].key);
        if (distance < least) {
            least = distance;
            nearest = table->options[i].key;
        }
    }
    return error_set(reading->err, STATUS_INVALID,
                     "%s:%zu: key `%s`: expected a key of `%s`, found an unknown one; did you mean "
                     "`%s`?",
                     reading->name, place->line, place->path, table->title, nearest);
}

static const char *node_kind(const yaml_node_t *node) {
    switch (node->type) {
    case YAML_SCALAR_NODE:
        return "a single value";
    case YAML_SEQUENCE_NODE:
        return "a list";
    case YAML_MAPPING_NODE:
        return "a section";
    default:
        return "nothing";
    }
}

static yaml_node_t *node_at(struct reading *reading, int index) {
    yaml_node_t *node = yaml_document_get_node(&reading->document, index);
    REQUIRE(node);
    return node;
}

static size_t line_of(const yaml_node_t *node) {
    return node->start_mark.line + 1;
}

// Replaces ${NAME} and ${NAME:-default} by the environment. *ret_missing names an unset variable.
static enum status expand(const char *text, size_t length, struct buffer *into, char *ret_missing,
                          size_t missing_size) {
    for (size_t i = 0; i < length; i++) {
        if (text[i] != '$' || i + 1 >= length || text[i + 1] != '{') {
            buffer_append_byte(into, (unsigned char)text[i]);
            continue;
        }
        const char *begin = text + i + 2;
        const char *end = memchr(begin, '}', length - i - 2);
        char name[128];
        size_t name_length = 0;
        const char *at = begin;
        for (; end && at < end && (isalnum((unsigned char)*at) || *at == '_'); at++)
            if (name_length + 1 < sizeof name)
                name[name_length++] = *at;
        name[name_length] = '\0';
        bool has_default = end && end - at >= 2 && at[0] == ':' && at[1] == '-';
        if (!end || name_length == 0 || (at != end && !has_default)) {
            snprintf(ret_missing, missing_size,
                     "a broken reference: write ${NAME} or "
                     "${NAME:-default}");
            return STATUS_INVALID;
        }
        const char *value = getenv(name);
        if (value && value[0]) {
            buffer_append(into, value, strlen(value));
        } else if (has_default) {
            buffer_append(into, at + 2, (size_t)(end - at - 2));
        } else {
            snprintf(ret_missing, missing_size, "${%s}, which is not set in the environment", name);
            return STATUS_INVALID;
        }
        i = (size_t)(end - text);
    }
    return into->failed ? STATUS_EXHAUSTED : STATUS_OK;
}

static enum status fill_text(struct reading *reading, const struct option *option,
                             const struct place *place, const char *text, size_t length,
                             void *field) {
    char expected[256];
    enum status status =
        scalar_parse(option, text, length, reading->arena, field, expected, sizeof expected);
    if (status == STATUS_EXHAUSTED)
        return error_no_memory(reading->err, length, reading->name);
    if (status == STATUS_OK)
        return STATUS_OK;
    char found[96];
    bool secret = option->type == OPTION_SECRET;
    snprintf(found, sizeof found, "'%.60s'", secret ? "***" : text);
    return mistake(reading, place, expected, found);
}

static enum status fill_scalar(struct reading *reading, const struct option *option,
                               const struct place *place, const yaml_node_t *node, void *field) {
    if (node->type != YAML_SCALAR_NODE)
        return mistake(reading, place, scalar_type_name(option->type), node_kind(node));
    struct buffer text;
    char missing[192];
    buffer_init(&text);
    enum status status = expand((const char *)node->data.scalar.value, node->data.scalar.length,
                                &text, missing, sizeof missing);
    if (status == STATUS_OK)
        buffer_append_byte(&text, '\0'); // for messages; not part of the value
    if (status == STATUS_INVALID)
        status = mistake(reading, place, scalar_type_name(option->type), missing);
    else if (status == STATUS_EXHAUSTED || text.failed)
        status = error_no_memory(reading->err, text.length, reading->name);
    else
        status = fill_text(reading, option, place, (const char *)text.data, text.length - 1, field);
    buffer_deinit(&text);
    return status;
}

// {file: PATH} or {env: NAME}; a plain text is taken as it is.
static enum status fill_secret(struct reading *reading, const struct option *option,
                               const struct place *place, const yaml_node_t *node, void *field) {
    if (node->type == YAML_SCALAR_NODE)
        return fill_scalar(reading, option, place, node, field);
    const char *wanted = "a text, {file: PATH} or {env: NAME}";
    if (node->type != YAML_MAPPING_NODE ||
        node->data.mapping.pairs.top - node->data.mapping.pairs.start != 1)
        return mistake(reading, place, wanted, node_kind(node));
    const yaml_node_t *key = node_at(reading, node->data.mapping.pairs.start->key);
    const yaml_node_t *value = node_at(reading, node->data.mapping.pairs.start->value);
    if (key->type != YAML_SCALAR_NODE || value->type != YAML_SCALAR_NODE)
        return mistake(reading, place, wanted, "something else");
    const char *how = (const char *)key->data.scalar.value;
    const char *what = (const char *)value->data.scalar.value;
    if (strcmp(how, "env") == 0) {
        const char *secret = getenv(what);
        if (!secret)
            return mistake(reading, place, "a variable that is set", what);
        return fill_text(reading, option, place, secret, strlen(secret), field);
    }
    if (strcmp(how, "file") != 0)
        return mistake(reading, place, wanted, how);
    struct buffer bytes;
    buffer_init(&bytes);
    enum status status = disk_read_all(what, &bytes, reading->err);
    if (status != STATUS_OK) {
        status =
            error_prefix(reading->err, "%s:%zu: key `%s`", reading->name, place->line, place->path);
    } else {
        while (bytes.length > 0 && strchr("\r\n", bytes.data[bytes.length - 1]))
            bytes.length--;
        status = fill_text(reading, option, place, bytes.data ? (const char *)bytes.data : "",
                           bytes.length, field);
    }
    buffer_deinit(&bytes);
    return status;
}

static enum status fill_table(struct reading *reading, const struct option_table *table,
                              const struct place *place, const yaml_node_t *node, void *settings);

static size_t list_length(const yaml_node_t *node) {
    return (size_t)(node->data.sequence.items.top - node->data.sequence.items.start);
}

static enum status fill_list(struct reading *reading, const struct option *option,
                             const struct place *place, const yaml_node_t *node, void *field) {
    if (node->type != YAML_SEQUENCE_NODE)
        return mistake(reading, place, scalar_type_name(option->type), node_kind(node));
    size_t count = list_length(node);
    size_t size = option->type == OPTION_SECTIONS ? option->table->struct_bytes
                  : option->type == OPTION_INTS   ? sizeof(int64_t)
                                                  : sizeof(const char *);
    if (count > SECTIONS_MAX)
        return mistake(reading, place, "at most 10000 entries", "more");
    if (reading->arena->used_bytes + count * size > reading->arena_bytes_max)
        return mistake(reading, place, "at most 64 MiB of settings", "more");
    unsigned char *items = arena_get(reading->arena, count ? count : 1, size);
    if (!items)
        return error_no_memory(reading->err, count * size, reading->name);
    for (size_t i = 0; i < count; i++) {
        const yaml_node_t *item = node_at(reading, node->data.sequence.items.start[i]);
        struct place below = {.line = line_of(item)};
        int length = snprintf(below.path, sizeof below.path, "%s[%zu]", place->path, i);
        REQUIRE(length >= 0);
        enum status status =
            option->type == OPTION_SECTIONS
                ? fill_table(reading, option->table, &below, item, items + i * size)
                : fill_scalar(reading, option, &below, item, items + i * size);
        if (status != STATUS_OK)
            return status;
    }
    // The three list structs are a pointer and a count alike.
    *(struct option_sections *)field = (struct option_sections){items, count};
    return STATUS_OK;
}
_Static_assert(sizeof(struct option_ints) == sizeof(struct option_sections) &&
                   sizeof(struct option_texts) == sizeof(struct option_sections) &&
                   offsetof(struct option_ints, count) == offsetof(struct option_sections, count) &&
                   offsetof(struct option_texts, count) == offsetof(struct option_sections, count),
               "lists are laid out alike");

static enum status fill_field(struct reading *reading, const struct option *option,
                              const struct place *place, const yaml_node_t *node, void *settings) {
    void *field = (unsigned char *)settings + option->offset;
    switch (option->type) {
    case OPTION_SECTION:
        return fill_table(reading, option->table, place, node, field);
    case OPTION_SECTIONS:
    case OPTION_INTS:
    case OPTION_TEXTS:
        return fill_list(reading, option, place, node, field);
    case OPTION_SECRET:
        return fill_secret(reading, option, place, node, field);
    default:
        return fill_scalar(reading, option, place, node, field);
    }
}

// "128, 64" as a list of integers or texts.
static enum status default_list(struct reading *reading, const struct option *option,
                                const struct place *place, void *field) {
    const char *text = option->default_text ? option->default_text : "";
    size_t count = 0, room = strlen(text) + 1;
    size_t size = option->type == OPTION_INTS ? sizeof(int64_t) : sizeof(const char *);
    unsigned char *items = arena_get(reading->arena, room, size);
    if (!items)
        return error_no_memory(reading->err, room * size, reading->name);
    while (*text) {
        while (*text == ' ' || *text == ',')
            text++;
        size_t length = strcspn(text, ", ");
        if (length == 0)
            break;
        enum status status =
            fill_text(reading, option, place, text, length, items + count++ * size);
        if (status != STATUS_OK)
            return status;
        text += length;
    }
    *(struct option_sections *)field = (struct option_sections){items, count};
    return STATUS_OK;
}

static enum status fill_default(struct reading *reading, const struct option *option,
                                const struct place *place, void *settings) {
    void *field = (unsigned char *)settings + option->offset;
    switch (option->type) {
    case OPTION_SECTION:
        return fill_table(reading, option->table, place, NULL, field);
    case OPTION_SECTIONS:
        *(struct option_sections *)field = (struct option_sections){0};
        return STATUS_OK;
    case OPTION_INTS:
    case OPTION_TEXTS:
        return default_list(reading, option, place, field);
    default:
        if (!option->default_text)
            return error_set(reading->err, STATUS_INVALID,
                             "%s:%zu: key `%s`: expected %s, found nothing: it is required",
                             reading->name, place->line, place->path,
                             scalar_type_name(option->type));
        return fill_text(reading, option, place, option->default_text, strlen(option->default_text),
                         field);
    }
}

static const struct option *find_option(const struct option_table *table, const char *key) {
    for (size_t i = 0; i < table->count; i++)
        if (strcmp(table->options[i].key, key) == 0)
            return &table->options[i];
    return NULL;
}

// The value of the pair that names the option, or NULL.
static const yaml_node_t *find_value(struct reading *reading, const yaml_node_t *mapping,
                                     const char *key, size_t *ret_line) {
    const yaml_node_pair_t *pair = mapping->data.mapping.pairs.start;
    for (; pair < mapping->data.mapping.pairs.top; pair++) {
        const yaml_node_t *name = node_at(reading, pair->key);
        if (strcmp((const char *)name->data.scalar.value, key) == 0) {
            *ret_line = line_of(name);
            return node_at(reading, pair->value);
        }
    }
    return NULL;
}

// Every key must be known and stand once.
static enum status check_keys(struct reading *reading, const struct option_table *table,
                              const struct place *place, const yaml_node_t *mapping) {
    const yaml_node_pair_t *start = mapping->data.mapping.pairs.start;
    for (const yaml_node_pair_t *pair = start; pair < mapping->data.mapping.pairs.top; pair++) {
        const yaml_node_t *name = node_at(reading, pair->key);
        if (name->type != YAML_SCALAR_NODE)
            return mistake(reading, place, "keys that are plain names", node_kind(name));
        const char *key = (const char *)name->data.scalar.value;
        struct place below = place_below(place, key, line_of(name));
        if (!find_option(table, key))
            return unknown_key(reading, &below, table, key);
        for (const yaml_node_pair_t *other = start; other < pair; other++)
            if (strcmp((const char *)node_at(reading, other->key)->data.scalar.value, key) == 0)
                return mistake(reading, &below, "each key once", "it a second time");
    }
    return STATUS_OK;
}

static bool is_null(const yaml_node_t *node) {
    return node->type == YAML_SCALAR_NODE && node->data.scalar.length == 0 &&
           node->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
}

// node NULL: all defaults.
static enum status fill_table(struct reading *reading, const struct option_table *table,
                              const struct place *place, const yaml_node_t *node, void *settings) {
    enum status status = STATUS_OK;
    if (node && is_null(node))
        node = NULL; // "section:" with nothing behind it
    if (node && node->type != YAML_MAPPING_NODE)
        return mistake(reading, place, "a section", node_kind(node));
    if (node)
        status = check_keys(reading, table, place, node);
    for (size_t i = 0; status == STATUS_OK && i < table->count; i++) {
        const struct option *option = &table->options[i];
        size_t line = node ? line_of(node) : place->line;
        const yaml_node_t *value = node ? find_value(reading, node, option->key, &line) : NULL;
        struct place below = place_below(place, option->key, line);
        status = value ? fill_field(reading, option, &below, value, settings)
                       : fill_default(reading, option, &below, settings);
    }
    return status;
}

enum status config_parse(const char *name, const char *text, size_t length,
                         const struct option_table *root, void *settings, struct arena *arena,
                         struct error *err) {
    if (length > CONFIG_BYTES_MAX)
        return error_set(err, STATUS_INVALID, "%s:1: expected at most 1 MiB, found %zu bytes", name,
                         length);
    struct reading reading = {.name = name,
                              .arena = arena,
                              .arena_bytes_max = arena->used_bytes + SETTINGS_BYTES_MAX,
                              .err = err};
    enum status status = document_load(name, text, length, &reading.document, err);
    if (status != STATUS_OK)
        return status;
    struct place top = {.line = 1};
    status =
        fill_table(&reading, root, &top, yaml_document_get_root_node(&reading.document), settings);
    yaml_document_delete(&reading.document);
    return status;
}

enum status config_load(const char *path, const struct option_table *root, void *settings,
                        struct arena *arena, struct error *err) {
    struct buffer text;
    buffer_init(&text);
    enum status status = disk_read_all(path, &text, err);
    if (status == STATUS_OK)
        status = config_parse(path, text.data ? (const char *)text.data : "", text.length, root,
                              settings, arena, err);
    buffer_deinit(&text);
    return status;
}
