// The lines of freshet inspect; see inspect.h.
#include "cli/inspect.h"

#include <inttypes.h>
#include <string.h>

#include <jansson.h>

#include "ingest/dead_letter.h"
#include "ingest/decoder.h"
#include "record/redis_layout.h"
#include "record/weights.h"
#include "scorer/mirror.h"
#include "stage/checkpoint.h"
#include "stage/journal.h"

struct inspect_printer {
    const struct settings *settings;
    enum inspect_kind kind;
    struct example_shape shape;
    struct decoder *decoder; // events only
    uint32_t input;
    json_t *events; // of the record being printed
};

enum status inspect_printer_new(const struct settings *settings, enum inspect_kind kind,
                                const char *topic, struct inspect_printer **ret_printer,
                                struct error *err) {
    struct inspect_printer *printer = memory_new(1, sizeof *printer);
    if (!printer)
        return error_no_memory(err, sizeof *printer, "printing");
    printer->settings = settings;
    printer->kind = kind;
    printer->shape = example_shape_of(&settings->data);
    enum status status = STATUS_OK;
    if (kind == INSPECT_EVENTS) {
        size_t count = settings->ingest.inputs.count, i = 0;
        while (i < count && strcmp(ingest_input_at(&settings->ingest, i)->topic, topic) != 0)
            i++;
        printer->input = (uint32_t)i;
        status = i == count
                     ? error_set(err, STATUS_NOT_FOUND,
                                 "could not print %s: the configuration names no such topic", topic)
                     : decoder_new(&settings->ingest, &settings->data, &clock_system,
                                   &printer->decoder, err);
    }
    if (status == STATUS_OK)
        *ret_printer = printer;
    else
        inspect_printer_free(printer);
    return status;
}

void inspect_printer_free(struct inspect_printer *printer) {
    if (!printer)
        return;
    decoder_free(printer->decoder);
    json_decref(printer->events);
    memory_free(printer);
}

// Takes the object. False when memory is out or the stream refuses.
static bool print_line(json_t *object, FILE *stream) {
    char *text = object ? json_dumps(object, JSON_COMPACT | JSON_REAL_PRECISION(9)) : NULL;
    bool good = text && fprintf(stream, "%s\n", text) > 0;
    free(text);
    json_decref(object);
    return good;
}

static json_t *hexadecimal(uint64_t value) {
    char text[24];
    snprintf(text, sizeof text, "%016" PRIx64, value);
    return json_string(text);
}

// Any bytes, two digits each.
static json_t *hexadecimal_bytes(const unsigned char *bytes, size_t length) {
    struct buffer text;
    buffer_init(&text);
    for (size_t i = 0; i < length; i++)
        buffer_append_text(&text, "%02x", bytes[i]);
    json_t *json = text.failed ? NULL : json_stringn((const char *)text.data, text.length);
    buffer_deinit(&text);
    return json ? json : json_string("");
}

// UTF-8 as it is, anything else as its length.
static json_t *bytes_json(const void *bytes, size_t length) {
    json_t *text = bytes ? json_stringn(bytes, length) : json_null();
    return text ? text : json_sprintf("%zu bytes", length);
}

static void set(json_t *object, const char *key, json_t *value) {
    if (json_object_set_new(object, key, value ? value : json_null()) != 0)
        json_object_clear(object); // memory is out: an empty line tells
}

static json_t *floats_json(const unsigned char *floats, size_t count, uint32_t mask) {
    json_t *array = json_array();
    for (size_t i = 0; i < count; i++) {
        float value;
        memcpy(&value, floats + i * sizeof value, sizeof value);
        json_array_append_new(array, mask >> i & 1 ? json_real((double)value) : json_null());
    }
    return array;
}

static void example_json(const struct inspect_printer *printer, const struct example *example,
                         json_t *line) {
    char kinds[48] = "";
    static const char *const names[] = {"score", "learn", "final", "last"};
    for (int i = 0; i < 4; i++)
        if (example->kind >> i & 1)
            snprintf(kinds + strlen(kinds), sizeof kinds - strlen(kinds), "%s%s",
                     kinds[0] ? "+" : "", names[i]);
    json_t *ids = json_array();
    for (size_t i = 0; i < printer->shape.categorical; i++) {
        uint64_t id;
        memcpy(&id, example->ids + i * sizeof id, sizeof id);
        json_array_append_new(ids, hexadecimal(id));
    }
    set(line, "kind", json_string(kinds));
    set(line, "impression", json_integer((json_int_t)example->impression));
    set(line, "event_time_ms", json_integer(example->event_time_ms));
    set(line, "domain", bytes_json(example->domain, example->domain_length));
    set(line, "user", hexadecimal(example->user));
    if (example->mask)
        set(line, "labels", floats_json(example->labels, printer->shape.tasks, example->mask));
    set(line, "ids", ids);
}

static void weights_json(const struct weights *weights, json_t *line) {
    static const char *const names[] = {"open", "rows", "tensor", "tombstones", "slice", "commit"};
    set(line, "kind", json_string(names[weights->kind]));
    set(line, "lineage", hexadecimal(weights->lineage));
    set(line, "version", json_integer((json_int_t)weights->version));
    if (weights->kind == WEIGHTS_OPEN) {
        set(line, "watermark_ms", json_integer(weights->watermark_ms));
        set(line, "measures", json_loadb(weights->measures, weights->measures_length, 0, NULL));
    } else if (weights->kind == WEIGHTS_ROWS || weights->kind == WEIGHTS_TOMBSTONES) {
        set(line, "table", json_integer(weights->table));
        set(line, "rows", json_integer(weights->count));
        set(line, "whole", json_boolean(weights->whole));
    } else if (weights->kind == WEIGHTS_TENSOR) {
        set(line, "name", json_stringn(weights->name, weights->name_length));
        set(line, "rows", json_integer(weights->rows));
        set(line, "columns", json_integer(weights->columns));
    } else if (weights->kind == WEIGHTS_SLICE) {
        set(line, "slice", json_integer(weights->slice));
        set(line, "slice_bits", json_integer(weights->slice_bits));
    }
}

static enum status add_event(void *self, const struct event *event, struct error *err) {
    struct inspect_printer *printer = self;
    json_t *line = json_object();
    (void)err;
    set(line, "event_time_ms", json_integer(event->event_time_ms));
    if (event->impression)
        set(line, "domain", bytes_json(event->columns.domain, event->columns.domain_length));
    json_t *tasks = json_array();
    for (size_t i = 0; i < printer->settings->data.tasks.count; i++)
        if (event->mask >> i & 1)
            json_array_append_new(tasks,
                                  json_string(spec_task_at(&printer->settings->data, i)->name));
    set(line, event->impression ? "labelled" : "tasks", tasks);
    json_array_append_new(printer->events, line);
    return STATUS_OK;
}

static enum status events_json(struct inspect_printer *printer, const struct log_record *record,
                               json_t *line, struct error *err) {
    struct decoder_result result;
    json_decref(printer->events);
    printer->events = json_array();
    enum status status =
        decoder_decode(printer->decoder, printer->input, record, add_event, printer, &result, err);
    if (status != STATUS_OK)
        return status;
    set(line, "key", bytes_json(record->key, record->key_length));
    set(line, "events", json_incref(printer->events));
    for (int i = EVENT_USED + 1; i < EVENT_DROPS; i++)
        if (result.dropped[i] > 0)
            set(line, "unusable", json_string(event_drop_names[i]));
    if (result.letter != EVENT_USED)
        set(line, "reason", json_string(result.message));
    return STATUS_OK;
}

static void letter_json(const struct log_record *record, json_t *line) {
    struct dead_letter letter;
    struct error err;
    if (dead_letter_decode(record->value, record->value_length, &letter, &err) != STATUS_OK) {
        set(line, "unreadable", json_string(err.message));
        return;
    }
    set(line, "reason", bytes_json(letter.reason, letter.reason_length));
    set(line, "message", bytes_json(letter.message, letter.message_length));
    set(line, "topic", bytes_json(letter.topic, letter.topic_length));
    set(line, "of_partition", json_integer(letter.partition));
    set(line, "of_offset", json_integer(letter.offset));
    set(line, "key", letter.key ? hexadecimal_bytes(letter.key, letter.key_length) : json_null());
    set(line, "value",
        letter.value ? hexadecimal_bytes(letter.value, letter.value_length) : json_null());
}

enum status inspect_print(struct inspect_printer *printer, int32_t partition,
                          const struct log_record *record, FILE *stream, struct error *err) {
    struct error reason;
    enum status status = STATUS_OK;
    json_t *line = json_object();
    set(line, "partition", json_integer(partition));
    set(line, "offset", json_integer(record->offset));
    set(line, "timestamp_ms", json_integer(record->timestamp_ms));
    if (record->sequence >= 0)
        set(line, "sequence", json_integer(record->sequence));
    if (record->end_of_stream) {
        set(line, "end_of_stream", json_true());
    } else if (printer->kind == INSPECT_EXAMPLES) {
        struct example example;
        if (example_decode(&printer->shape, record->value, record->value_length, &example,
                           &reason) == STATUS_OK)
            example_json(printer, &example, line);
        else
            set(line, "unreadable", json_string(reason.message));
    } else if (printer->kind == INSPECT_WEIGHTS) {
        struct weights weights;
        if (weights_decode(record->value, record->value_length, &weights, &reason) == STATUS_OK)
            weights_json(&weights, line);
        else
            set(line, "unreadable", json_string(reason.message));
    } else if (printer->kind == INSPECT_DEAD_LETTERS) {
        letter_json(record, line);
    } else {
        status = events_json(printer, record, line, err);
    }
    bool printed = print_line(line, stream);
    return status == STATUS_OK && !printed
               ? error_set(err, STATUS_IO, "could not write to standard output")
               : status;
}

enum status inspect_print_journal(void *stream, int64_t place, const void *bytes, size_t length,
                                  struct error *err) {
    struct arena batch_arena;
    struct journal_record record;
    arena_init(&batch_arena, 4096);
    enum status status = journal_decode(bytes, length, &batch_arena, &record, err);
    if (status == STATUS_OK) {
        json_t *line = json_object(), *ranges = json_array();
        set(line, "place", json_integer(place));
        set(line, "kind", json_string(journal_kind_name(record.kind)));
        set(line, "clock_ms", json_integer(record.clock_ms));
        for (size_t i = 0; i < record.range_count; i++) {
            const struct journal_range *range = &record.ranges[i];
            json_array_append_new(
                ranges, json_pack("{s:i, s:I, s:I, s:I}", "slot", (int)range->slot, "first",
                                  (json_int_t)range->first, "last", (json_int_t)range->last,
                                  "records", (json_int_t)range->count));
        }
        if (record.kind == JOURNAL_BATCH)
            set(line, "ranges", json_incref(ranges));
        if (record.kind == JOURNAL_IDLE)
            set(line, "idle",
                json_pack("{s:i, s:b}", "slot", (int)record.idle_slot, "idle", (int)record.idle));
        if (record.build)
            set(line, "build", json_string(record.build));
        set(line, "outputs", json_integer((json_int_t)record.outputs));
        json_decref(ranges);
        if (!print_line(line, stream))
            status = error_set(err, STATUS_IO, "could not write to standard output");
    }
    arena_deinit(&batch_arena);
    return status;
}

static json_t *checkpoint_json(const struct checkpoint_reader *reader) {
    json_t *items = json_object();
    uint64_t length = 0;
    const char *name;
    for (size_t i = 0; (name = checkpoint_reader_item(reader, i, &length)); i++)
        set(items, name, json_integer((json_int_t)length));
    return items;
}

enum status inspect_print_checkpoints(const struct settings *settings, const char *task,
                                      FILE *stream, struct error *err) {
    char directory[4096];
    struct arena run_arena;
    uint64_t *generations;
    size_t count;
    int length = snprintf(directory, sizeof directory, "%s/%s", settings->directory, task);
    if (length < 0 || (size_t)length >= sizeof directory)
        return error_set(err, STATUS_INVALID, "could not look for %s: the path is too long", task);
    arena_init(&run_arena, 4096);
    enum status status = checkpoint_list(directory, &run_arena, &generations, &count, err);
    if (status == STATUS_OK && count == 0)
        status = error_set(err, STATUS_NOT_FOUND, "could not find a checkpoint in %s", directory);
    for (size_t i = 0; status == STATUS_OK && i < count; i++) {
        struct checkpoint_reader *reader = NULL;
        struct error reason;
        json_t *line = json_object();
        set(line, "generation", json_integer((json_int_t)generations[i]));
        if (checkpoint_reader_open(directory, generations[i], &reader, &reason) == STATUS_OK) {
            set(line, "valid", json_true());
            set(line, "journal_place", json_integer(checkpoint_reader_place(reader)));
            set(line, "path", json_string(checkpoint_reader_path(reader)));
            set(line, "bytes", checkpoint_json(reader));
        } else {
            set(line, "valid", json_false());
            set(line, "reason", json_string(reason.message));
        }
        checkpoint_reader_close(reader);
        if (!print_line(line, stream))
            status = error_set(err, STATUS_IO, "could not write to standard output");
    }
    arena_deinit(&run_arena);
    return status;
}

static enum status print_key(struct mirror *mirror, const char *key, FILE *stream,
                             struct error *err) {
    struct buffer text;
    bool found = false;
    buffer_init(&text);
    enum status status = mirror_get(mirror, key, &text, &found, err);
    if (status == STATUS_OK) {
        json_t *line = json_object(), *value = NULL;
        if (found)
            value = json_loadb((const char *)text.data, text.length, 0, NULL);
        if (!value && found)
            value = bytes_json(text.data, text.length);
        set(line, "key", json_string(key));
        set(line, "value", value);
        if (!print_line(line, stream))
            status = error_set(err, STATUS_IO, "could not write to standard output");
    }
    buffer_deinit(&text);
    return status;
}

enum status inspect_print_redis(const struct settings *settings, FILE *stream, struct error *err) {
    char key[REDIS_LAYOUT_KEY_MAX];
    struct mirror *mirror;
    struct freshet_scorer_options options = settings_scorer_options(settings);
    enum status status = mirror_open(&options, &mirror, err);
    if (status != STATUS_OK)
        return status;
    redis_layout_manifest_key(key, settings->name);
    status = print_key(mirror, key, stream, err);
    for (uint32_t g = 0; status == STATUS_OK && g < 1U << REDIS_LAYOUT_GROUP_BITS; g++) {
        redis_layout_state_key(key, settings->name, g);
        status = print_key(mirror, key, stream, err);
    }
    mirror_close(mirror);
    return status;
}
