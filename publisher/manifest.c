// The manifest's JSON, its state and its flip; see manifest.h.
#include "publisher/manifest.h"

#include <inttypes.h>
#include <string.h>

#include <hiredis/hiredis.h>
#include <jansson.h>

#include "record/redis_layout.h"

// Tensors of a lineage that was left, or of a version taken back, for readers still on it.
#define OLD_LINEAGE_KEPT_S "3600"

void manifest_init(struct manifest *manifest, const char *name) {
    *manifest = (struct manifest){.name = name, .offset = -1};
}

void manifest_reset(struct manifest *manifest) {
    free(manifest->next.json); // jansson's
    manifest_init(manifest, manifest->name);
}

enum status manifest_fetch(struct manifest *manifest, struct redis *redis, struct error *err) {
    char key[REDIS_LAYOUT_KEY_MAX];
    struct manifest read = {.name = manifest->name, .offset = -1};
    redis_layout_manifest_state_key(key, manifest->name);
    enum status status = redis_get_text(redis, key, read.text, sizeof read.text, err);
    if (status != STATUS_OK)
        return status;
    char rest;
    if (read.text[0] &&
        (sscanf(read.text, "%" SCNx64 " %" SCNu64 " %" SCNu64 " %" SCNd64 "%c", &read.lineage,
                &read.version, &read.previous, &read.offset, &rest) != 4 ||
         read.offset < 0))
        return error_set(
            err, STATUS_CORRUPT,
            "could not read '%.80s' at %s in Redis: delete the model's keys to publish "
            "it anew",
            read.text, key);
    manifest_reset(manifest);
    *manifest = read;
    return STATUS_OK;
}

enum status manifest_prepare(struct manifest *manifest, const struct weights *head, int64_t offset,
                             unsigned bucket_bits, enum redis_row_type row_type, int64_t control,
                             struct error *err) {
    char lineage[24];
    snprintf(lineage, sizeof lineage, "%016" PRIx64, head->lineage);
    json_t *model = json_loadb(head->spec, head->spec_length, 0, NULL);
    json_t *measures = json_loadb(head->measures, head->measures_length, 0, NULL);
    json_t *root = json_pack(
        "{s:i, s:s, s:s, s:I, s:I, s:I, s:i, s:i, s:s, s:I, s:o*, s:o*}", "layout", REDIS_LAYOUT,
        "name", manifest->name, "lineage", lineage, "version", (json_int_t)head->version,
        "watermark_ms", (json_int_t)head->watermark_ms, "accepted_ms",
        (json_int_t)head->accepted_ms, "group_bits", REDIS_LAYOUT_GROUP_BITS, "bucket_bits",
        (int)bucket_bits, "row_type", redis_row_type_name(row_type), "control", (json_int_t)control,
        "model", model, "measures", measures);
    char *json = root ? json_dumps(root, JSON_COMPACT | JSON_REAL_PRECISION(17)) : NULL;
    json_decref(root);
    if (!json)
        return error_no_memory(err, head->spec_length, "the manifest");
    free(manifest->next.json);
    manifest->next.lineage = head->lineage;
    manifest->next.version = head->version;
    manifest->next.accepted_ms = head->accepted_ms;
    manifest->next.offset = offset;
    manifest->next.json = json;
    return STATUS_OK;
}

static enum status send_flip(const struct manifest *manifest, const char *next, struct redis *redis,
                             struct redisReply **ret_reply, struct error *err) {
    char keys[5][REDIS_LAYOUT_KEY_MAX], channel[REDIS_LAYOUT_KEY_MAX], version[24];
    redis_layout_manifest_state_key(keys[0], manifest->name);
    redis_layout_manifest_key(keys[1], manifest->name);
    redis_layout_tensors_key(keys[2], manifest->name, manifest->next.lineage,
                             manifest->next.version);
    redis_layout_tensors_key(keys[3], manifest->name, manifest->lineage, manifest->previous);
    redis_layout_tensors_key(keys[4], manifest->name, manifest->lineage, manifest->version);
    redis_layout_channel(channel, manifest->name);
    snprintf(version, sizeof version, "%" PRIu64, manifest->next.version);
    bool another = manifest->text[0] && manifest->lineage != manifest->next.lineage;
    const char *words[] = {"EVALSHA",
                           redis_script_sha(redis, REDIS_SCRIPT_FLIP),
                           "5",
                           keys[0],
                           keys[1],
                           keys[2],
                           keys[3],
                           keys[4],
                           manifest->text,
                           next,
                           manifest->next.json,
                           channel,
                           version,
                           another ? OLD_LINEAGE_KEPT_S : "0"};
    struct redis_command command = {0};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        redis_command_add_text(&command, words[i]);
    enum status status = redis_ask(redis, &command, ret_reply, err);
    redis_command_deinit(&command);
    return status;
}

enum status manifest_flip(struct manifest *manifest, struct redis *redis, struct error *err) {
    char next[GROUP_TEXT_MAX];
    struct redisReply *reply = NULL;
    uint64_t previous = manifest->next.lineage == manifest->lineage ? manifest->version : 0;
    snprintf(next, sizeof next, "%016" PRIx64 " %" PRIu64 " %" PRIu64 " %" PRId64,
             manifest->next.lineage, manifest->next.version, previous, manifest->next.offset);
    enum status status = send_flip(manifest, next, redis, &reply, err);
    if (status == STATUS_OK && reply->type != REDIS_REPLY_INTEGER)
        status =
            error_set(err, STATUS_UNAVAILABLE,
                      "could not bring out version %" PRIu64
                      ": Redis stands at '%.100s', moved by a failover, a flush or another "
                      "publisher; reading it again",
                      manifest->next.version, reply->type == REDIS_REPLY_STRING ? reply->str : "");
    redis_reply_free(reply);
    if (status != STATUS_OK)
        return status;
    memcpy(manifest->text, next, sizeof next);
    manifest->previous = previous;
    manifest->lineage = manifest->next.lineage;
    manifest->version = manifest->next.version;
    manifest->offset = manifest->next.offset;
    free(manifest->next.json);
    manifest->next.json = NULL;
    return STATUS_OK;
}

enum status manifest_retract(struct manifest *manifest, struct redis *redis, uint64_t lineage,
                             uint64_t version, int64_t offset, struct error *err) {
    char keys[4][REDIS_LAYOUT_KEY_MAX], next[GROUP_TEXT_MAX];
    struct redisReply *reply = NULL;
    struct redis_command command = {0};
    snprintf(next, sizeof next, "%016" PRIx64 " %" PRIu64 " 0 %" PRId64, lineage, version, offset);
    if (strcmp(next, manifest->text) == 0)
        return STATUS_OK;
    redis_layout_manifest_state_key(keys[0], manifest->name);
    redis_layout_manifest_key(keys[1], manifest->name);
    redis_layout_tensors_key(keys[2], manifest->name, manifest->lineage, manifest->version);
    redis_layout_tensors_key(keys[3], manifest->name, manifest->lineage, manifest->previous);
    const char *words[] = {"EVALSHA", redis_script_sha(redis, REDIS_SCRIPT_RETRACT),
                           "4",       keys[0],
                           keys[1],   keys[2],
                           keys[3],   manifest->text,
                           next,      OLD_LINEAGE_KEPT_S};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        redis_command_add_text(&command, words[i]);
    enum status status = redis_ask(redis, &command, &reply, err);
    redis_command_deinit(&command);
    if (status == STATUS_OK && reply->type != REDIS_REPLY_INTEGER)
        status = error_set(err, STATUS_UNAVAILABLE,
                           "could not take version %" PRIu64 " back: Redis stands at '%.100s', "
                           "moved by a failover, a flush or another publisher; reading it again",
                           manifest->version, reply->type == REDIS_REPLY_STRING ? reply->str : "");
    redis_reply_free(reply);
    if (status != STATUS_OK)
        return status;
    memcpy(manifest->text, next, sizeof next);
    manifest->lineage = lineage;
    manifest->version = version;
    manifest->previous = 0;
    manifest->offset = offset;
    return STATUS_OK;
}

enum status manifest_ask(const struct publisher_redis *settings, const char *name,
                         uint64_t *ret_lineage, uint64_t *ret_version, struct error *err) {
    struct manifest manifest;
    struct redis *redis;
    char key[REDIS_LAYOUT_KEY_MAX], begin[8] = "";
    manifest_init(&manifest, name);
    redis_layout_manifest_key(key, name);
    enum status status = redis_open(settings, &redis, err);
    if (status != STATUS_OK)
        return status;
    status = redis_get_text(redis, key, begin, sizeof begin, err);
    if (status == STATUS_OK)
        status = manifest_fetch(&manifest, redis, err);
    if (status == STATUS_OK) {
        bool out = begin[0] != '\0'; // taken away while an earlier version is brought back
        *ret_lineage = out ? manifest.lineage : 0;
        *ret_version = out ? manifest.version : 0;
    }
    redis_close(redis);
    return status;
}
