// Redis as the scorer reads it: commands out, replies in.
#ifndef FRESHET_SCORER_MIRROR_H
#define FRESHET_SCORER_MIRROR_H

#include "base/memory.h"
#include "scorer/freshet_scorer.h"

struct redisReply; // hiredis
struct mirror;     // the connection; one owner thread

CHECKED enum status mirror_open(const struct freshet_scorer_options *options,
                                struct mirror **ret_mirror, struct error *err);
void mirror_close(struct mirror *mirror);             // NULL is fine
const char *mirror_name(const struct mirror *mirror); // the deployment's

// Queues a command of texts; its reply is taken in order. STATUS_UNAVAILABLE: the connection is
// lost or the server cannot answer now; STATUS_INVALID: it refuses.
CHECKED enum status mirror_send(struct mirror *mirror, const char *const *words, size_t count,
                                struct error *err);
CHECKED enum status mirror_take(struct mirror *mirror, struct redisReply **ret_reply,
                                struct error *err); // freed by mirror_reply_free
CHECKED enum status mirror_ask(struct mirror *mirror, const char *const *words, size_t count,
                               struct redisReply **ret_reply, struct error *err);
void mirror_reply_free(struct redisReply *reply);
// The key's text, appended; *ret_found = false when there is none.
CHECKED enum status mirror_get(struct mirror *mirror, const char *key, struct buffer *into,
                               bool *ret_found, struct error *err);

#endif
