// Questions to the server; see server.h.
#include "publisher/server.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include <hiredis/hiredis.h>

#include "base/logger.h"

static enum status ask_words(struct redis *redis, const char *const *words, size_t count,
                             struct redisReply **ret_reply, struct error *err) {
    struct redis_command command = {0};
    for (size_t i = 0; i < count; i++)
        redis_command_add_text(&command, words[i]);
    enum status status = redis_ask(redis, &command, ret_reply, err);
    redis_command_deinit(&command);
    return status;
}

enum status server_check(struct redis *redis, struct error *err) {
    static const char field[] = "maxmemory_policy:";
    struct redisReply *reply = NULL;
    enum status status = ask_words(redis, (const char *[]){"INFO", "memory"}, 2, &reply, err);
    if (status != STATUS_OK)
        return status;
    const char *found = reply->type == REDIS_REPLY_STRING ? strstr(reply->str, field) : NULL;
    if (found) {
        const char *policy = found + strlen(field);
        int length = (int)strcspn(policy, "\r\n");
        if (length != (int)strlen("noeviction") || strncmp(policy, "noeviction", 10) != 0)
            status = error_set(err, STATUS_INVALID,
                               "Redis has maxmemory-policy %.*s, which would drop rows of the "
                               "model: set it to noeviction",
                               length, policy);
    }
    redis_reply_free(reply);
    return status;
}

// A server that forbids CONFIG serves as well.
static enum status limit(struct redis *redis, const char *name, int64_t *ret_limit,
                         struct error *err) {
    struct redisReply *reply = NULL;
    const char *const words[] = {"CONFIG", "GET", name};
    enum status status = ask_words(redis, words, 3, &reply, err);
    *ret_limit = INT64_MAX;
    if (status == STATUS_OK && reply->type == REDIS_REPLY_ARRAY && reply->elements == 2 &&
        reply->element[1]->type == REDIS_REPLY_STRING)
        *ret_limit = strtoll(reply->element[1]->str, NULL, 10);
    redis_reply_free(reply);
    return status == STATUS_UNAVAILABLE ? status : STATUS_OK;
}

enum status server_packing(struct redis *redis, struct server_packing *packing, struct error *err) {
    enum status status = limit(redis, "hash-max-listpack-value", &packing->value_bytes, err);
    return status == STATUS_OK ? limit(redis, "hash-max-listpack-entries", &packing->entries, err)
                               : status;
}

void server_check_row(struct server_packing *packing, int64_t bytes) {
    if (bytes <= packing->value_bytes || packing->row_warned)
        return;
    packing->row_warned = true;
    logger_line(LOGGER_WARN, "publisher", "rows-not-packed",
                "row_bytes=%" PRId64 " hash_max_listpack_value=%" PRId64
                " cost=\"about twice the memory\" action=\"CONFIG SET hash-max-listpack-value "
                "%" PRId64 "\"",
                bytes, packing->value_bytes, bytes);
}

void server_check_bucket(struct server_packing *packing, int64_t rows, unsigned bucket_bits) {
    int64_t fields = rows + 1; // the bucket's version is one as well
    if (fields <= packing->entries || packing->bucket_warned)
        return;
    packing->bucket_warned = true;
    unsigned wanted = bucket_bits;
    // Buckets of about half the limit leave room for growth and for the fuller ones among them.
    for (int64_t each = fields; each > packing->entries * 2 / 3 && wanted < 26; each /= 2)
        wanted++;
    logger_line(LOGGER_WARN, "publisher", "buckets-not-packed",
                "bucket_rows=%" PRId64 " hash_max_listpack_entries=%" PRId64
                " cost=\"about twice the memory\" action=\"CONFIG SET hash-max-listpack-entries "
                "%" PRId64 ", or publish under another name with publisher.bucket_bits %u\"",
                rows, packing->entries, fields * 2, wanted);
}
