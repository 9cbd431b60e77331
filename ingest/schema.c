// Reads a schema's JSON into the graph of types, names resolved, limits kept.
#include "ingest/schema.h"

#include <jansson.h>
#include <string.h>

#include "base/disk.h"

#define NAME_MAX_BYTES 512

const char *const schema_kind_names[] = {
    "null",   "boolean", "int",  "long",  "float", "double", "bytes",
    "string", "fixed",   "enum", "array", "map",   "record", "union",
};

struct parser {
    struct schema *schema;
    struct schema_type *named[SCHEMA_NAMED_MAX];
    size_t named_count;
    size_t depth;
    struct error *err;
};

static enum status type_parse(struct parser *parser, const json_t *json, const char *space,
                              const struct schema_type **ret_type);

static void *parser_get(struct parser *parser, size_t count, size_t size, enum status *status) {
    void *block = arena_get(&parser->schema->arena, count > 0 ? count : 1, size);
    if (block == NULL)
        *status = error_no_memory(parser->err, count * size, "a schema");
    return block;
}

static struct schema_type *type_new(struct parser *parser, enum schema_kind kind,
                                    enum status *status) {
    struct schema_type *type = parser_get(parser, 1, sizeof(*type), status);
    if (type == NULL)
        return NULL;
    type->kind = kind;
    type->number = parser->schema->type_count++;
    type->encoded_bytes = kind == SCHEMA_NULL      ? 0
                          : kind == SCHEMA_BOOLEAN ? 1
                          : kind == SCHEMA_FLOAT   ? 4
                          : kind == SCHEMA_DOUBLE  ? 8
                                                   : SCHEMA_SIZE_VARIES;
    return type;
}

// The names of kinds that a schema may write: SCHEMA_UNION never is. -1 = a reference to a name.
static int kind_of(const char *text) {
    for (int kind = SCHEMA_NULL; kind < SCHEMA_UNION; kind++)
        if (strcmp(text, schema_kind_names[kind]) == 0)
            return kind;
    return strcmp(text, "error") == 0 ? (int)SCHEMA_RECORD : -1;
}

static bool name_valid(const char *name, bool dots) {
    bool first = true;
    if (strlen(name) >= NAME_MAX_BYTES)
        return false;
    for (; *name != '\0'; name++) {
        bool letter =
            (*name >= 'a' && *name <= 'z') || (*name >= 'A' && *name <= 'Z') || *name == '_';
        if (*name == '.' && dots && !first) {
            first = true;
            continue;
        }
        if (!letter && (first || *name < '0' || *name > '9'))
            return false;
        first = false;
    }
    return !first;
}

// The full name of `name` within `space`.
static enum status name_full(struct parser *parser, const char *name, const char *space,
                             const char **ret_full) {
    char text[2 * NAME_MAX_BYTES];
    int length;
    if (!name_valid(name, true))
        return error_set(parser->err, STATUS_INVALID, "`%.64s` is not an Avro name", name);
    if (strchr(name, '.') != NULL || space[0] == '\0')
        length = snprintf(text, sizeof(text), "%s", name);
    else
        length = snprintf(text, sizeof(text), "%s.%s", space, name);
    if (length < 0 || (size_t)length >= NAME_MAX_BYTES)
        return error_set(parser->err, STATUS_INVALID, "name `%.64s...` is too long", text);
    *ret_full = arena_copy_string(&parser->schema->arena, text, (size_t)length);
    if (*ret_full == NULL)
        return error_no_memory(parser->err, (size_t)length, "a schema");
    return STATUS_OK;
}

static struct schema_type *named_find(struct parser *parser, const char *full) {
    for (size_t i = 0; i < parser->named_count; i++)
        if (strcmp(parser->named[i]->name, full) == 0)
            return parser->named[i];
    return NULL;
}

static enum status reference_parse(struct parser *parser, const char *name, const char *space,
                                   const struct schema_type **ret_type) {
    const char *full;
    enum status status = name_full(parser, name, space, &full);
    if (status != STATUS_OK)
        return status;
    const struct schema_type *type = named_find(parser, full);
    if (type == NULL)
        type = named_find(parser, name);
    if (type == NULL)
        return error_set(parser->err, STATUS_INVALID, "type `%.64s` is not defined", name);
    *ret_type = type;
    return STATUS_OK;
}

// Gives `type` the full name that `json` says and enters it; *ret_space is where its fields' names
// live.
static enum status type_enter(struct parser *parser, struct schema_type *type, const json_t *json,
                              const char *space, const char **ret_space) {
    const char *name = json_string_value(json_object_get(json, "name"));
    const json_t *own_space = json_object_get(json, "namespace");
    const char *kind = schema_kind_names[type->kind];
    if (name == NULL)
        return error_set(parser->err, STATUS_INVALID, "a type `%s` has no name", kind);
    if (own_space != NULL && !json_is_null(own_space)) {
        space = json_string_value(own_space);
        if (space == NULL || (space[0] != '\0' && !name_valid(space, true)))
            return error_set(parser->err, STATUS_INVALID, "%s `%.64s` has no valid namespace", kind,
                             name);
    }
    enum status status = name_full(parser, name, space, &type->name);
    if (status != STATUS_OK)
        return status;
    if (kind_of(type->name) >= 0 || named_find(parser, type->name) != NULL)
        return error_set(parser->err, STATUS_INVALID, "type `%.64s` is defined twice", type->name);
    if (parser->named_count == SCHEMA_NAMED_MAX)
        return error_set(parser->err, STATUS_INVALID, "more than %d named types", SCHEMA_NAMED_MAX);
    parser->named[parser->named_count++] = type;
    const char *dot = strrchr(type->name, '.');
    *ret_space = arena_copy_string(&parser->schema->arena, type->name,
                                   dot == NULL ? 0 : (size_t)(dot - type->name));
    return *ret_space == NULL ? error_no_memory(parser->err, 1, "a schema") : STATUS_OK;
}

static enum status members_check(struct parser *parser, const struct schema_type *type,
                                 const json_t *array, const char *what) {
    if (!json_is_array(array))
        return error_set(parser->err, STATUS_INVALID, "%s `%.64s` has no list of %s",
                         schema_kind_names[type->kind], type->name == NULL ? "" : type->name, what);
    if (json_array_size(array) > SCHEMA_MEMBERS_MAX)
        return error_set(parser->err, STATUS_INVALID, "more than %d %s", SCHEMA_MEMBERS_MAX, what);
    return STATUS_OK;
}

// How a record is skipped. Fields without bytes vanish, so that skipping costs no more than its
// bytes.
static enum status steps_make(struct parser *parser, struct schema_type *type) {
    enum status status = STATUS_OK;
    type->steps = parser_get(parser, type->count, sizeof(*type->steps), &status);
    for (size_t i = 0; status == STATUS_OK && i < type->count; i++) {
        const struct schema_type *field = type->fields[i].type;
        struct schema_step *last = type->step_count > 0 ? &type->steps[type->step_count - 1] : NULL;
        if (field->encoded_bytes == 0)
            continue;
        bool joins = field->encoded_bytes > 0 && last != NULL && last->type == NULL &&
                     last->bytes <= INT64_MAX - field->encoded_bytes;
        if (joins)
            last->bytes += field->encoded_bytes;
        else
            type->steps[type->step_count++] = (struct schema_step){
                .bytes = field->encoded_bytes, .type = field->encoded_bytes < 0 ? field : NULL};
    }
    return status;
}

static enum status record_parse(struct parser *parser, struct schema_type *type, const json_t *json,
                                const char *space) {
    const json_t *fields = json_object_get(json, "fields");
    enum status status = members_check(parser, type, fields, "fields");
    if (status != STATUS_OK)
        return status;
    size_t count = json_array_size(fields);
    int64_t bytes = 0;
    type->fields = parser_get(parser, count, sizeof(*type->fields), &status);
    for (size_t i = 0; status == STATUS_OK && i < count; i++) {
        const json_t *field = json_array_get(fields, i);
        const char *name = json_string_value(json_object_get(field, "name"));
        const json_t *field_type = json_object_get(field, "type");
        if (name == NULL || !name_valid(name, false) || field_type == NULL)
            return error_set(parser->err, STATUS_INVALID, "field %zu of `%.64s` has no %s", i,
                             type->name, field_type == NULL ? "type" : "valid name");
        for (size_t j = 0; j < i; j++)
            if (strcmp(type->fields[j].name, name) == 0)
                return error_set(parser->err, STATUS_INVALID, "`%.64s` has two fields `%.64s`",
                                 type->name, name);
        type->fields[i].name = arena_copy_string(&parser->schema->arena, name, strlen(name));
        if (type->fields[i].name == NULL)
            return error_no_memory(parser->err, strlen(name), "a schema");
        status = type_parse(parser, field_type, space, &type->fields[i].type);
        if (status != STATUS_OK)
            return status;
        int64_t more = type->fields[i].type->encoded_bytes;
        bool varies = bytes < 0 || more < 0 || bytes > INT64_MAX - more;
        bytes = varies ? SCHEMA_SIZE_VARIES : bytes + more;
        type->count = i + 1;
    }
    type->encoded_bytes = bytes;
    return status == STATUS_OK ? steps_make(parser, type) : status;
}

static enum status enum_parse(struct parser *parser, struct schema_type *type, const json_t *json) {
    const json_t *symbols = json_object_get(json, "symbols");
    enum status status = members_check(parser, type, symbols, "symbols");
    if (status != STATUS_OK)
        return status;
    size_t count = json_array_size(symbols);
    type->symbols = parser_get(parser, count, sizeof(*type->symbols), &status);
    for (size_t i = 0; status == STATUS_OK && i < count; i++) {
        const char *text = json_string_value(json_array_get(symbols, i));
        if (text == NULL || !name_valid(text, false))
            return error_set(parser->err, STATUS_INVALID, "symbol %zu of `%.64s` is not a name", i,
                             type->name);
        for (size_t j = 0; j < i; j++)
            if (strcmp(type->symbols[j].text, text) == 0)
                return error_set(parser->err, STATUS_INVALID, "`%.64s` has two symbols `%.64s`",
                                 type->name, text);
        type->symbols[i].length = strlen(text);
        type->symbols[i].text =
            arena_copy_string(&parser->schema->arena, text, type->symbols[i].length);
        if (type->symbols[i].text == NULL)
            return error_no_memory(parser->err, strlen(text), "a schema");
        type->count = i + 1;
    }
    return status;
}

static enum status union_parse(struct parser *parser, const json_t *json, const char *space,
                               const struct schema_type **ret_type) {
    enum status status = STATUS_OK;
    struct schema_type *type = type_new(parser, SCHEMA_UNION, &status);
    if (type == NULL)
        return status;
    status = members_check(parser, type, json, "branches");
    if (status != STATUS_OK)
        return status;
    size_t count = json_array_size(json);
    type->branches = parser_get(parser, count, sizeof(*type->branches), &status);
    for (size_t i = 0; status == STATUS_OK && i < count; i++) {
        const struct schema_type *branch = NULL;
        status = type_parse(parser, json_array_get(json, i), space, &branch);
        if (status != STATUS_OK)
            return status;
        bool taken = branch->kind == SCHEMA_UNION;
        for (size_t j = 0; j < i && !taken; j++)
            taken = type->branches[j] == branch ||
                    (branch->name == NULL && type->branches[j]->kind == branch->kind);
        if (taken)
            return error_set(parser->err, STATUS_INVALID, "a union holds %s",
                             branch->kind == SCHEMA_UNION ? "a union" : "one type twice");
        type->branches[i] = branch;
        type->count = i + 1;
    }
    *ret_type = type;
    return status;
}

static enum schema_logical logical_of(const json_t *json, enum schema_kind kind) {
    static const struct {
        const char *name;
        enum schema_kind kind;
        enum schema_logical logical;
    } known[] = {
        {"timestamp-millis", SCHEMA_LONG, SCHEMA_MILLIS},
        {"timestamp-micros", SCHEMA_LONG, SCHEMA_MICROS},
        {"timestamp-nanos", SCHEMA_LONG, SCHEMA_NANOS},
        {"local-timestamp-millis", SCHEMA_LONG, SCHEMA_MILLIS},
        {"local-timestamp-micros", SCHEMA_LONG, SCHEMA_MICROS},
        {"local-timestamp-nanos", SCHEMA_LONG, SCHEMA_NANOS},
        {"date", SCHEMA_INT, SCHEMA_DATE},
    };
    const char *name = json_string_value(json_object_get(json, "logicalType"));
    for (size_t i = 0; name != NULL && i < sizeof(known) / sizeof(known[0]); i++)
        if (kind == known[i].kind && strcmp(name, known[i].name) == 0)
            return known[i].logical;
    return SCHEMA_PLAIN; // an unknown logical type is to be ignored, says the specification
}

static enum status fixed_parse(struct parser *parser, struct schema_type *type,
                               const json_t *json) {
    const json_t *size = json_object_get(json, "size");
    if (!json_is_integer(size) || json_integer_value(size) < 0 ||
        json_integer_value(size) > INT32_MAX)
        return error_set(parser->err, STATUS_INVALID, "fixed `%.64s` has no valid size",
                         type->name);
    type->size = json_integer_value(size);
    type->encoded_bytes = type->size;
    return STATUS_OK;
}

static enum status object_parse(struct parser *parser, const json_t *json, const char *space,
                                const struct schema_type **ret_type) {
    const json_t *inner = json_object_get(json, "type");
    const char *text = json_string_value(inner);
    enum status status = STATUS_OK;
    if (text == NULL)
        return type_parse(parser, inner, space, ret_type);
    int kind = kind_of(text);
    if (kind < 0)
        return reference_parse(parser, text, space, ret_type);
    struct schema_type *type = type_new(parser, (enum schema_kind)kind, &status);
    if (type == NULL)
        return status;
    type->logical = logical_of(json, type->kind);
    if (type->kind == SCHEMA_RECORD || type->kind == SCHEMA_ENUM || type->kind == SCHEMA_FIXED)
        status = type_enter(parser, type, json, space, &space);
    if (status != STATUS_OK)
        return status;
    if (type->kind == SCHEMA_RECORD)
        status = record_parse(parser, type, json, space);
    else if (type->kind == SCHEMA_ENUM)
        status = enum_parse(parser, type, json);
    else if (type->kind == SCHEMA_FIXED)
        status = fixed_parse(parser, type, json);
    else if (type->kind == SCHEMA_ARRAY)
        status = type_parse(parser, json_object_get(json, "items"), space, &type->items);
    else if (type->kind == SCHEMA_MAP)
        status = type_parse(parser, json_object_get(json, "values"), space, &type->items);
    *ret_type = type;
    return status;
}

static enum status type_parse(struct parser *parser, const json_t *json, const char *space,
                              const struct schema_type **ret_type) {
    enum status status = STATUS_OK;
    if (parser->depth == SCHEMA_DEPTH_MAX)
        return error_set(parser->err, STATUS_INVALID, "nested deeper than %d", SCHEMA_DEPTH_MAX);
    parser->depth++;
    if (json_is_string(json)) {
        int kind = kind_of(json_string_value(json));
        if (kind >= 0 && kind <= SCHEMA_STRING)
            *ret_type = type_new(parser, (enum schema_kind)kind, &status);
        else
            status = reference_parse(parser, json_string_value(json), space, ret_type);
    } else if (json_is_array(json)) {
        status = union_parse(parser, json, space, ret_type);
    } else if (json_is_object(json)) {
        status = object_parse(parser, json, space, ret_type);
    } else {
        status = error_set(parser->err, STATUS_INVALID, "a type is missing or of an unknown form");
    }
    parser->depth--;
    return status;
}

enum status schema_parse(const char *text, size_t length, struct schema **ret_schema,
                         struct error *err) {
    struct parser *parser = NULL;
    json_t *json = NULL;
    json_error_t json_error;
    enum status status = STATUS_OK;
    struct error reason = {0};
    struct schema *schema = memory_new(1, sizeof(*schema));
    if (schema == NULL)
        return error_no_memory(err, sizeof(*schema), "a schema");
    arena_init(&schema->arena, 16384);
    if (length > SCHEMA_TEXT_MAX) {
        status = error_set(&reason, STATUS_INVALID, "longer than %d bytes", SCHEMA_TEXT_MAX);
        goto done;
    }
    parser = memory_new(1, sizeof(*parser));
    if (parser == NULL) {
        status = error_no_memory(&reason, sizeof(*parser), "a schema");
        goto done;
    }
    json = json_loadb(text, length, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &json_error);
    if (json == NULL) {
        status =
            error_set(&reason, STATUS_INVALID, "line %d: %s", json_error.line, json_error.text);
        goto done;
    }
    parser->schema = schema;
    parser->err = &reason;
    status = type_parse(parser, json, "", &schema->root);
done:
    json_decref(json);
    memory_free(parser);
    if (status != STATUS_OK) {
        schema_free(schema);
        return error_set(err, status, "could not read the Avro schema: %s", reason.message);
    }
    *ret_schema = schema;
    return STATUS_OK;
}

enum status schema_load(const char *path, struct schema **ret_schema, struct error *err) {
    struct buffer text;
    struct error reason = {0};
    buffer_init(&text);
    enum status status = disk_read_all(path, &text, &reason);
    if (status == STATUS_OK) {
        status = schema_parse((const char *)text.data, text.length, ret_schema, &reason);
        if (status != STATUS_OK)
            status = error_prefix(&reason, "%s", path);
    }
    buffer_deinit(&text);
    return status == STATUS_OK ? status : error_set(err, status, "%s", reason.message);
}

void schema_free(struct schema *schema) {
    if (schema == NULL)
        return;
    arena_deinit(&schema->arena);
    memory_free(schema);
}
