// The fold of publisher.h: versions in, commands queued, the manifest flipped when all is there.
#include "publisher/publisher.h"

#include <inttypes.h>
#include <string.h>

#include <hiredis/hiredis.h>
#include <jansson.h>

#include "base/logger.h"
#include "publisher/writer.h"

enum { GROUPS = 1 << REDIS_LAYOUT_GROUP_BITS, TENSORS_EXPIRE_S = 3600 };

// A version whose COMMIT was read: what the manifest will say of it.
struct ready {
    bool pending;
    uint64_t lineage, version;
    int64_t accepted_ms;
    char *manifest; // JSON
};

struct publisher {
    const struct publisher_settings *settings;
    char name[128];
    const char *weights; // topic
    struct log *log;
    const struct clock *clock;
    struct redis *redis;
    struct writer writer;
    struct redis_command command;
    // The version being read.
    bool open;
    struct weights head; // OPEN's fields; texts in the buffers below
    struct buffer spec, measures;
    struct weights slice; // its SLICE, once read
    uint64_t slice_count; // 0 = no SLICE seen yet
    struct ready ready;
    char flipped[GROUP_TEXT_MAX]; // NAME:{m}:state as it stands: "LINEAGE VERSION PREVIOUS"
    uint64_t flipped_lineage, flipped_version, flipped_previous;
    struct account account;
    int64_t watermark_ms;
    struct metric *versions, *rows, *version_gauge, *incomplete;
    struct metric_histogram *freshness;
};

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
    publisher->log = setup->log;
    publisher->clock = setup->clock;
    publisher->watermark_ms = STAGE_TIME_NONE;
    writer_init(&publisher->writer, publisher->name, (unsigned)setup->settings->bucket_bits);
    buffer_init(&publisher->spec);
    buffer_init(&publisher->measures);
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
        publisher->freshness = metrics_histogram(
            setup->metrics, "freshet_publisher_freshness_seconds", "",
            "From the acceptance of the newest event learnt to its version's manifest in Redis.",
            bounds, sizeof bounds / sizeof bounds[0]);
    }
    *ret_publisher = publisher;
    return STATUS_OK;
}

static void disconnect(struct publisher *publisher) {
    redis_close(publisher->redis);
    publisher->redis = NULL;
    publisher->writer.redis = NULL;
}

void publisher_free(struct publisher *publisher) {
    if (!publisher)
        return;
    disconnect(publisher);
    writer_deinit(&publisher->writer);
    redis_command_deinit(&publisher->command);
    buffer_deinit(&publisher->spec);
    buffer_deinit(&publisher->measures);
    free(publisher->ready.manifest); // jansson's
    memory_free(publisher);
}

static enum status publisher_reset(void *state, struct error *err) {
    struct publisher *publisher = state;
    (void)err;
    disconnect(publisher);
    writer_reset(&publisher->writer);
    free(publisher->ready.manifest);
    publisher->ready = (struct ready){0};
    publisher->open = false;
    publisher->slice_count = 0;
    publisher->account.read = publisher->account.used = publisher->account.in_flight = 0;
    memset(publisher->account.dropped, 0, sizeof publisher->account.dropped);
    return STATUS_OK;
}

// ---- where Redis stands -------------------------------------------------------------------------

static enum status get_text(struct publisher *publisher, const char *key, char *text, size_t size,
                            struct error *err) {
    redisReply *reply = NULL;
    redis_command_reset(&publisher->command);
    redis_command_add_text(&publisher->command, "GET");
    redis_command_add_text(&publisher->command, key);
    enum status status = redis_ask(publisher->redis, &publisher->command, &reply, err);
    if (status == STATUS_OK)
        snprintf(text, size, "%s", reply->type == REDIS_REPLY_STRING ? reply->str : "");
    redis_reply_free(reply);
    return status;
}

static size_t flip_state_key(char *key, const char *name) {
    int length = snprintf(key, REDIS_LAYOUT_KEY_MAX, "%s:{m}:state", name);
    REQUIRE(length > 0 && length < REDIS_LAYOUT_KEY_MAX);
    return (size_t)length;
}

static enum status read_flipped(struct publisher *publisher, struct error *err) {
    char key[REDIS_LAYOUT_KEY_MAX];
    flip_state_key(key, publisher->name);
    enum status status =
        get_text(publisher, key, publisher->flipped, sizeof publisher->flipped, err);
    publisher->flipped_lineage = publisher->flipped_version = publisher->flipped_previous = 0;
    if (status == STATUS_OK && publisher->flipped[0] &&
        sscanf(publisher->flipped, "%" SCNx64 " %" SCNu64 " %" SCNu64, &publisher->flipped_lineage,
               &publisher->flipped_version, &publisher->flipped_previous) != 3)
        status = error_set(err, STATUS_CORRUPT,
                           "could not read '%.80s' at %s in Redis: delete the "
                           "model's keys to publish it anew",
                           publisher->flipped, key);
    return status;
}

static enum status connect_redis(struct publisher *publisher, struct error *err) {
    if (publisher->redis)
        return STATUS_OK;
    enum status status = redis_open(&publisher->settings->redis, &publisher->redis, err);
    publisher->writer.redis = publisher->redis;
    for (uint32_t g = 0; status == STATUS_OK && g < GROUPS; g++) {
        char key[REDIS_LAYOUT_KEY_MAX], text[GROUP_TEXT_MAX];
        redis_layout_state_key(key, publisher->name, g);
        status = get_text(publisher, key, text, sizeof text, err);
        if (status == STATUS_OK)
            status = group_read(&publisher->writer.groups[g], text, err);
    }
    if (status == STATUS_OK)
        status = read_flipped(publisher, err);
    if (status != STATUS_OK)
        disconnect(publisher);
    return status;
}

// The smallest place that a group still wants; one that the log no longer (or not yet) has begins
// at the oldest record, its rows stale until every slice has come by.
static enum status publisher_start_offset(void *state, uint32_t slot, int64_t *ret_offset,
                                          struct error *err) {
    struct publisher *publisher = state;
    int64_t begin, end, least = INT64_MAX;
    (void)slot;
    enum status status = log_topic_bounds(publisher->log, publisher->weights, 0, &begin, &end, err);
    if (status == STATUS_OK)
        status = connect_redis(publisher, err);
    if (status != STATUS_OK)
        return status;
    for (uint32_t g = 0; g < GROUPS; g++) {
        struct group *group = &publisher->writer.groups[g];
        if (group->offset < begin || group->offset > end) {
            if (group->text[0])
                logger_line(LOGGER_WARN, "publisher", "group-stale",
                            "group=%u wanted=%" PRId64 " oldest=%" PRId64 " newest=%" PRId64
                            " action=\"read again from the oldest\"",
                            g, group->offset, begin, end);
            group->offset = -1;
            group->done = false;
        }
        int64_t wanted = group->offset < 0 ? begin : group->offset;
        least = wanted < least ? wanted : least;
    }
    *ret_offset = least;
    return STATUS_OK;
}

// ---- one version --------------------------------------------------------------------------------

static enum status fold_open(struct publisher *publisher, const struct weights *weights,
                             int64_t offset, struct error *err) {
    publisher->head = *weights;
    buffer_reset(&publisher->spec);
    buffer_reset(&publisher->measures);
    buffer_append(&publisher->spec, weights->spec, weights->spec_length);
    buffer_append(&publisher->measures, weights->measures, weights->measures_length);
    if (publisher->spec.failed || publisher->measures.failed)
        return error_no_memory(err, weights->spec_length, "a version's head");
    publisher->slice = (struct weights){0};
    publisher->open = true;
    for (uint32_t g = 0; g < GROUPS; g++)
        group_open(&publisher->writer.groups[g], weights->lineage, weights->version, offset);
    return STATUS_OK;
}

static enum status fold_tensor(struct publisher *publisher, const struct weights *weights,
                               struct error *err) {
    char key[REDIS_LAYOUT_KEY_MAX], seconds[16];
    size_t length =
        redis_layout_tensors_key(key, publisher->name, weights->lineage, weights->version);
    uint32_t shape[2] = {weights->rows, weights->columns};
    struct redis_command *command = &publisher->command;
    struct buffer value;
    buffer_init(&value);
    buffer_append(&value, shape, sizeof shape);
    buffer_append(&value, weights->data, (size_t)weights->rows * weights->columns * sizeof(float));
    redis_command_reset(command);
    redis_command_add_text(command, "HSET");
    redis_command_add(command, key, length);
    redis_command_add(command, weights->name, weights->name_length);
    redis_command_add(command, value.data, value.length);
    enum status status = value.failed ? error_no_memory(err, value.length, "a tensor")
                                      : redis_send(publisher->redis, command, err);
    buffer_deinit(&value);
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

// Followers get the changed rows as the weights log's own records.
static enum status fold_delta(struct publisher *publisher, const struct weights *weights,
                              const struct log_record *record, struct error *err) {
    if (publisher->settings->deltas_max == 0 || (weights->lineage == publisher->flipped_lineage &&
                                                 weights->version <= publisher->flipped_version))
        return STATUS_OK;
    char key[REDIS_LAYOUT_KEY_MAX], most[24], version[48];
    redis_layout_deltas_key(key, publisher->name);
    snprintf(most, sizeof most, "%lld", (long long)publisher->settings->deltas_max);
    snprintf(version, sizeof version, "%016" PRIx64 " %" PRIu64, weights->lineage,
             weights->version);
    struct redis_command *command = &publisher->command;
    redis_command_reset(command);
    static const char *const words[] = {"XADD", NULL, "MAXLEN", "~", NULL, "*", "v"};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        redis_command_add_text(command, i == 1 ? key : i == 4 ? most : words[i]);
    redis_command_add_text(command, version);
    redis_command_add_text(command, "r");
    redis_command_add(command, record->value, record->value_length);
    return redis_send(publisher->redis, command, err);
}

static char *manifest_text(const struct publisher *publisher) {
    const struct weights *head = &publisher->head;
    char lineage[24];
    snprintf(lineage, sizeof lineage, "%016" PRIx64, head->lineage);
    json_t *spec = json_loadb((const char *)publisher->spec.data, publisher->spec.length, 0, NULL);
    json_t *measures =
        json_loadb((const char *)publisher->measures.data, publisher->measures.length, 0, NULL);
    json_t *root = json_pack(
        "{s:i, s:s, s:s, s:I, s:I, s:I, s:i, s:i, s:s, s:o*, s:o*}", "layout", REDIS_LAYOUT, "name",
        publisher->name, "lineage", lineage, "version", (json_int_t)head->version, "watermark_ms",
        (json_int_t)head->watermark_ms, "accepted_ms", (json_int_t)head->accepted_ms, "group_bits",
        REDIS_LAYOUT_GROUP_BITS, "bucket_bits", (int)publisher->settings->bucket_bits, "row_type",
        "fp32", "model", spec, "measures", measures);
    char *text = root ? json_dumps(root, JSON_COMPACT | JSON_REAL_PRECISION(17)) : NULL;
    json_decref(root);
    return text;
}

static enum status fold_commit(struct publisher *publisher, int64_t offset, struct error *err) {
    enum status status = STATUS_OK;
    if (publisher->slice.kind == WEIGHTS_SLICE)
        status = writer_slice(&publisher->writer, &publisher->slice, err);
    if (status == STATUS_OK)
        status = writer_commit(&publisher->writer, offset + 1, err);
    if (status != STATUS_OK)
        return status;
    publisher->open = false;
    publisher->watermark_ms = publisher->head.watermark_ms;
    bool newer = publisher->head.lineage != publisher->flipped_lineage ||
                 publisher->head.version > publisher->flipped_version;
    bool whole = publisher->slice_count > 0;
    for (uint32_t g = 0; g < GROUPS; g++) {
        const struct group *group = &publisher->writer.groups[g];
        // A group that is ahead holds rows of later versions: not a model that ever was.
        whole &= group->lineage == publisher->head.lineage &&
                 group->version == publisher->head.version && group->done &&
                 group_covers(group, publisher->slice_count);
    }
    if (publisher->incomplete)
        metric_set(publisher->incomplete, whole || !newer ? 0 : 1);
    if (!whole || !newer)
        return STATUS_OK;
    char *manifest = manifest_text(publisher);
    if (!manifest)
        return error_no_memory(err, publisher->spec.length, "the manifest");
    free(publisher->ready.manifest);
    publisher->ready = (struct ready){true, publisher->head.lineage, publisher->head.version,
                                      publisher->head.accepted_ms, manifest};
    return STATUS_OK;
}

static enum status fold_one(struct publisher *publisher, const struct weights *weights,
                            const struct log_record *record, struct error *err) {
    enum status status;
    switch (weights->kind) {
    case WEIGHTS_OPEN:
        return fold_open(publisher, weights, record->offset, err);
    case WEIGHTS_ROWS:
        status = writer_rows(&publisher->writer, weights, err);
        if (publisher->rows)
            metric_add(publisher->rows, weights->count);
        return status == STATUS_OK && !weights->whole ? fold_delta(publisher, weights, record, err)
                                                      : status;
    case WEIGHTS_TOMBSTONES:
        status = writer_tombstones(&publisher->writer, weights, err);
        return status == STATUS_OK ? fold_delta(publisher, weights, record, err) : status;
    case WEIGHTS_TENSOR:
        return fold_tensor(publisher, weights, err);
    case WEIGHTS_SLICE:
        publisher->slice = *weights; // its rows may stand before or behind it: COMMIT replaces
        publisher->slice_count = UINT64_C(1) << weights->slice_bits;
        return STATUS_OK;
    default:
        return fold_commit(publisher, record->offset, err);
    }
}

static enum status publisher_fold(void *state, const struct log_record *records, size_t count,
                                  struct stage_outputs *outputs, struct error *err) {
    struct publisher *publisher = state;
    (void)outputs;
    enum status status = connect_redis(publisher, err);
    for (size_t i = 0; status == STATUS_OK && i < count; i++) {
        struct weights weights;
        publisher->account.read++;
        if (weights_decode(records[i].value, records[i].value_length, &weights, err) != STATUS_OK)
            return error_prefix(err, "%s/0 offset %" PRId64, publisher->weights, records[i].offset);
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

static enum status flip(struct publisher *publisher, struct error *err) {
    struct ready *ready = &publisher->ready;
    char keys[4][REDIS_LAYOUT_KEY_MAX], channel[REDIS_LAYOUT_KEY_MAX], version[24];
    char next[GROUP_TEXT_MAX];
    bool same = ready->lineage == publisher->flipped_lineage;
    flip_state_key(keys[0], publisher->name);
    redis_layout_manifest_key(keys[1], publisher->name);
    redis_layout_tensors_key(keys[2], publisher->name, ready->lineage, ready->version);
    // The tensors of the version before the last stay for readers in the middle of a swap.
    redis_layout_tensors_key(keys[3], publisher->name, publisher->flipped_lineage,
                             publisher->flipped_previous);
    redis_layout_channel(channel, publisher->name);
    snprintf(version, sizeof version, "%" PRIu64, ready->version);
    snprintf(next, sizeof next, "%016" PRIx64 " %" PRIu64 " %" PRIu64, ready->lineage,
             ready->version, same ? publisher->flipped_version : 0);
    const char *words[] = {"EVALSHA", redis_script_sha(publisher->redis, REDIS_SCRIPT_FLIP),
                           "4",       keys[0],
                           keys[1],   keys[2],
                           keys[3],   publisher->flipped,
                           next,      ready->manifest,
                           channel,   version};
    redis_command_reset(&publisher->command);
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        redis_command_add_text(&publisher->command, words[i]);
    enum status status = redis_send(publisher->redis, &publisher->command, err);
    if (status == STATUS_OK)
        status = drain(publisher, err);
    if (status != STATUS_OK)
        return status;
    memcpy(publisher->flipped, next, sizeof next);
    publisher->flipped_previous = same ? publisher->flipped_version : 0;
    publisher->flipped_lineage = ready->lineage;
    publisher->flipped_version = ready->version;
    if (publisher->versions) {
        metric_add(publisher->versions, 1);
        metric_set(publisher->version_gauge, (double)ready->version);
        double age = (double)(publisher->clock->wall_ms(publisher->clock) - ready->accepted_ms);
        metric_observe(publisher->freshness, age / 1000);
    }
    logger_line(LOGGER_INFO, "publisher", "version", "lineage=%016" PRIx64 " version=%" PRIu64,
                ready->lineage, ready->version);
    free(ready->manifest);
    *ready = (struct ready){0};
    return STATUS_OK;
}

static enum status publisher_committing(void *state, struct error *err) {
    struct publisher *publisher = state;
    if (!publisher->redis)
        return STATUS_OK;
    enum status status = drain(publisher, err);
    return status == STATUS_OK && publisher->ready.pending ? flip(publisher, err) : status;
}

static size_t publisher_accounts(void *state, struct account *accounts, size_t max) {
    struct publisher *publisher = state;
    if (max > 0)
        accounts[0] = publisher->account;
    return max > 0 ? 1 : 0;
}

static int64_t publisher_watermark_ms(void *state) {
    return ((struct publisher *)state)->watermark_ms;
}

const struct stage_operations publisher_operations = {
    .name = "publisher",
    .reset = publisher_reset,
    .fold = publisher_fold,
    .committing = publisher_committing,
    .start_offset = publisher_start_offset,
    .accounts = publisher_accounts,
    .watermark_ms = publisher_watermark_ms,
};

enum status publisher_check(const struct publisher_settings *settings, struct error *err) {
    struct redis *redis;
    struct redis_command command = {0};
    redisReply *reply = NULL;
    enum status status = redis_open(&settings->redis, &redis, err);
    if (status != STATUS_OK)
        return status;
    redis_command_add_text(&command, "CONFIG");
    redis_command_add_text(&command, "GET");
    redis_command_add_text(&command, "maxmemory-policy");
    status = redis_ask(redis, &command, &reply, err);
    if (status == STATUS_OK && reply->type == REDIS_REPLY_ARRAY && reply->elements == 2 &&
        strcmp(reply->element[1]->str, "noeviction") != 0)
        status = error_set(err, STATUS_INVALID,
                           "Redis has maxmemory-policy %s, which would drop rows of the model: set "
                           "it to noeviction",
                           reply->element[1]->str);
    redis_reply_free(reply);
    redis_command_deinit(&command);
    redis_close(redis);
    return status;
}
