// The fold of publisher.h: versions in, commands queued, the manifest flipped when all is there.
#include "publisher/publisher.h"

#include <inttypes.h>
#include <string.h>

#include <hiredis/hiredis.h>

#include "base/logger.h"
#include "publisher/state.h"

enum { TENSORS_EXPIRE_S = 3600 };

enum status publisher_new(const struct publisher_setup *setup, struct publisher **ret_publisher,
                          struct error *err) {
    struct publisher *publisher = memory_new(1, sizeof *publisher);
    if (!publisher)
        return error_no_memory(err, sizeof *publisher, "the publisher");
    if (strlen(setup->name) >= sizeof publisher->name || strpbrk(setup->name, "{}")) {
        memory_free(publisher);
        return error_set(err, STATUS_INVALID,
                         "could not use name '%.100s' in Redis keys: at most 127 bytes, no braces",
                         setup->name);
    }
    snprintf(publisher->name, sizeof publisher->name, "%s", setup->name);
    publisher->settings = setup->settings;
    publisher->weights = setup->weights;
    publisher->control = setup->control;
    steer_init(&publisher->steer);
    publisher->log = setup->log;
    publisher->clock = setup->clock;
    publisher->watermark_ms = STAGE_TIME_NONE;
    publisher->row_floats_max = setup->row_floats_max;
    writer_init(&publisher->writer, publisher->name, (unsigned)setup->settings->bucket_bits,
                publisher_row_type(publisher));
    manifest_init(&publisher->manifest, publisher->name);
    buffer_init(&publisher->spec);
    buffer_init(&publisher->tensor);
    buffer_init(&publisher->measures);
    buffer_init(&publisher->held);
    publisher->account = (struct account){
        .input = setup->weights, .reason_count = 2, .reasons = {"undecodable", "applied-before"}};
    if (setup->metrics) {
        static const double bounds[] = {.05, .1, .2, .5, 1, 2, 5, 10, 30, 60, 300, 1800};
        publisher->versions =
            metrics_get(setup->metrics, METRIC_COUNTER, "freshet_publisher_versions_total", "",
                        "Versions that the manifest in Redis was flipped to.");
        publisher->rows =
            metrics_get(setup->metrics, METRIC_COUNTER, "freshet_publisher_rows_total", "",
                        "Rows read from the weights log for Redis.");
        publisher->version_gauge =
            metrics_get(setup->metrics, METRIC_GAUGE, "freshet_publisher_version", "",
                        "Version that the manifest in Redis names.");
        publisher->incomplete =
            metrics_get(setup->metrics, METRIC_GAUGE, "freshet_publisher_rebuilding", "",
                        "1 while Redis is being filled and holds no whole model yet.");
        publisher->held_versions =
            metrics_get(setup->metrics, METRIC_GAUGE, "freshet_publisher_held_versions", "",
                        "Versions held back, by the gate or a pin, since the newest that is out.");
        publisher->pinned =
            metrics_get(setup->metrics, METRIC_GAUGE, "freshet_publisher_pinned_version", "",
                        "Version that is pinned by the control log; 0 = none.");
        publisher->freshness = metrics_histogram(
            setup->metrics, "freshet_publisher_freshness_seconds", "",
            "From the acceptance of the newest event learnt to its version's manifest in Redis.",
            bounds, sizeof bounds / sizeof bounds[0]);
    }
    *ret_publisher = publisher;
    return STATUS_OK;
}

void publisher_free(struct publisher *publisher) {
    if (!publisher)
        return;
    places_disconnect(publisher);
    writer_deinit(&publisher->writer);
    redis_command_deinit(&publisher->command);
    buffer_deinit(&publisher->spec);
    buffer_deinit(&publisher->tensor);
    buffer_deinit(&publisher->measures);
    buffer_deinit(&publisher->held);
    manifest_reset(&publisher->manifest);
    memory_free(publisher);
}

static enum status publisher_reset(void *state, struct error *err) {
    struct publisher *publisher = state;
    (void)err;
    places_disconnect(publisher);
    writer_reset(&publisher->writer);
    manifest_reset(&publisher->manifest);
    publisher->open = publisher->holding = publisher->again = false;
    publisher->slice_count = 0;
    publisher->account.read = publisher->account.used = publisher->account.in_flight = 0;
    memset(publisher->account.dropped, 0, sizeof publisher->account.dropped);
    return STATUS_OK;
}

// ---- one version --------------------------------------------------------------------------------

// Which way the version goes.
static void steer_on(struct publisher *publisher, const struct weights *open, int64_t offset) {
    char reason[STEER_REASON_MAX];
    bool passed = steer_passed(open->measures, open->measures_length, reason);
    enum steer_way way = steer_open(&publisher->steer, open, offset, passed);
    publisher->through = way == STEER_THROUGH;
    publisher->holding = way == STEER_HOLD;
    publisher->again = way == STEER_AGAIN;
    if (publisher->held_versions)
        metric_set(publisher->held_versions, (double)publisher->steer.held);
    if (way == STEER_HOLD)
        logger_line(LOGGER_WARN, "publisher", "held",
                    "version=%" PRIu64 " out_version=%" PRIu64 " reason=\"%s\"", open->version,
                    publisher->manifest.version,
                    publisher->steer.pinned ? "another version is pinned" : reason);
    if (way == STEER_AGAIN)
        logger_line(LOGGER_INFO, "publisher", "held-no-more",
                    "version=%" PRIu64 " held_versions=%" PRIu64, open->version,
                    publisher->steer.held);
}

static enum status fold_open(struct publisher *publisher, const struct weights *weights,
                             int64_t offset, struct error *err) {
    publisher->head = *weights;
    buffer_reset(&publisher->spec);
    buffer_reset(&publisher->measures);
    buffer_reset(&publisher->held);
    writer_begin(&publisher->writer);
    buffer_append(&publisher->spec, weights->spec, weights->spec_length);
    buffer_append(&publisher->measures, weights->measures, weights->measures_length);
    if (publisher->spec.failed || publisher->measures.failed)
        return error_no_memory(err, weights->spec_length, "a version's head");
    publisher->slice = (struct weights){0};
    publisher->open = true;
    publisher->out = offset < publisher->manifest.offset;
    for (uint32_t g = 0; g < GROUPS; g++)
        group_open(&publisher->writer.groups[g], weights->lineage, weights->version, offset);
    return STATUS_OK;
}

static enum status fold_tensor(struct publisher *publisher, const struct weights *weights,
                               struct error *err) {
    if (publisher->out || publisher->through)
        return STATUS_OK;
    struct buffer *value = &publisher->tensor;
    if (weights->first_row == 0) {
        uint32_t shape[2] = {weights->rows_total, weights->columns};
        buffer_reset(value);
        buffer_append(value, shape, sizeof shape);
    }
    buffer_append(value, weights->data, (size_t)weights->rows * weights->columns * sizeof(float));
    if (value->failed)
        return error_no_memory(err, value->length, "a tensor");
    if (weights->first_row + weights->rows < weights->rows_total)
        return STATUS_OK; // the rest follows
    char key[REDIS_LAYOUT_KEY_MAX], seconds[16];
    size_t length =
        redis_layout_tensors_key(key, publisher->name, weights->lineage, weights->version);
    struct redis_command *command = &publisher->command;
    redis_command_reset(command);
    redis_command_add_text(command, "HSET");
    redis_command_add(command, key, length);
    redis_command_add(command, weights->name, weights->name_length);
    redis_command_add(command, value->data, value->length);
    enum status status = redis_send(publisher->redis, command, err);
    if (status != STATUS_OK)
        return status;
    // A version that is never flipped to leaves nothing behind: FLIP takes the expiry away.
    snprintf(seconds, sizeof seconds, "%d", TENSORS_EXPIRE_S);
    redis_command_reset(command);
    redis_command_add_text(command, "EXPIRE");
    redis_command_add(command, key, length);
    redis_command_add_text(command, seconds);
    return redis_send(publisher->redis, command, err);
}

// Followers get the changed rows as the weights log's own records, between their OPEN and COMMIT,
// so that a follower can tell a version that is whole in the stream from one that is not.
static enum status send_delta(struct publisher *publisher, const void *record, size_t length,
                              struct error *err) {
    if (publisher->settings->deltas_max == 0 || publisher->out)
        return STATUS_OK;
    char key[REDIS_LAYOUT_KEY_MAX], most[24], version[48];
    redis_layout_deltas_key(key, publisher->name);
    snprintf(most, sizeof most, "%lld", (long long)publisher->settings->deltas_max);
    snprintf(version, sizeof version, "%016" PRIx64 " %" PRIu64, publisher->head.lineage,
             publisher->head.version);
    struct redis_command *command = &publisher->command;
    redis_command_reset(command);
    static const char *const words[] = {"XADD", NULL, "MAXLEN", "~", NULL, "*", "v"};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        redis_command_add_text(command, i == 1 ? key : i == 4 ? most : words[i]);
    redis_command_add_text(command, version);
    redis_command_add_text(command, "r");
    redis_command_add(command, record, length);
    return redis_send(publisher->redis, command, err);
}

// The deltas of rows that have been sent to their buckets: a follower that begins to read finds in
// the buckets whatever is in the stream by then.
static enum status release_deltas(struct publisher *publisher, struct error *err) {
    enum status status = STATUS_OK;
    for (size_t at = 0; status == STATUS_OK && at < publisher->held.length;) {
        uint64_t length;
        memcpy(&length, publisher->held.data + at, sizeof length);
        at += sizeof length;
        status = send_delta(publisher, publisher->held.data + at, length, err);
        at += length;
    }
    buffer_reset(&publisher->held);
    return status;
}

static enum status fold_rows(struct publisher *publisher, const struct weights *rows,
                             const struct log_record *record, struct error *err) {
    server_check_row(&publisher->packing, publisher_row_bytes(publisher, rows->dimension));
    if (publisher->rows)
        metric_add(publisher->rows, rows->count);
    if (!rows->whole && publisher->settings->deltas_max > 0 && !publisher->out) {
        uint64_t length = record->value_length;
        buffer_append(&publisher->held, &length, sizeof length);
        buffer_append(&publisher->held, record->value, record->value_length);
        if (publisher->held.failed)
            return error_no_memory(err, record->value_length, "a delta");
    }
    enum status status = writer_rows(&publisher->writer, rows, err);
    return status == STATUS_OK && publisher->writer.pending_rows == 0
               ? release_deltas(publisher, err)
               : status;
}

// Whether all groups hold the version that was read last, and it is a whole model.
static bool all_whole(const struct publisher *publisher) {
    bool whole = publisher->slice_count > 0;
    for (uint32_t g = 0; g < GROUPS; g++) {
        const struct group *group = &publisher->writer.groups[g];
        // A group that is ahead holds rows of later versions: not a model that ever was.
        whole &= group->lineage == publisher->head.lineage &&
                 group->version == publisher->head.version && group->done &&
                 group_covers(group, publisher->slice_count);
    }
    return whole;
}

static enum status fold_commit(struct publisher *publisher, int64_t offset, struct error *err) {
    enum status status = STATUS_OK;
    if (publisher->slice.kind == WEIGHTS_SLICE)
        status = writer_slice(&publisher->writer, &publisher->slice, err);
    // One slice that is the whole model leaves nothing of before in any group.
    for (uint32_t g = 0; status == STATUS_OK && publisher->slice_count == 1 && g < GROUPS; g++)
        publisher->writer.groups[g].clean |= publisher->writer.groups[g].active;
    if (status == STATUS_OK)
        status = writer_commit(&publisher->writer, offset + 1, err);
    if (status != STATUS_OK)
        return status;
    publisher->open = false;
    server_check_bucket(&publisher->packing, (int64_t)publisher->writer.fullest,
                        publisher->writer.bucket_bits);
    publisher->watermark_ms = publisher->head.watermark_ms;
    bool whole = all_whole(publisher);
    if (publisher->incomplete)
        metric_set(publisher->incomplete, whole || publisher->out ? 0 : 1);
    if (!whole || publisher->out || publisher->through)
        return STATUS_OK;
    struct weights head = publisher->head;
    head.spec = (const char *)publisher->spec.data;
    head.measures = (const char *)publisher->measures.data;
    return manifest_prepare(&publisher->manifest, &head, offset + 1,
                            (unsigned)publisher->settings->bucket_bits,
                            publisher_row_type(publisher), publisher->steer.control_next, err);
}

static enum status fold_one(struct publisher *publisher, const struct weights *weights,
                            const struct log_record *record, struct error *err) {
    enum status status;
    switch (weights->kind) {
    case WEIGHTS_OPEN:
        status = fold_open(publisher, weights, record->offset, err);
        break;
    case WEIGHTS_ROWS:
        return fold_rows(publisher, weights, record, err);
    case WEIGHTS_TOMBSTONES:
        status = writer_tombstones(&publisher->writer, weights, err);
        break;
    case WEIGHTS_TENSOR:
        return fold_tensor(publisher, weights, err);
    case WEIGHTS_SLICE:
        publisher->slice = *weights; // its rows may stand before or behind it: COMMIT replaces
        publisher->slice_count = UINT64_C(1) << weights->slice_bits;
        return STATUS_OK;
    default:
        status = fold_commit(publisher, record->offset, err);
    }
    if (status == STATUS_OK)
        status = release_deltas(publisher, err);
    return status == STATUS_OK ? send_delta(publisher, record->value, record->value_length, err)
                               : status;
}

// Texts of other people's making, for a log line.
static int printable(size_t length) {
    return length > 200 ? 200 : (int)length;
}

// A record of the control log; from what Redis says, all of that log is then followed anew.
static void fold_control(struct publisher *publisher, const struct log_record *record) {
    struct control control;
    struct error err;
    if (steer_command(&publisher->steer, record, &control, &err) != STATUS_OK) {
        logger_line(LOGGER_WARN, "publisher", "control-skipped",
                    "topic=\"%s\" offset=%" PRId64 " reason=\"%s\"", publisher->control,
                    record->offset, err.message);
        return;
    }
    logger_line(LOGGER_INFO, "publisher", "control",
                "command=%s version=%" PRIu64 " author=\"%.*s\" note=\"%.*s\"",
                control.kind == CONTROL_PIN ? "pin" : "unpin", control.version,
                printable(control.author_length), control.author, printable(control.note_length),
                control.note);
    publisher->again = true;
}

static enum status publisher_fold(void *state, const struct log_record *records, size_t count,
                                  struct stage_outputs *outputs, struct error *err) {
    struct publisher *publisher = state;
    (void)outputs;
    enum status status = places_connect(publisher, err);
    for (size_t i = 0; status == STATUS_OK && i < count; i++) {
        struct weights weights;
        if (records[i].slot == CONTROL_SLOT) {
            fold_control(publisher, &records[i]);
            continue;
        }
        publisher->account.read++;
        if (publisher->again) {
            publisher->account.in_flight++;
            continue;
        }
        if (weights_decode(records[i].value, records[i].value_length, &weights, err) != STATUS_OK)
            return error_prefix(err, "%s/0 offset %" PRId64, publisher->weights, records[i].offset);
        if (weights.kind == WEIGHTS_OPEN)
            steer_on(publisher, &weights, records[i].offset);
        if (publisher->holding || publisher->again) {
            publisher->account.in_flight++;
            publisher->holding &= weights.kind != WEIGHTS_COMMIT;
            continue;
        }
        // The tail of a version whose OPEN retention took: its rows come again in later slices.
        if (weights.kind != WEIGHTS_OPEN && !publisher->open) {
            publisher->account.dropped[1]++;
            continue;
        }
        status = fold_one(publisher, &weights, &records[i], err);
        publisher->account.used++;
    }
    return status;
}

// ---- making it last -----------------------------------------------------------------------------

static enum status drain(struct publisher *publisher, struct error *err) {
    enum status status = STATUS_OK;
    while (status == STATUS_OK && redis_waiting(publisher->redis) > 0) {
        redisReply *reply = NULL;
        status = redis_take(publisher->redis, &reply, err);
        // A script answers 1, or the state that it found instead of the expected one. The only
        // other texts are XADD's ids, which hold a dash; a state holds none.
        if (status == STATUS_OK && reply->type == REDIS_REPLY_STRING &&
            (!reply->str || !strchr(reply->str, '-')))
            status = error_set(err, STATUS_UNAVAILABLE,
                               "could not apply a version: Redis stands at '%.100s', moved by a "
                               "failover, a flush or another publisher; reading it again",
                               reply->str ? reply->str : "");
        redis_reply_free(reply);
    }
    return status;
}

static enum status bring_out(struct publisher *publisher, struct error *err) {
    struct manifest *manifest = &publisher->manifest;
    int64_t accepted_ms = manifest->next.accepted_ms;
    enum status status = manifest_flip(manifest, publisher->redis, err);
    if (status != STATUS_OK)
        return status;
    if (publisher->versions) {
        metric_add(publisher->versions, 1);
        metric_set(publisher->version_gauge, (double)manifest->version);
        int64_t now_ms = publisher->clock->wall_ms(publisher->clock);
        // A model of no events is of no age, and a pinned one is old on purpose.
        if (accepted_ms != STAGE_TIME_NONE && !publisher->steer.pinned)
            metric_observe(publisher->freshness, (double)(now_ms - accepted_ms) / 1000);
    }
    logger_line(LOGGER_INFO, "publisher", "version", "lineage=%016" PRIx64 " version=%" PRIu64,
                manifest->lineage, manifest->version);
    return STATUS_OK;
}

static enum status publisher_committing(void *state, struct error *err) {
    struct publisher *publisher = state;
    if (!publisher->redis)
        return STATUS_OK;
    enum status status = drain(publisher, err);
    return status == STATUS_OK && publisher->manifest.next.json ? bring_out(publisher, err)
                                                                : status;
}

// A version that is whole is brought out at once.
static bool publisher_wants_commit(void *state) {
    const struct publisher *publisher = state;
    return publisher->manifest.next.json != NULL;
}

static bool publisher_wants_positions(void *state) {
    return ((const struct publisher *)state)->again;
}

static size_t publisher_accounts(void *state, struct account *accounts, size_t max) {
    const struct publisher *publisher = state;
    const struct steer *steer = &publisher->steer;
    REQUIRE(max >= 2);
    accounts[0] = publisher->account;
    accounts[1] = (struct account){.input = publisher->control,
                                   .read = steer->read,
                                   .used = steer->read - steer->undecodable,
                                   .reason_count = 1,
                                   .reasons = {"undecodable"},
                                   .dropped = {steer->undecodable}};
    return publisher->control ? 2 : 1;
}

static int64_t publisher_watermark_ms(void *state) {
    return ((struct publisher *)state)->watermark_ms;
}

const struct stage_operations publisher_operations = {
    .name = "publisher",
    .reset = publisher_reset,
    .fold = publisher_fold,
    .committing = publisher_committing,
    .wants_commit = publisher_wants_commit,
    .wants_positions = publisher_wants_positions,
    .start_offset = places_start,
    .accounts = publisher_accounts,
    .watermark_ms = publisher_watermark_ms,
};

enum status publisher_check(const struct publisher_settings *settings, struct error *err) {
    struct redis *redis;
    enum status status = redis_open(&settings->redis, &redis, err);
    if (status != STATUS_OK)
        return status;
    status = server_check(redis, err);
    redis_close(redis);
    return status;
}
