// publisher/redis.h on a server in memory, linked in place of publisher/redis.c.
//
// The server knows the commands that the publisher sends and what its three scripts do; anything
// else is a defect of the simulator and stops it. A command takes effect when it is sent, in order;
// a connection can be cut before or after the effect of one command, and knows nothing of its own
// fate then. tests/publisher/redis_real.c holds the same publisher to a real server.
#include "publisher/redis.h"

#include <stdlib.h>
#include <string.h>

#include <hiredis/hiredis.h>

#include "tests/simulator/sim.h"

struct bytes {
    unsigned char *data;
    size_t length;
};
struct field {
    struct bytes name, value;
};
struct key {
    char *name;
    struct field *fields; // a string's value is its one field without a name
    size_t count, room;
};
struct store {
    struct key *keys;
    size_t count, room;
};
struct redis {
    uint64_t connection; // lost when the server counts on
    bool lost;
    struct redisReply **replies; // [waiting] not yet taken
    size_t waiting, room;
};

enum { MEMORIES = 4 };
static struct {
    struct store now, memory[MEMORIES];
    size_t remembered;
    bool up;
    uint64_t connection;
    uint64_t cut_at; // commands left, 0 = no plan
    bool cut_applied;
    uint64_t stream_ids;
} server;

static void *must(void *block) {
    REQUIRE(block);
    return block;
}

static struct bytes bytes_copy(const void *data, size_t length) {
    struct bytes copy = {must(memory_new(length + 1, 1)), length};
    if (length > 0)
        memcpy(copy.data, data, length);
    return copy;
}

static void key_clear(struct key *key) {
    for (size_t i = 0; i < key->count; i++) {
        memory_free(key->fields[i].name.data);
        memory_free(key->fields[i].value.data);
    }
    key->count = 0;
}

static void store_clear(struct store *store) {
    for (size_t i = 0; i < store->count; i++) {
        key_clear(&store->keys[i]);
        memory_free(store->keys[i].fields);
        memory_free(store->keys[i].name);
    }
    memory_free(store->keys);
    *store = (struct store){0};
}

static struct key *key_find(const char *name, size_t length) {
    for (size_t i = 0; i < server.now.count; i++)
        if (strlen(server.now.keys[i].name) == length &&
            memcmp(server.now.keys[i].name, name, length) == 0)
            return &server.now.keys[i];
    return NULL;
}

static struct key *key_in(struct store *store, const char *name, size_t length) {
    if (store->count == store->room) {
        size_t room = store->room ? store->room * 2 : 64;
        store->keys = must(memory_resize(store->keys, store->room, room, sizeof *store->keys));
        store->room = room;
    }
    struct key *key = &store->keys[store->count++];
    *key = (struct key){.name = (char *)bytes_copy(name, length).data};
    return key;
}

static struct field *field_find(struct key *key, const void *name, size_t length) {
    for (size_t i = 0; key && i < key->count; i++)
        if (key->fields[i].name.length == length &&
            (length == 0 || memcmp(key->fields[i].name.data, name, length) == 0))
            return &key->fields[i];
    return NULL;
}

static void field_set(struct key *key, const void *name, size_t name_length, const void *value,
                      size_t length) {
    struct field *field = field_find(key, name, name_length);
    if (!field) {
        if (key->count == key->room) {
            size_t room = key->room ? key->room * 2 : 8;
            key->fields = must(memory_resize(key->fields, key->room, room, sizeof *key->fields));
            key->room = room;
        }
        field = &key->fields[key->count++];
        *field = (struct field){.name = bytes_copy(name, name_length)};
    }
    memory_free(field->value.data);
    field->value = bytes_copy(value, length);
}

static void field_remove(struct key *key, const void *name, size_t length) {
    struct field *field = field_find(key, name, length);
    if (!field)
        return;
    memory_free(field->name.data);
    memory_free(field->value.data);
    *field = key->fields[--key->count];
}

static void key_remove(const char *name, size_t length) {
    struct key *key = key_find(name, length);
    if (!key)
        return;
    key_clear(key);
    memory_free(key->fields);
    memory_free(key->name);
    *key = server.now.keys[--server.now.count];
}

static struct key *key_get(const char *name, size_t length) {
    struct key *key = key_find(name, length);
    return key ? key : key_in(&server.now, name, length);
}

static struct store store_copy(const struct store *from) {
    struct store copy = {0};
    for (size_t i = 0; i < from->count; i++) {
        const struct key *key = &from->keys[i];
        struct key *to = key_in(&copy, key->name, strlen(key->name));
        for (size_t f = 0; f < key->count; f++)
            field_set(to, key->fields[f].name.data, key->fields[f].name.length,
                      key->fields[f].value.data, key->fields[f].value.length);
    }
    return copy;
}

// ---- what may befall the server

void sim_redis_init(void) {
    store_clear(&server.now);
    while (server.remembered > 0)
        store_clear(&server.memory[--server.remembered]);
    server.up = true;
    server.cut_at = server.stream_ids = 0;
    server.connection++;
}

void sim_redis_up(bool up) {
    server.up = up;
    if (!up)
        server.connection++;
}

void sim_redis_lose_connections(void) {
    server.connection++;
}

void sim_redis_flush(void) {
    store_clear(&server.now);
    server.connection++;
}

void sim_redis_remember(void) {
    if (server.remembered == MEMORIES) {
        store_clear(&server.memory[0]);
        memmove(server.memory, server.memory + 1, (MEMORIES - 1) * sizeof *server.memory);
        server.remembered--;
    }
    server.memory[server.remembered++] = store_copy(&server.now);
}

bool sim_redis_rewind(void) {
    if (server.remembered == 0)
        return false;
    store_clear(&server.now);
    server.now = server.memory[--server.remembered];
    server.memory[server.remembered] = (struct store){0};
    server.connection++;
    return true;
}

void sim_redis_cut(uint64_t n, bool applied) {
    server.cut_at = n;
    server.cut_applied = applied;
}

const unsigned char *sim_redis_value(const char *name, const void *field, size_t field_length,
                                     size_t *ret_length) {
    struct field *found = field_find(key_find(name, strlen(name)), field, field_length);
    if (found)
        *ret_length = found->value.length;
    return found ? found->value.data : NULL;
}

void sim_redis_each_field(const char *part,
                          void (*each)(void *self, const char *key, const unsigned char *field,
                                       size_t field_length, const unsigned char *value,
                                       size_t value_length),
                          void *self) {
    for (size_t i = 0; i < server.now.count; i++) {
        const struct key *key = &server.now.keys[i];
        for (size_t f = 0; strstr(key->name, part) && f < key->count; f++)
            each(self, key->name, key->fields[f].name.data, key->fields[f].name.length,
                 key->fields[f].value.data, key->fields[f].value.length);
    }
}

// ---- commands

struct words {
    const char **text;
    const size_t *length;
    size_t count;
};

static bool says(const struct words *words, size_t at, const char *text) {
    return at < words->count && words->length[at] == strlen(text) &&
           memcmp(words->text[at], text, words->length[at]) == 0;
}

static size_t number_at(const struct words *words, size_t at) {
    char text[32];
    REQUIRE(at < words->count && words->length[at] < sizeof text);
    memcpy(text, words->text[at], words->length[at]);
    text[words->length[at]] = '\0';
    return (size_t)strtoull(text, NULL, 10);
}

static struct redisReply *reply_make(int type) {
    struct redisReply *reply = must(memory_new(1, sizeof *reply));
    reply->type = type;
    return reply;
}

static struct redisReply *reply_number(long long number) {
    struct redisReply *reply = reply_make(REDIS_REPLY_INTEGER);
    reply->integer = number;
    return reply;
}

static struct redisReply *reply_text(const void *text, size_t length) {
    struct redisReply *reply = reply_make(REDIS_REPLY_STRING);
    reply->str = (char *)bytes_copy(text, length).data;
    reply->len = length;
    return reply;
}

// GET as the scripts see it: "" where there is no key.
static struct bytes text_of(const struct words *words, size_t at) {
    struct field *field = field_find(key_find(words->text[at], words->length[at]), "", 0);
    return field ? field->value : (struct bytes){(unsigned char *)(uintptr_t) "", 0};
}

static bool is_expected(const struct words *words, size_t state, size_t expected) {
    struct bytes now = text_of(words, state);
    return now.length == words->length[expected] &&
           memcmp(now.data, words->text[expected], now.length) == 0;
}

static void text_set(const struct words *words, size_t key, size_t value) {
    field_set(key_get(words->text[key], words->length[key]), "", 0, words->text[value],
              words->length[value]);
}

// See the scripts' text in publisher/redis.c.
static struct redisReply *script_apply(const struct words *words, size_t keys) {
    size_t state = 3, args = state + keys;
    if (!is_expected(words, state, args)) {
        struct bytes now = text_of(words, state);
        return reply_text(now.data, now.length);
    }
    size_t at = args + 3;
    for (size_t k = state + 1; k < state + keys; k++) {
        const char mode = words->text[at][0];
        size_t count = number_at(words, at + 1);
        at += 2;
        if (mode == 'R')
            key_remove(words->text[k], words->length[k]);
        struct key *key = count > 0 && mode != 'D' ? key_get(words->text[k], words->length[k])
                                                   : key_find(words->text[k], words->length[k]);
        if (count > 0 && mode != 'D')
            field_set(key, "v", 1, words->text[args + 2], words->length[args + 2]);
        for (size_t i = 0; i < count && mode == 'D' && key; i++)
            field_remove(key, words->text[at + i], words->length[at + i]);
        for (size_t i = 0; i < count && mode != 'D'; i += 2)
            field_set(key, words->text[at + i], words->length[at + i], words->text[at + i + 1],
                      words->length[at + i + 1]);
        at += count;
    }
    REQUIRE(at == words->count);
    text_set(words, state, args + 1);
    return reply_number(1);
}

static struct redisReply *script_flip(const struct words *words, size_t keys) {
    size_t state = 3, args = state + keys;
    REQUIRE(keys == 5 && words->count == args + 6);
    if (!is_expected(words, state, args)) {
        struct bytes now = text_of(words, state);
        return reply_text(now.data, now.length);
    }
    if (!key_find(words->text[state + 2], words->length[state + 2]))
        return reply_text("tensors that expired", 20);
    text_set(words, state + 1, args + 2);
    if (words->length[state + 3] != words->length[state + 2] ||
        memcmp(words->text[state + 3], words->text[state + 2], words->length[state + 3]) != 0)
        key_remove(words->text[state + 3], words->length[state + 3]);
    text_set(words, state, args + 1);
    return reply_number(1);
}

static struct redisReply *script_retract(const struct words *words, size_t keys) {
    size_t state = 3, args = state + keys;
    REQUIRE(keys == 4 && words->count == args + 3);
    if (!is_expected(words, state, args)) {
        struct bytes now = text_of(words, state);
        return reply_text(now.data, now.length);
    }
    key_remove(words->text[state + 1], words->length[state + 1]);
    text_set(words, state, args + 1);
    return reply_number(1);
}

static struct redisReply *command_run(const struct words *words) {
    if (says(words, 0, "EVALSHA")) {
        size_t keys = number_at(words, 2);
        return says(words, 1, "apply")  ? script_apply(words, keys)
               : says(words, 1, "flip") ? script_flip(words, keys)
                                        : script_retract(words, keys);
    }
    if (says(words, 0, "GET")) {
        struct field *field = field_find(key_find(words->text[1], words->length[1]), "", 0);
        return field ? reply_text(field->value.data, field->value.length)
                     : reply_make(REDIS_REPLY_NIL);
    }
    if (says(words, 0, "HSET")) {
        for (size_t i = 2; i + 1 < words->count; i += 2)
            field_set(key_get(words->text[1], words->length[1]), words->text[i], words->length[i],
                      words->text[i + 1], words->length[i + 1]);
        return reply_number(1);
    }
    if (says(words, 0, "XADD")) {
        char id[32];
        int length = snprintf(id, sizeof id, "%llu-0", (unsigned long long)++server.stream_ids);
        return reply_text(id, (size_t)length);
    }
    if (says(words, 0, "EXPIRE")) // an hour is longer than any run
        return reply_number(1);
    if (says(words, 0, "INFO"))
        return reply_text("maxmemory_policy:noeviction\r\n", 29);
    if (says(words, 0, "CONFIG"))
        return reply_make(REDIS_REPLY_NIL);
    fprintf(stderr, "sim_redis: no such command: %.*s\n", (int)words->length[0], words->text[0]);
    REQUIRE(false);
}

// ---- publisher/redis.h

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
    if (command->count == command->room) {
        size_t room = command->room ? command->room * 2 : 64;
        command->arguments = must(
            memory_resize(command->arguments, command->room, room, sizeof *command->arguments));
        command->lengths =
            must(memory_resize(command->lengths, command->room, room, sizeof *command->lengths));
        command->room = room;
    }
    command->arguments[command->count] = bytes;
    command->lengths[command->count++] = length;
}

void redis_command_add_text(struct redis_command *command, const char *text) {
    redis_command_add(command, text, strlen(text));
}

static enum status lost(struct redis *redis, struct error *err) {
    redis->lost = true;
    return error_set(err, STATUS_UNAVAILABLE, "could not talk to Redis: the connection closed");
}

enum status redis_send(struct redis *redis, const struct redis_command *command,
                       struct error *err) {
    if (redis->lost || redis->connection != server.connection || sim_gate() != GATE_PASS)
        return lost(redis, err);
    bool cut = server.cut_at > 0 && --server.cut_at == 0;
    if (cut && !server.cut_applied)
        return lost(redis, err);
    const struct words words = {command->arguments, command->lengths, command->count};
    struct redisReply *reply = command_run(&words);
    if (cut) {
        redis_reply_free(reply);
        return lost(redis, err);
    }
    if (redis->waiting == redis->room) {
        size_t room = redis->room ? redis->room * 2 : 64;
        redis->replies =
            must(memory_resize(redis->replies, redis->room, room, sizeof *redis->replies));
        redis->room = room;
    }
    redis->replies[redis->waiting++] = reply;
    return STATUS_OK;
}

enum status redis_take(struct redis *redis, struct redisReply **ret_reply, struct error *err) {
    REQUIRE(redis->waiting > 0);
    if (redis->lost || redis->connection != server.connection)
        return lost(redis, err);
    *ret_reply = redis->replies[0];
    memmove(redis->replies, redis->replies + 1, --redis->waiting * sizeof *redis->replies);
    return STATUS_OK;
}

void redis_reply_free(struct redisReply *reply) {
    if (!reply)
        return;
    memory_free(reply->str);
    memory_free(reply);
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
    struct redisReply *reply = NULL;
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
    (void)redis;
    static const char *const names[REDIS_SCRIPTS] = {"apply", "flip", "retract"};
    return names[script];
}

enum status redis_open(const struct publisher_redis *settings, struct redis **ret_redis,
                       struct error *err) {
    (void)settings;
    if (!server.up || sim_process->dead)
        return error_set(err, STATUS_UNAVAILABLE, "could not connect to Redis: it is down");
    *ret_redis = must(memory_new(1, sizeof **ret_redis));
    (*ret_redis)->connection = server.connection;
    return STATUS_OK;
}

void redis_close(struct redis *redis) {
    if (!redis)
        return;
    for (size_t i = 0; i < redis->waiting; i++)
        redis_reply_free(redis->replies[i]);
    memory_free(redis->replies);
    memory_free(redis);
}
