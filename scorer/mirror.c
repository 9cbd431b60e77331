// The connection on hiredis; see mirror.h.
#include "scorer/mirror.h"

#include <string.h>
#include <sys/time.h>

#include <hiredis/hiredis.h>

struct mirror {
    redisContext *context;
    char name[128], where[256];
};

static enum status lost(const struct mirror *mirror, struct error *err) {
    return error_set(err, STATUS_UNAVAILABLE, "could not read from Redis at %s: %s", mirror->where,
                     mirror->context->errstr[0] ? mirror->context->errstr
                                                : "the connection closed");
}

enum status mirror_send(struct mirror *mirror, const char *const *words, size_t count,
                        struct error *err) {
    size_t lengths[16];
    REQUIRE(count <= 16);
    for (size_t i = 0; i < count; i++)
        lengths[i] = strlen(words[i]);
    // hiredis wants the array without the inner const; it does not write.
    if (redisAppendCommandArgv(mirror->context, (int)count, (const char **)(uintptr_t)words,
                               lengths) != REDIS_OK)
        return lost(mirror, err);
    return STATUS_OK;
}

enum status mirror_take(struct mirror *mirror, struct redisReply **ret_reply, struct error *err) {
    void *reply = NULL;
    if (redisGetReply(mirror->context, &reply) != REDIS_OK || !reply)
        return lost(mirror, err);
    redisReply *got = reply;
    if (got->type == REDIS_REPLY_ERROR) {
        bool passing = strncmp(got->str, "LOADING", 7) == 0 ||
                       strncmp(got->str, "MASTERDOWN", 10) == 0 ||
                       strncmp(got->str, "CLUSTERDOWN", 11) == 0;
        enum status status =
            error_set(err, passing ? STATUS_UNAVAILABLE : STATUS_INVALID,
                      "could not read from Redis at %s: %s", mirror->where, got->str);
        freeReplyObject(got);
        return status;
    }
    *ret_reply = got;
    return STATUS_OK;
}

enum status mirror_ask(struct mirror *mirror, const char *const *words, size_t count,
                       struct redisReply **ret_reply, struct error *err) {
    enum status status = mirror_send(mirror, words, count, err);
    return status == STATUS_OK ? mirror_take(mirror, ret_reply, err) : status;
}

void mirror_reply_free(struct redisReply *reply) {
    if (reply)
        freeReplyObject(reply);
}

enum status mirror_get(struct mirror *mirror, const char *key, struct buffer *into, bool *ret_found,
                       struct error *err) {
    redisReply *reply = NULL;
    enum status status = mirror_ask(mirror, (const char *[]){"GET", key}, 2, &reply, err);
    if (status != STATUS_OK)
        return status;
    *ret_found = reply->type == REDIS_REPLY_STRING;
    if (*ret_found)
        buffer_append(into, reply->str, (size_t)reply->len);
    mirror_reply_free(reply);
    return into->failed ? error_no_memory(err, into->length, key) : STATUS_OK;
}

const char *mirror_name(const struct mirror *mirror) {
    return mirror->name;
}

static enum status say(struct mirror *mirror, const char *const *words, size_t count,
                       struct error *err) {
    redisReply *reply = NULL;
    enum status status = mirror_ask(mirror, words, count, &reply, err);
    mirror_reply_free(reply);
    return status;
}

static enum status enter(struct mirror *mirror, const struct freshet_scorer_options *options,
                         struct error *err) {
    enum status status = STATUS_OK;
    const char *password = options->password ? options->password : "";
    if (password[0] && options->user && options->user[0])
        status = say(mirror, (const char *[]){"AUTH", options->user, password}, 3, err);
    else if (password[0])
        status = say(mirror, (const char *[]){"AUTH", password}, 2, err);
    if (status == STATUS_OK && options->database != 0) {
        char number[16];
        snprintf(number, sizeof number, "%d", options->database);
        status = say(mirror, (const char *[]){"SELECT", number}, 2, err);
    }
    return status;
}

enum status mirror_open(const struct freshet_scorer_options *options, struct mirror **ret_mirror,
                        struct error *err) {
    struct mirror *mirror = memory_new(1, sizeof *mirror);
    if (!mirror)
        return error_no_memory(err, sizeof *mirror, "a Redis connection");
    int timeout_ms = options->timeout_ms > 0 ? options->timeout_ms : 5000;
    int port = options->port > 0 ? options->port : 6379;
    const char *host = options->host ? options->host : "127.0.0.1";
    struct timeval timeout = {.tv_sec = timeout_ms / 1000,
                              .tv_usec = (suseconds_t)(timeout_ms % 1000) * 1000};
    bool local = options->socket && options->socket[0];
    if (local)
        snprintf(mirror->where, sizeof mirror->where, "%s", options->socket);
    else
        snprintf(mirror->where, sizeof mirror->where, "%s:%d", host, port);
    snprintf(mirror->name, sizeof mirror->name, "%s", options->name);
    mirror->context = local ? redisConnectUnixWithTimeout(options->socket, timeout)
                            : redisConnectWithTimeout(host, port, timeout);
    enum status status = STATUS_OK;
    if (!mirror->context)
        status = error_no_memory(err, sizeof(redisContext), "a Redis connection");
    else if (mirror->context->err)
        status = error_set(err, STATUS_UNAVAILABLE, "could not connect to Redis at %s: %s",
                           mirror->where, mirror->context->errstr);
    else if (redisSetTimeout(mirror->context, timeout) != REDIS_OK)
        status = lost(mirror, err);
    if (status == STATUS_OK)
        status = enter(mirror, options, err);
    if (status == STATUS_OK)
        *ret_mirror = mirror;
    else
        mirror_close(mirror);
    return status;
}

void mirror_close(struct mirror *mirror) {
    if (!mirror)
        return;
    if (mirror->context)
        redisFree(mirror->context);
    memory_free(mirror);
}
