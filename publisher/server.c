// Questions to the server; see server.h.
#include "publisher/server.h"

#include <stdlib.h>
#include <string.h>

#include <hiredis/hiredis.h>

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

int64_t server_packed_bytes(struct redis *redis) {
    struct redisReply *reply = NULL;
    struct error ignored; // a server that forbids CONFIG serves as well
    int64_t bytes = INT64_MAX;
    const char *const words[] = {"CONFIG", "GET", "hash-max-listpack-value"};
    if (ask_words(redis, words, 3, &reply, &ignored) == STATUS_OK &&
        reply->type == REDIS_REPLY_ARRAY && reply->elements == 2 &&
        reply->element[1]->type == REDIS_REPLY_STRING)
        bytes = strtoll(reply->element[1]->str, NULL, 10);
    redis_reply_free(reply);
    return bytes;
}
