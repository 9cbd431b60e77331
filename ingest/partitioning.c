// Samples keys and compares topics.
#include "ingest/partitioning.h"

#include <string.h>

#include "base/wire.h"
#include "log/partitioner.h"

enum { POLL_TIMEOUT_MS = 1000, EVERY_PARTITIONER = (1 << PARTITIONER_COUNT) - 1 };

struct topic {
    const char *name;
    uint32_t input;
    uint64_t sampled;                // records with a key
    uint64_t keyless;                // records without one
    uint64_t compared;               // events whose join key could be held against the record's key
    uint64_t same;                   // of these, equal
    unsigned partitioners;           // bits: those that explain every sampled key
    const struct log_record *record; // being decoded
};

static enum status counts_check(struct log *log, const struct ingest_settings *settings,
                                int32_t *ret_count, struct error *err) {
    for (size_t i = 0; i < settings->inputs.count; i++) {
        int32_t count;
        const char *topic = ingest_input_at(settings, i)->topic;
        const char *first = ingest_input_at(settings, 0)->topic;
        enum status status = log_topic_partitions(log, topic, &count, err);
        if (status != STATUS_OK)
            return status;
        if (i > 0 && count != *ret_count)
            return error_set(
                err, STATUS_INVALID,
                "could not join topics `%s` and `%s`: they have %d and %d partitions, so "
                "that equal keys lie in different ones; make them alike",
                first, topic, *ret_count, count);
        *ret_count = count;
    }
    return STATUS_OK;
}

// Holds the event's join key, when it has one part, against the record's key.
static enum status event_compare(void *self, const struct event *event, struct error *err) {
    struct topic *topic = self;
    struct wire key = wire_over(event->key, event->key_length);
    size_t length;
    const unsigned char *part = wire_get_bytes(&key, &length);
    (void)err;
    if (key.bad || key.at != key.end)
        return STATUS_OK;
    topic->compared++;
    topic->same +=
        length == topic->record->key_length && memcmp(part, topic->record->key, length) == 0;
    return STATUS_OK;
}

static enum status record_sample(struct topic *topic, struct decoder *decoder,
                                 const struct log_record *record, int32_t partition,
                                 int32_t partitions, struct error *err) {
    struct decoder_result result;
    if (record->end_of_stream)
        return STATUS_OK;
    if (record->key == NULL) {
        topic->keyless++;
        return STATUS_OK;
    }
    topic->sampled++;
    for (int i = 0; i < PARTITIONER_COUNT; i++)
        if (partitioner_place((enum partitioner)i, record->key, record->key_length, partitions) !=
            partition)
            topic->partitioners &= ~(1u << i);
    topic->record = record;
    return decoder_decode(decoder, topic->input, record, event_compare, topic, &result, err);
}

// The newest records of every partition of the topic.
static enum status positions_make(struct log *log, const char *topic, int32_t partitions,
                                  struct log_position *positions, int64_t *ends,
                                  struct error *err) {
    for (int32_t i = 0; i < partitions; i++) {
        int64_t begin;
        enum status status = log_topic_bounds(log, topic, i, &begin, &ends[i], err);
        if (status != STATUS_OK)
            return status;
        int64_t from = ends[i] - PARTITIONING_SAMPLE;
        positions[i] = (struct log_position){
            .topic = topic, .partition = i, .offset = from > begin ? from : begin};
    }
    return STATUS_OK;
}

static bool all_read(struct log_reader *reader, const int64_t *ends, int32_t partitions) {
    for (int32_t i = 0; i < partitions; i++) {
        int64_t position;
        if (log_reader_position(reader, (uint32_t)i, &position, NULL) != STATUS_OK ||
            position < ends[i])
            return false;
    }
    return true;
}

static enum status topic_sample(struct log *log, struct topic *topic, struct decoder *decoder,
                                int32_t partitions, struct error *err) {
    struct log_reader *reader = NULL;
    size_t count = (size_t)partitions;
    struct log_position *positions = memory_new(count, sizeof(*positions));
    int64_t *ends = memory_new(count, sizeof(*ends));
    enum status status = STATUS_OK;
    if (positions == NULL || ends == NULL)
        status = error_no_memory(err, count * sizeof(*positions), "a sample of keys");
    if (status == STATUS_OK)
        status = positions_make(log, topic->name, partitions, positions, ends, err);
    if (status == STATUS_OK)
        status = log_reader_open(log, positions, count, &reader, err);
    uint64_t most = count * PARTITIONING_SAMPLE; // later records are not read
    while (status == STATUS_OK && topic->sampled + topic->keyless < most &&
           !all_read(reader, ends, partitions)) {
        struct log_batch batch;
        struct error reason;
        status = log_reader_poll(reader, 1000, POLL_TIMEOUT_MS, &batch, &reason);
        if (status == STATUS_TIMEOUT) {
            status = STATUS_OK; // what is there has been read, or comes too slowly to wait for
            break;
        }
        if (status != STATUS_OK)
            status = error_set(err, status, "%s", reason.message);
        for (size_t i = 0; status == STATUS_OK && i < batch.count; i++)
            status = record_sample(topic, decoder, &batch.records[i],
                                   positions[batch.records[i].slot].partition, partitions, err);
    }
    log_reader_close(reader);
    memory_free(positions);
    memory_free(ends);
    return status;
}

// The name of the first partitioner that explains the topic.
static const char *explanation(const struct topic *topic) {
    for (int i = 0; i < PARTITIONER_COUNT; i++)
        if (topic->partitioners & (1u << i))
            return partitioner_names[i];
    return "none that is known";
}

static enum status topics_compare(const struct topic *a, const struct topic *b, struct error *err) {
    bool a_by_key = a->same * 10 > a->compared * 9;
    bool b_by_key = b->same * 10 > b->compared * 9;
    if (a->sampled < PARTITIONING_LEAST || b->sampled < PARTITIONING_LEAST)
        return STATUS_OK;
    if (a->partitioners != b->partitioners && (a->partitioners & b->partitioners) == 0)
        return error_set(err, STATUS_INVALID,
                         "could not join topics `%s` and `%s`: their keys are placed by different "
                         "partitioners, %s and %s, so that equal keys lie in different partitions; "
                         "set the producers' partitioner alike",
                         a->name, b->name, explanation(a), explanation(b));
    if (a->compared >= PARTITIONING_LEAST && b->compared >= PARTITIONING_LEAST &&
        a_by_key != b_by_key)
        return error_set(
            err, STATUS_INVALID,
            "could not join topics `%s` and `%s`: records of `%s` are keyed by the join "
            "key and those of `%s` by something else, so that events of one key lie in "
            "different partitions",
            a->name, b->name, a_by_key ? a->name : b->name, a_by_key ? b->name : a->name);
    return STATUS_OK;
}

enum status partitioning_check(struct log *log, const struct ingest_settings *settings,
                               struct decoder *decoder, struct error *err) {
    struct topic topics[INGEST_INPUTS_MAX] = {0};
    int32_t partitions = 0;
    enum status status = STATUS_OK;
    if (settings->join == INGEST_JOIN_NONE || settings->inputs.count < 2)
        return STATUS_OK;
    status = counts_check(log, settings, &partitions, err);
    if (status != STATUS_OK || partitions == 1)
        return status;
    for (size_t i = 0; status == STATUS_OK && i < settings->inputs.count; i++) {
        topics[i].name = ingest_input_at(settings, i)->topic;
        topics[i].input = (uint32_t)i;
        topics[i].partitioners = EVERY_PARTITIONER;
        status = topic_sample(log, &topics[i], decoder, partitions, err);
        if (status == STATUS_OK && topics[i].keyless > 0)
            status =
                error_set(err, STATUS_INVALID,
                          "could not join topic `%s`: it holds records without a key, which lie "
                          "in any partition",
                          topics[i].name);
        for (size_t j = 0; status == STATUS_OK && j < i; j++)
            status = topics_compare(&topics[j], &topics[i], err);
    }
    return status;
}
