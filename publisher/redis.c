// The connection, on hiredis; and the scripts that compare and set.
#include "publisher/redis.h"

#include <string.h>
#include <sys/time.h>

#include <hiredis/hiredis.h>

enum { WRITE_BYTES = 256 * 1024, WRITE_WAITING_MAX = 4096 };

struct redis {
    redisContext *context;
    size_t waiting;
    size_t unsent; // bytes queued since the last write to the socket, about
    char where[256];
    char sha[REDIS_SCRIPTS][48];
};

// APPLY: KEYS state, bucket...; ARGV expected state, new state, version (8 bytes), then for each
// bucket a mode (S set, R replace, D delete), the number of arguments behind, and these. The rows
// and the group's state change together, or, where the state is not the expected one, not at all.
// FLIP: KEYS state, manifest, tensors, tensors to remove, tensors to keep for the readers of
// another lineage; ARGV expected, new, manifest, channel, version, seconds to keep those (0 = no
// such).
// RETRACT: KEYS state, manifest, its tensors, those of the version before; ARGV expected, new,
// seconds to keep these tensors.
static const char *const script_texts[REDIS_SCRIPTS] = {
    "local now = redis.call('GET', KEYS[1]) or ''\n"
    "if now ~= ARGV[1] then return now end\n"
    "local a = 4\n"
    "for i = 2, #KEYS do\n"
    "  local mode, n = ARGV[a], tonumber(ARGV[a + 1])\n"
    "  a = a + 2\n"
    "  if mode == 'R' then redis.call('DEL', KEYS[i]) end\n"
    "  if n > 0 and mode == 'D' then redis.call('HDEL', KEYS[i], unpack(ARGV, a, a + n - 1)) end\n"
    "  if n > 0 and mode ~= 'D' then\n"
    "    redis.call('HSET', KEYS[i], 'v', ARGV[3], unpack(ARGV, a, a + n - 1))\n"
    "  end\n"
    "  a = a + n\n"
    "end\n"
    "redis.call('SET', KEYS[1], ARGV[2])\n"
    "return 1\n",
    "local now = redis.call('GET', KEYS[1]) or ''\n"
    "if now ~= ARGV[1] then return now end\n"
    "if redis.call('EXISTS', KEYS[3]) == 0 then return 'tensors that expired' end\n"
    "redis.call('SET', KEYS[2], ARGV[3])\n"
    "redis.call('PERSIST', KEYS[3])\n"
    "if KEYS[4] ~= KEYS[3] then redis.call('DEL', KEYS[4]) end\n"
    "if ARGV[6] ~= '0' then redis.call('EXPIRE', KEYS[5], ARGV[6]) end\n"
    "redis.call('SET', KEYS[1], ARGV[2])\n"
    "redis.call('PUBLISH', ARGV[4], ARGV[5])\n"
    "return 1\n",
    "local now = redis.call('GET', KEYS[1]) or ''\n"
    "if now ~= ARGV[1] then return now end\n"
    "redis.call('DEL', KEYS[2])\n"
    "redis.call('EXPIRE', KEYS[3], ARGV[3])\n"
    "redis.call('EXPIRE', KEYS[4], ARGV[3])\n"
    "redis.call('SET', KEYS[1], ARGV[2])\n"
    "return 1\n",
};

void redis_command_deinit(struct redis_command *command) {
    memory_free(command->arguments);
    memory_free(command->lengths);
    *command = (struct redis_command){0};
}

void redis_command_reset(struct redis_command *command) {
    command->count = 0;
    command->failed = false;
}

void redis_command_add(struct redis_command *command, const void *bytes, size_t length) {
    if (command->failed)
        return;
    if (command->count == command->room) {
        size_t room = command->room ? command->room * 2 : 64;
        const char **arguments =
            memory_resize(command->arguments, command->room, room, sizeof *arguments);
        if (arguments)
            command->arguments = arguments;
        size_t *lengths =
            arguments ? memory_resize(command->lengths, command->room, room, sizeof *lengths)
                      : NULL;
        if (!lengths) {
            command->failed = true;
            return;
        }
        command->lengths = lengths;
        command->room = room;
    }
    command->arguments[command->count] = bytes;
    command->lengths[command->count++] = length;
}

void redis_command_add_text(struct redis_command *command, const char *text) {
    redis_command_add(command, text, strlen(text));
}

static enum status lost(const struct redis *redis, struct error *err) {
    return error_set(err, STATUS_UNAVAILABLE, "could not talk to Redis at %s: %s", redis->where,
                     redis->context->errstr[0] ? redis->context->errstr : "the connection closed");
}

enum status redis_send(struct redis *redis, const struct redis_command *command,
                       struct error *err) {
    if (command->failed)
        return error_no_memory(err, command->room * sizeof(char *), "a Redis command");
    // hiredis wants the array without the outer const; it does not write.
    if (redisAppendCommandArgv(redis->context, (int)command->count,
                               (const char **)(uintptr_t)command->arguments,
                               command->lengths) != REDIS_OK)
        return lost(redis, err);
    redis->waiting++;
    for (size_t i = 0; i < command->count; i++)
        redis->unsent += command->lengths[i];
    // The server works on the first chunks while the next are made. Its replies are a few bytes
    // each, so they fit the socket's buffer until redis_take.
    int done = redis->unsent < WRITE_BYTES || redis->waiting > WRITE_WAITING_MAX;
    while (!done)
        if (redisBufferWrite(redis->context, &done) != REDIS_OK)
            return lost(redis, err);
        else if (done)
            redis->unsent = 0;
    return STATUS_OK;
}

static bool begins(const char *text, const char *with) {
    return strncmp(text, with, strlen(with)) == 0;
}

static enum status translate(const struct redis *redis, const char *reply, struct error *err) {
    static const struct {
        const char *begins;
        enum status status;
        const char *advice;
    } known[] = {
        {"OOM", STATUS_UNAVAILABLE, "it is out of memory: raise its maxmemory"},
        {"READONLY", STATUS_UNAVAILABLE, "it is a read-only replica: name the primary"},
        {"LOADING", STATUS_UNAVAILABLE, "it is loading its data"},
        {"NOSCRIPT", STATUS_UNAVAILABLE, "it has lost our scripts: they are loaded again"},
        {"MASTERDOWN", STATUS_UNAVAILABLE, "its primary is down"},
        {"MISCONF", STATUS_UNAVAILABLE, "it cannot save and refuses writes: see its disk"},
        {"CLUSTERDOWN", STATUS_UNAVAILABLE, "its cluster is down"},
        {"NOAUTH", STATUS_INVALID, "set publisher.redis.password"},
        {"WRONGPASS", STATUS_INVALID, "publisher.redis.user or password is wrong"},
        {"NOPERM", STATUS_INVALID, "its ACL denies the user a command or key"},
    };
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (begins(reply, known[i].begins))
            return error_set(err, known[i].status, "could not write to Redis at %s: %s (%s)",
                             redis->where, known[i].advice, reply);
    return error_set(err, STATUS_INVALID, "could not write to Redis at %s: %s", redis->where,
                     reply);
}

enum status redis_take(struct redis *redis, struct redisReply **ret_reply, struct error *err) {
    void *reply = NULL;
    REQUIRE(redis->waiting > 0);
    if (redisGetReply(redis->context, &reply) != REDIS_OK || !reply)
        return lost(redis, err);
    redis->waiting--;
    redisReply *got = reply;
    if (got->type == REDIS_REPLY_ERROR) {
        enum status status = translate(redis, got->str, err);
        freeReplyObject(got);
        return status;
    }
    *ret_reply = got;
    return STATUS_OK;
}

void redis_reply_free(struct redisReply *reply) {
    if (reply)
        freeReplyObject(reply);
}

size_t redis_waiting(const struct redis *redis) {
    return redis->waiting;
}

enum status redis_ask(struct redis *redis, const struct redis_command *command,
                      struct redisReply **ret_reply, struct error *err) {
    REQUIRE(redis->waiting == 0);
    enum status status = redis_send(redis, command, err);
    return status == STATUS_OK ? redis_take(redis, ret_reply, err) : status;
}

enum status redis_get_text(struct redis *redis, const char *key, char *text, size_t size,
                           struct error *err) {
    struct redis_command command = {0};
    redisReply *reply = NULL;
    redis_command_add_text(&command, "GET");
    redis_command_add_text(&command, key);
    enum status status = redis_ask(redis, &command, &reply, err);
    if (status == STATUS_OK)
        snprintf(text, size, "%s", reply->type == REDIS_REPLY_STRING ? reply->str : "");
    redis_reply_free(reply);
    redis_command_deinit(&command);
    return status;
}

const char *redis_script_sha(const struct redis *redis, enum redis_script script) {
    return redis->sha[script];
}

// A command of a few words whose reply does not matter beyond being no error.
static enum status say(struct redis *redis, const char *const *words, size_t count,
                       struct error *err) {
    struct redis_command command = {0};
    struct redisReply *reply = NULL;
    for (size_t i = 0; i < count; i++)
        redis_command_add_text(&command, words[i]);
    enum status status = redis_ask(redis, &command, &reply, err);
    redis_reply_free(reply);
    redis_command_deinit(&command);
    return status;
}

static enum status enter(struct redis *redis, const struct publisher_redis *settings,
                         struct error *err) {
    enum status status = STATUS_OK;
    if (settings->password[0] && settings->user[0])
        status = say(redis, (const char *[]){"AUTH", settings->user, settings->password}, 3, err);
    else if (settings->password[0])
        status = say(redis, (const char *[]){"AUTH", settings->password}, 2, err);
    if (status == STATUS_OK && settings->database != 0) {
        char number[24];
        snprintf(number, sizeof number, "%lld", (long long)settings->database);
        status = say(redis, (const char *[]){"SELECT", number}, 2, err);
    }
    return status;
}

static enum status load_scripts(struct redis *redis, struct error *err) {
    struct redis_command command = {0};
    enum status status = STATUS_OK;
    for (size_t i = 0; status == STATUS_OK && i < REDIS_SCRIPTS; i++) {
        redisReply *reply = NULL;
        redis_command_reset(&command);
        redis_command_add_text(&command, "SCRIPT");
        redis_command_add_text(&command, "LOAD");
        redis_command_add_text(&command, script_texts[i]);
        status = redis_ask(redis, &command, &reply, err);
        if (status == STATUS_OK && (reply->type != REDIS_REPLY_STRING || !reply->str))
            status = error_set(err, STATUS_INVALID,
                               "could not load a script into Redis at %s: it answered nothing",
                               redis->where);
        if (status == STATUS_OK)
            snprintf(redis->sha[i], sizeof redis->sha[i], "%s", reply->str);
        redis_reply_free(reply);
    }
    redis_command_deinit(&command);
    return status;
}

enum status redis_open(const struct publisher_redis *settings, struct redis **ret_redis,
                       struct error *err) {
    struct redis *redis = memory_new(1, sizeof *redis);
    if (!redis)
        return error_no_memory(err, sizeof *redis, "a Redis connection");
    struct timeval timeout = {.tv_sec = (time_t)(settings->timeout_ms / 1000),
                              .tv_usec = (suseconds_t)(settings->timeout_ms % 1000) * 1000};
    bool local = settings->socket[0] != '\0';
    if (local)
        snprintf(redis->where, sizeof redis->where, "%s", settings->socket);
    else
        snprintf(redis->where, sizeof redis->where, "%s:%lld", settings->host,
                 (long long)settings->port);
    redis->context = local ? redisConnectUnixWithTimeout(settings->socket, timeout)
                           : redisConnectWithTimeout(settings->host, (int)settings->port, timeout);
    enum status status = STATUS_OK;
    if (!redis->context)
        status = error_no_memory(err, sizeof(redisContext), "a Redis connection");
    else if (redis->context->err)
        status = error_set(err, STATUS_UNAVAILABLE, "could not connect to Redis at %s: %s",
                           redis->where, redis->context->errstr);
    else if (redisSetTimeout(redis->context, timeout) != REDIS_OK)
        status = lost(redis, err);
    if (status == STATUS_OK)
        status = enter(redis, settings, err);
    if (status == STATUS_OK)
        status = load_scripts(redis, err);
    if (status == STATUS_OK)
        *ret_redis = redis;
    else
        redis_close(redis);
    return status;
}

void redis_close(struct redis *redis) {
    if (!redis)
        return;
    if (redis->context)
        redisFree(redis->context);
    memory_free(redis);
}
