// Where groups and manifest stand in Redis, and where to read on in the logs.
#include "publisher/rewind.h"

#include <inttypes.h>

#include "base/logger.h"

void places_disconnect(struct publisher *publisher) {
    redis_close(publisher->redis);
    publisher->redis = NULL;
    publisher->writer.redis = NULL;
}

// What it warns of keeps nobody from publishing.
static enum status look_at_server(struct publisher *publisher, struct error *err) {
    enum status status = server_check(publisher->redis, err);
    if (status == STATUS_INVALID) {
        logger_line(LOGGER_WARN, "publisher", "server", "reason=\"%s\"", err->message);
        status = STATUS_OK;
    }
    if (status == STATUS_OK)
        status = server_packing(publisher->redis, &publisher->packing, err);
    if (status == STATUS_OK)
        server_check_row(&publisher->packing,
                         publisher_row_bytes(publisher, publisher->row_floats_max));
    return status;
}

enum status places_connect(struct publisher *publisher, struct error *err) {
    if (publisher->redis)
        return STATUS_OK;
    enum status status = redis_open(&publisher->settings->redis, &publisher->redis, err);
    publisher->writer.redis = publisher->redis;
    if (status == STATUS_OK)
        status = look_at_server(publisher, err);
    for (uint32_t g = 0; status == STATUS_OK && g < GROUPS; g++) {
        char key[REDIS_LAYOUT_KEY_MAX], text[GROUP_TEXT_MAX];
        redis_layout_state_key(key, publisher->name, g);
        status = redis_get_text(publisher->redis, key, text, sizeof text, err);
        if (status == STATUS_OK)
            status = group_read(&publisher->writer.groups[g], text,
                                (unsigned)publisher->settings->bucket_bits,
                                publisher_row_type(publisher), err);
    }
    if (status == STATUS_OK)
        status = manifest_fetch(&publisher->manifest, publisher->redis, err);
    if (status != STATUS_OK)
        places_disconnect(publisher);
    return status;
}

// What the control log says by now, and Redis taken back where that asks for it.
static enum status steer_begin(struct publisher *publisher, struct error *err) {
    struct steer *steer = &publisher->steer;
    enum status status = STATUS_OK;
    steer->held = 0;
    if (publisher->control)
        status = steer_load(steer, publisher->log, publisher->control, err);
    if (status == STATUS_OK && steer->pinned)
        status = rewind_to_pin(publisher, err);
    if (publisher->pinned) {
        metric_set(publisher->pinned, steer->pinned ? (double)steer->version : 0);
        metric_set(publisher->held_versions, 0);
    }
    return status;
}

// The smallest place that a group or the manifest still wants; one that the log no longer (or not
// yet) has begins at the oldest record, its rows stale until every slice has come by.
enum status places_start(void *state, uint32_t slot, int64_t *ret_offset, struct error *err) {
    struct publisher *publisher = state;
    int64_t begin, end, least = INT64_MAX;
    if (slot == CONTROL_SLOT) {
        *ret_offset = publisher->steer.control_next;
        return STATUS_OK;
    }
    enum status status = log_topic_bounds(publisher->log, publisher->weights, 0, &begin, &end, err);
    if (status == STATUS_OK)
        status = places_connect(publisher, err);
    if (status == STATUS_OK)
        status = steer_begin(publisher, err);
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
    struct manifest *manifest = &publisher->manifest;
    if (manifest->offset < begin || manifest->offset > end)
        manifest->offset = -1;
    int64_t wanted = manifest->offset < 0 ? begin : manifest->offset;
    *ret_offset = wanted < least ? wanted : least;
    return STATUS_OK;
}
