// The decoder: finds the plan for each record's writer schema and runs the mapping by it.
#include "ingest/decoder.h"

#include <string.h>

#include "ingest/framing.h"
#include "ingest/mapping.h"
#include "ingest/registry.h"

// What is known of one writer schema, for one input.
struct writer {
    uint64_t name;         // fingerprint or id
    struct schema *schema; // NULL: unusable
    struct plan *plan;     // NULL: unusable
    struct plan *time;     // finds the event time alone
    enum event_drop drop;  // why unusable
    char message[256];
};
struct source_input {
    struct mapping *mapping;
    struct writer **writers; // in the order they were met
    size_t count;
    size_t newest; // the one last used: records of one schema come in runs
};
struct decoder {
    const struct ingest_settings *settings;
    const struct spec *spec;
    struct registry *registry; // NULL without confluent framing
    struct source_input inputs[INGEST_INPUTS_MAX];
    bool unavailable; // decoder_event_time could not ask
    struct error unavailable_reason;
};

static void writer_free(struct writer *writer) {
    if (writer == NULL)
        return;
    plan_free(writer->plan);
    plan_free(writer->time);
    schema_free(writer->schema);
    memory_free(writer);
}

static void writers_drop(struct source_input *in) {
    for (size_t i = 0; i < in->count; i++)
        writer_free(in->writers[i]);
    in->count = in->newest = 0;
}

static struct writer *writer_find(struct source_input *in, uint64_t name) {
    for (size_t i = 0; i < in->count; i++) {
        size_t at = in->newest + i < in->count ? in->newest + i : in->newest + i - in->count;
        if (in->writers[at]->name == name) {
            in->newest = at;
            return in->writers[at];
        }
    }
    return NULL;
}

// Enters the writer, which the decoder then owns. When (with confluent framing) as many are kept as
// the cache may hold, all are forgotten: plans are made anew from schemas that do not change.
static enum status writer_enter(struct decoder *decoder, uint32_t input, struct writer *writer,
                                struct error *err) {
    struct source_input *in = &decoder->inputs[input];
    size_t most = (size_t)decoder->settings->registry.cache_schemas;
    size_t old = ingest_input_at(decoder->settings, input)->older_schemas.count + 1;
    most = most > old ? most : old;
    if (in->writers == NULL)
        in->writers = memory_new(most, sizeof(struct writer *));
    if (in->writers == NULL) {
        writer_free(writer);
        return error_no_memory(err, most * sizeof(struct writer *), "the plans");
    }
    if (in->count == most)
        writers_drop(in);
    in->newest = in->count;
    in->writers[in->count++] = writer;
    return STATUS_OK;
}

// Makes the plans of a schema, which the writer takes over.
static enum status writer_plan(struct decoder *decoder, uint32_t input, bool strict,
                               struct writer *writer, struct error *err) {
    const struct mapping *mapping = decoder->inputs[input].mapping;
    const struct path *each = mapping_each(mapping);
    size_t count;
    const struct plan_want *wants = mapping_wants(mapping, &count);
    enum status status = plan_new(writer->schema, each, wants, count, &writer->plan, err);
    if (status != STATUS_OK)
        return error_prefix(err, "input `%s`", ingest_input_at(decoder->settings, input)->name);
    status = mapping_check(mapping, writer->plan, writer->schema, strict, &writer->drop, err);
    if (status == STATUS_OK)
        status = plan_new(writer->schema, each, mapping_time_want(mapping), 1, &writer->time, err);
    return status;
}

static enum status schema_file_add(struct decoder *decoder, uint32_t input, const char *path,
                                   bool strict, struct error *err) {
    const struct ingest_input *settings = ingest_input_at(decoder->settings, input);
    struct error reason = {0};
    struct writer *writer = memory_new(1, sizeof(*writer));
    if (writer == NULL)
        return error_no_memory(err, sizeof(*writer), "a plan");
    enum status status = schema_load(path, &writer->schema, &reason);
    if (status == STATUS_OK)
        status = writer_plan(decoder, input, strict, writer, &reason);
    if (status == STATUS_OK && settings->framing == INGEST_SINGLE_OBJECT)
        status = schema_fingerprint(writer->schema, &writer->name, &reason);
    if (status != STATUS_OK) {
        writer_free(writer);
        return error_set(err, status, "schema %s: %s", path, reason.message);
    }
    if (settings->framing == INGEST_CONFLUENT) {
        writer_free(writer); // was made for its checks only
        return STATUS_OK;
    }
    return writer_enter(decoder, input, writer, err);
}

static enum status input_open(struct decoder *decoder, uint32_t input, struct error *err) {
    const struct ingest_input *settings = ingest_input_at(decoder->settings, input);
    enum status status =
        mapping_new(decoder->settings, decoder->spec, input, &decoder->inputs[input].mapping, err);
    if (status == STATUS_OK && settings->schema[0] != '\0')
        status = schema_file_add(decoder, input, settings->schema, true, err);
    for (size_t i = 0; status == STATUS_OK && i < settings->older_schemas.count; i++)
        status = schema_file_add(decoder, input, settings->older_schemas.items[i], false, err);
    return status;
}

// Every task that waits for feedback must have an input that brings it.
static enum status tasks_check(const struct ingest_settings *settings, const struct spec *spec,
                               struct error *err) {
    for (size_t i = 0; i < spec->tasks.count; i++) {
        const struct spec_task *task = spec_task_at(spec, i);
        bool known = task->input[0] == '\0';
        for (size_t j = 0; j < settings->inputs.count; j++)
            known |= ingest_input_at(settings, j)->role == INGEST_FEEDBACK &&
                     strcmp(ingest_input_at(settings, j)->name, task->input) == 0;
        if (!known)
            return error_set(err, STATUS_INVALID,
                             "task `%s`: `%s` is not an input with the role `feedback`", task->name,
                             task->input);
    }
    return STATUS_OK;
}

enum status decoder_new(const struct ingest_settings *settings, const struct spec *spec,
                        const struct clock *clock, struct decoder **ret_decoder,
                        struct error *err) {
    enum status status = ingest_settings_check(settings, err);
    bool asks = false;
    if (status == STATUS_OK)
        status = tasks_check(settings, spec, err);
    if (status != STATUS_OK)
        return status;
    struct decoder *decoder = memory_new(1, sizeof(*decoder));
    if (decoder == NULL)
        return error_no_memory(err, sizeof(*decoder), "the decoder");
    decoder->settings = settings;
    decoder->spec = spec;
    for (size_t i = 0; status == STATUS_OK && i < settings->inputs.count; i++) {
        asks |= ingest_input_at(settings, i)->framing == INGEST_CONFLUENT;
        status = input_open(decoder, (uint32_t)i, err);
    }
    if (status == STATUS_OK && asks)
        status = registry_new(&settings->registry, clock, &decoder->registry, err);
    if (status != STATUS_OK) {
        decoder_free(decoder);
        return status;
    }
    *ret_decoder = decoder;
    return STATUS_OK;
}

void decoder_free(struct decoder *decoder) {
    if (decoder == NULL)
        return;
    for (size_t i = 0; i < INGEST_INPUTS_MAX; i++) {
        writers_drop(&decoder->inputs[i]);
        memory_free(decoder->inputs[i].writers);
        mapping_free(decoder->inputs[i].mapping);
    }
    registry_free(decoder->registry);
    memory_free(decoder);
}

// Learns of a schema by its id; one that cannot be used is entered with the reason.
static enum status writer_ask(struct decoder *decoder, uint32_t input, uint32_t id,
                              struct error *err) {
    const char *text;
    size_t length;
    struct error reason = {0};
    struct writer *writer = memory_new(1, sizeof(*writer));
    if (writer == NULL)
        return error_no_memory(err, sizeof(*writer), "a plan");
    writer->name = id;
    enum status status = registry_schema(decoder->registry, id, &text, &length, &reason);
    bool found = status == STATUS_OK;
    if (found)
        status = schema_parse(text, length, &writer->schema, &reason);
    writer->drop = EVENT_UNKNOWN_SCHEMA;
    if (status == STATUS_OK) {
        writer->drop = EVENT_MISSING_FIELD;
        status = writer_plan(decoder, input, false, writer, &reason);
    }
    bool unusable = status == STATUS_NOT_FOUND || (found && status == STATUS_INVALID);
    if (status != STATUS_OK && !unusable) {
        writer_free(writer);
        return error_set(err, status, "%s", reason.message);
    }
    if (unusable) {
        plan_free(writer->plan);
        writer->plan = NULL;
        snprintf(writer->message, sizeof(writer->message), "schema %u: %.200s", id, reason.message);
    }
    return writer_enter(decoder, input, writer, err);
}

// The writer schema of a value, *ret_writer NULL when its framing names none that is known.
static enum status writer_get(struct decoder *decoder, uint32_t input,
                              const struct framing *framing, struct writer **ret_writer,
                              struct error *err) {
    struct writer *writer = writer_find(&decoder->inputs[input], framing->schema);
    enum status status = STATUS_OK;
    if (writer == NULL && decoder->registry != NULL &&
        ingest_input_at(decoder->settings, input)->framing == INGEST_CONFLUENT) {
        status = writer_ask(decoder, input, (uint32_t)framing->schema, err);
        if (status == STATUS_OK)
            writer = writer_find(&decoder->inputs[input], framing->schema);
    }
    *ret_writer = writer;
    return status;
}

static enum status unavailable_take(struct decoder *decoder, struct error *err) {
    if (!decoder->unavailable)
        return STATUS_OK;
    decoder->unavailable = false;
    return error_set(err, decoder->unavailable_reason.status, "%s",
                     decoder->unavailable_reason.message);
}

enum status decoder_prepare(struct decoder *decoder, const uint32_t *input_of_slot,
                            const struct log_record *records, size_t count, struct error *err) {
    enum status status = unavailable_take(decoder, err);
    if (decoder->registry == NULL)
        return status;
    for (size_t i = 0; status == STATUS_OK && i < count; i++) {
        uint32_t input = input_of_slot[records[i].slot];
        const struct ingest_input *settings = ingest_input_at(decoder->settings, input);
        struct framing framing;
        struct writer *writer;
        if (settings->framing == INGEST_CONFLUENT && records[i].value != NULL &&
            framing_open(INGEST_CONFLUENT, records[i].value, records[i].value_length, &framing))
            status = writer_get(decoder, input, &framing, &writer, err);
    }
    return status;
}

static void result_letter(struct decoder_result *result, enum event_drop drop,
                          const char *message) {
    result->dropped[drop]++;
    result->letter = drop;
    result->message = message;
}

enum status decoder_decode(struct decoder *decoder, uint32_t input, const struct log_record *record,
                           enum status (*each)(void *self, const struct event *event,
                                               struct error *err),
                           void *self, struct decoder_result *ret_result, struct error *err) {
    const struct ingest_input *settings = ingest_input_at(decoder->settings, input);
    struct decoder_result result = {.message = ""};
    struct framing framing;
    struct writer *writer = NULL;
    enum status status = unavailable_take(decoder, err);
    if (status != STATUS_OK)
        return status;
    if (record->value == NULL) {
        result.dropped[EVENT_NULL_VALUE] += !record->end_of_stream;
    } else if (!framing_open((enum ingest_framing)settings->framing, record->value,
                             record->value_length, &framing)) {
        result_letter(&result, EVENT_UNDECODABLE, "the value does not begin with its framing");
    } else {
        status = writer_get(decoder, input, &framing, &writer, err);
        if (status == STATUS_OK && writer == NULL)
            result_letter(&result, EVENT_UNKNOWN_SCHEMA,
                          "the value names a schema that is not configured");
        else if (status == STATUS_OK && writer->plan == NULL)
            result_letter(&result, writer->drop, writer->message);
        else if (status == STATUS_OK)
            status =
                mapping_decode(decoder->inputs[input].mapping, writer->plan, framing.body,
                               framing.body_length, record->timestamp_ms, each, self, &result, err);
    }
    if (status == STATUS_OK)
        *ret_result = result;
    return status;
}

int64_t decoder_event_time(struct decoder *decoder, uint32_t input,
                           const struct log_record *record) {
    const struct ingest_input *settings = ingest_input_at(decoder->settings, input);
    struct framing framing;
    struct writer *writer;
    struct plan_value value;
    if (record->value == NULL || !framing_open((enum ingest_framing)settings->framing,
                                               record->value, record->value_length, &framing))
        return record->timestamp_ms;
    if (writer_get(decoder, input, &framing, &writer, &decoder->unavailable_reason) != STATUS_OK) {
        decoder->unavailable = true;
        return record->timestamp_ms;
    }
    if (writer == NULL || writer->plan == NULL ||
        !plan_peek(writer->time, framing.body, framing.body_length, &value))
        return record->timestamp_ms;
    int64_t ms = mapping_time(decoder->inputs[input].mapping, &value, record->timestamp_ms);
    return ms >= 0 ? ms : record->timestamp_ms;
}

struct decoder_counts decoder_counts(const struct decoder *decoder) {
    struct decoder_counts sum = {0};
    for (size_t i = 0; i < decoder->settings->inputs.count; i++) {
        struct decoder_counts counts = mapping_counts(decoder->inputs[i].mapping);
        sum.values_cut += counts.values_cut;
        sum.items_null += counts.items_null;
        sum.items_future += counts.items_future;
        sum.sequences_sorted += counts.sequences_sorted;
    }
    return sum;
}

enum status decoder_save(const struct decoder *decoder, const struct sink *sink,
                         struct error *err) {
    return decoder->registry == NULL ? STATUS_OK : registry_save(decoder->registry, sink, err);
}

enum status decoder_load(struct decoder *decoder, const struct source *source, struct error *err) {
    if (decoder->registry == NULL)
        return STATUS_OK;
    for (size_t i = 0; i < decoder->settings->inputs.count; i++)
        if (ingest_input_at(decoder->settings, i)->framing == INGEST_CONFLUENT)
            writers_drop(&decoder->inputs[i]);
    return registry_load(decoder->registry, source, err);
}
