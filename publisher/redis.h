// A connection to Redis: pipelined commands, replies translated into our statuses.
//
// STATUS_UNAVAILABLE: the connection is lost, the server is loading, read-only, out of memory or
// has no script of ours: nothing is known of commands without a reply; connect again.
// STATUS_INVALID: the server refuses us for good (password, privilege, database).
#ifndef FRESHET_PUBLISHER_REDIS_H
#define FRESHET_PUBLISHER_REDIS_H

#include "base/memory.h"
#include "publisher/settings.h"

struct redisReply; // hiredis

struct redis; // one owner thread

// Connects, authenticates, selects the database and loads the scripts.
CHECKED enum status redis_open(const struct publisher_redis *settings, struct redis **ret_redis,
                               struct error *err);
void redis_close(struct redis *redis); // NULL is fine

// An argument list that grows: pointers are borrowed until redis_send.
struct redis_command {
    const char **arguments;
    size_t *lengths;
    size_t count, room;
    bool failed; // memory is out: redis_send says so
};
void redis_command_deinit(struct redis_command *command);
void redis_command_reset(struct redis_command *command);
void redis_command_add(struct redis_command *command, const void *bytes, size_t length);
void redis_command_add_text(struct redis_command *command, const char *text);

// Queues the command; its reply is to be taken by redis_take in the same order.
CHECKED enum status redis_send(struct redis *redis, const struct redis_command *command,
                               struct error *err);
// Sends what is queued and waits for the next reply; freed by redis_reply_free. Error replies are
// failures.
CHECKED enum status redis_take(struct redis *redis, struct redisReply **ret_reply,
                               struct error *err);
void redis_reply_free(struct redisReply *reply);
size_t redis_waiting(const struct redis *redis); // replies not yet taken
// redis_send and redis_take where nothing else is queued.
CHECKED enum status redis_ask(struct redis *redis, const struct redis_command *command,
                              struct redisReply **ret_reply, struct error *err);

// GET of a short text; "" where there is no such key. Nothing else may be queued.
CHECKED enum status redis_get_text(struct redis *redis, const char *key, char *text, size_t size,
                                   struct error *err);

// The scripts, by their SHA1 once loaded.
enum redis_script { REDIS_SCRIPT_APPLY, REDIS_SCRIPT_FLIP, REDIS_SCRIPT_RETRACT, REDIS_SCRIPTS };
const char *redis_script_sha(const struct redis *redis, enum redis_script script);

#endif
