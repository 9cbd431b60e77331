// The decision to go back, and its steps; see rewind.h.
#include "publisher/rewind.h"

#include <inttypes.h>
#include <string.h>

#include <hiredis/hiredis.h>

#include "base/logger.h"

enum { CLEAR_BUCKETS = 256 };

static bool pin_is_out(const struct publisher *publisher) {
    const struct steer *steer = &publisher->steer;
    const struct manifest *manifest = &publisher->manifest;
    bool there = manifest->offset >= 0 && manifest->lineage == steer->lineage &&
                 manifest->version == steer->version;
    for (uint32_t g = 0; g < GROUPS; g++) {
        const struct group *group = &publisher->writer.groups[g];
        there &=
            group->done && group->lineage == steer->lineage && group->version == steer->version;
    }
    return there;
}

static bool is_beyond(const struct publisher *publisher, const struct catalogue_version *goal) {
    bool beyond = publisher->manifest.offset > goal->end;
    for (uint32_t g = 0; g < GROUPS; g++) {
        const struct group *group = &publisher->writer.groups[g];
        beyond |= group->text[0] && group->offset > (group->done ? goal->end : goal->open);
    }
    return beyond;
}

// The group's state becomes `next`, and these buckets are emptied.
static enum status set_back(struct publisher *publisher, uint32_t number, const char *next,
                            uint32_t first, uint32_t count, struct error *err) {
    struct redis_command *command = &publisher->command;
    const struct group *group = &publisher->writer.groups[number];
    char keys[CLEAR_BUCKETS + 1][REDIS_LAYOUT_KEY_MAX], key_count[16];
    struct redisReply *reply = NULL;
    snprintf(key_count, sizeof key_count, "%u", count + 1);
    redis_command_reset(command);
    redis_command_add_text(command, "EVALSHA");
    redis_command_add_text(command, redis_script_sha(publisher->redis, REDIS_SCRIPT_APPLY));
    redis_command_add_text(command, key_count);
    redis_layout_state_key(keys[0], publisher->name, number);
    for (uint32_t i = 0; i < count; i++)
        redis_layout_bucket_key(keys[i + 1], publisher->name, number, first + i);
    for (uint32_t i = 0; i <= count; i++)
        redis_command_add_text(command, keys[i]);
    redis_command_add_text(command, group->text);
    redis_command_add_text(command, next);
    redis_command_add(command, &group->version, sizeof group->version);
    for (uint32_t i = 0; i < count; i++) {
        redis_command_add_text(command, "R");
        redis_command_add_text(command, "0");
    }
    enum status status = redis_ask(publisher->redis, command, &reply, err);
    if (status == STATUS_OK && reply->type != REDIS_REPLY_INTEGER)
        status = error_set(err, STATUS_UNAVAILABLE,
                           "could not go back to an earlier version: Redis stands at '%.100s', "
                           "moved by a failover, a flush or another publisher; reading it again",
                           reply->type == REDIS_REPLY_STRING ? reply->str : "");
    redis_reply_free(reply);
    return status;
}

// With `clean` the group's rows go first: the log from `begin` on has all there ever were.
static enum status group_back(struct publisher *publisher, uint32_t number,
                              const struct catalogue_version *begin, bool clean,
                              struct error *err) {
    struct group *group = &publisher->writer.groups[number];
    struct group next = *group;
    unsigned shift = publisher->writer.bucket_bits - REDIS_LAYOUT_GROUP_BITS;
    uint32_t at = number << shift, end = (number + 1) << shift;
    enum status status = STATUS_OK;
    while (status == STATUS_OK && clean && at < end) {
        uint32_t count = end - at < CLEAR_BUCKETS ? end - at : CLEAR_BUCKETS;
        status = set_back(publisher, number, group->text, at, count, err);
        at += count;
    }
    next.lineage = begin->lineage;
    next.version = begin->version - 1;
    next.done = true;
    next.chunks = 0;
    next.offset = begin->open;
    next.since = begin->version;
    next.clean = clean;
    group_print(&next, next.text);
    if (status == STATUS_OK)
        status = set_back(publisher, number, next.text, 0, 0, err);
    if (status == STATUS_OK)
        *group = next;
    return status;
}

static enum status go_back(struct publisher *publisher, const struct catalogue_version *begin,
                           bool clean, struct error *err) {
    enum status status = manifest_retract(&publisher->manifest, publisher->redis, begin->lineage,
                                          begin->version - 1, begin->open, err);
    // A group without rows has a place of its own: from the beginning.
    for (uint32_t g = 0; status == STATUS_OK && g < GROUPS; g++)
        if (publisher->writer.groups[g].text[0])
            status = group_back(publisher, g, begin, clean, err);
    return status;
}

static void stay(const struct publisher *publisher, const char *reason) {
    logger_line(LOGGER_ERROR, "publisher", "pin-unreachable",
                "lineage=%016" PRIx64 " version=%" PRIu64 " reason=\"%s\" action=\"all stays as it "
                "is until another pin or unpin\"",
                publisher->steer.lineage, publisher->steer.version, reason);
}

enum status rewind_to_pin(struct publisher *publisher, struct error *err) {
    struct steer *steer = &publisher->steer;
    struct catalogue catalogue = {0};
    bool clean;
    if (pin_is_out(publisher)) {
        steer->limit = publisher->manifest.offset - 1;
        return STATUS_OK;
    }
    enum status status = catalogue_read(publisher->log, publisher->weights, false, &catalogue, err);
    if (status != STATUS_OK)
        return status;
    const struct catalogue_version *goal =
        catalogue_find(&catalogue, steer->lineage, steer->version);
    const struct catalogue_version *begin = goal ? catalogue_begin(&catalogue, goal, &clean) : NULL;
    bool beyond = goal && is_beyond(publisher, goal);
    if (!goal) {
        stay(publisher, "the weights log does not hold it");
    } else if (beyond && !begin) {
        stay(publisher, "the weights log does not reach back far enough to rebuild it");
    } else {
        if (beyond) {
            logger_line(LOGGER_INFO, "publisher", "going-back",
                        "from_version=%" PRIu64 " to_version=%" PRIu64 " reading_from=%" PRIu64,
                        publisher->manifest.version, goal->version, begin->version);
            status = go_back(publisher, begin, clean, err);
        }
        steer->limit = goal->open;
    }
    catalogue_deinit(&catalogue);
    return status;
}
