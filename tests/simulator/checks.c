// The properties; see checks.h.
#include "tests/simulator/checks.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "model/model.h"
#include "record/example.h"
#include "record/redis_layout.h"
#include "publisher/group.h"
#include "record/weights.h"
#include "trainer/trainer.h"

// ---- reading a topic to its end

typedef void record_visit(void *self, const struct log_record *record);

static void topic_read(struct world *world, const char *topic, int32_t partition,
                       record_visit *each, void *self) {
    static struct process reader_process;
    struct process *running = sim_process;
    struct log *log = world->log;
    struct log_reader *reader = NULL;
    struct error err = {0};
    int64_t at = 0, end = 0;
    sim_process = &reader_process;
    if (world->kind == WORLD_FILES) {
        const struct log_files_options options = {
            .directory = "/sim/0/log", .segment_bytes = 20000, .fsync = true};
        REQUIRE(log_open_files(&options, &log, &err) == STATUS_OK);
    }
    const struct log_position position = {topic, partition, 0};
    enum status status = log_topic_bounds(log, topic, partition, &at, &end, &err);
    if (status == STATUS_OK)
        status = log_reader_open(log, &position, 1, &reader, &err);
    at = 0;
    while (status == STATUS_OK && at < end) {
        struct log_batch batch = {0};
        status = log_reader_poll(reader, 1000, 0, &batch, &err);
        if (status == STATUS_TIMEOUT)
            status = STATUS_OK;
        for (size_t i = 0; status == STATUS_OK && i < batch.count; i++)
            each(self, &batch.records[i]);
        if (status == STATUS_OK)
            status = log_reader_position(reader, 0, &at, &err);
    }
    if (status != STATUS_OK)
        world_violate(world, "%s/%d cannot be read: %s", topic, (int)partition, err.message);
    log_reader_close(reader);
    if (log != world->log)
        log_close(log);
    sim_process = running;
}

// ---- the model that the weights log holds

struct row { // or a tensor: then `name` is set
    char name[64];
    uint32_t table;
    uint64_t id;
    size_t count;
    float *values;
};
struct copy {
    struct world *world;
    uint64_t lineage, version, wanted; // committed; where to stop
    bool open, done;
    struct row *rows;
    size_t count, room;
    size_t matched; // of them, by what Redis or the trainer holds
};

static struct row *copy_row(struct copy *copy, const char *name, size_t name_length, uint32_t table,
                            uint64_t id, size_t count, bool make) {
    for (size_t i = 0; i < copy->count; i++) {
        struct row *row = &copy->rows[i];
        if (row->table == table && row->id == id && strlen(row->name) == name_length &&
            memcmp(row->name, name, name_length) == 0)
            return row;
    }
    if (!make)
        return NULL;
    if (copy->count == copy->room) {
        size_t room = copy->room ? copy->room * 2 : 256;
        copy->rows = memory_resize(copy->rows, copy->room, room, sizeof *copy->rows);
        REQUIRE(copy->rows);
        copy->room = room;
    }
    struct row *row = &copy->rows[copy->count++];
    *row = (struct row){.table = table, .id = id, .count = count};
    REQUIRE(name_length < sizeof row->name);
    memcpy(row->name, name, name_length);
    row->values = memory_new(count + 1, sizeof(float));
    REQUIRE(row->values);
    return row;
}

static void copy_take_rows(struct copy *copy, const struct weights *weights) {
    for (uint32_t i = 0; i < weights->count; i++) {
        uint64_t id;
        memcpy(&id, weights->ids + (size_t)i * sizeof id, sizeof id);
        struct row *row = copy_row(copy, "", 0, weights->table, id, weights->dimension, true);
        memcpy(row->values, weights->values + (size_t)i * weights->dimension * sizeof(float),
               weights->dimension * sizeof(float));
    }
}

static void copy_take_tombstones(struct copy *copy, const struct weights *weights) {
    for (uint32_t i = 0; i < weights->count; i++) {
        uint64_t id;
        memcpy(&id, weights->ids + (size_t)i * sizeof id, sizeof id);
        struct row *row = copy_row(copy, "", 0, weights->table, id, 0, false);
        if (!row)
            continue;
        memory_free(row->values);
        *row = copy->rows[--copy->count];
    }
}

static void copy_take(void *self, const struct log_record *record) {
    struct copy *copy = self;
    struct weights weights;
    struct error err;
    if (copy->done || record->end_of_stream)
        return;
    if (weights_decode(record->value, record->value_length, &weights, &err) != STATUS_OK) {
        world_violate(copy->world, "the weights log holds %s", err.message);
        return;
    }
    if (weights.kind != WEIGHTS_OPEN && !copy->open)
        world_violate(copy->world, "the weights log has a version without its beginning");
    if (weights.kind == WEIGHTS_OPEN) {
        if (copy->open || weights.version != copy->version + 1)
            world_violate(copy->world, "the weights log goes from version %" PRIu64 " to %" PRIu64,
                          copy->version, weights.version);
        copy->open = true;
        copy->lineage = weights.lineage;
    } else if (weights.kind == WEIGHTS_ROWS) {
        copy_take_rows(copy, &weights);
    } else if (weights.kind == WEIGHTS_TOMBSTONES) {
        copy_take_tombstones(copy, &weights);
    } else if (weights.kind == WEIGHTS_TENSOR) {
        size_t total = weights.rows_total ? weights.rows_total : weights.rows;
        struct row *row =
            copy_row(copy, weights.name, weights.name_length, 0, 0, total * weights.columns, true);
        memcpy(row->values + (size_t)weights.first_row * weights.columns, weights.data,
               (size_t)weights.rows * weights.columns * sizeof(float));
    } else if (weights.kind == WEIGHTS_COMMIT) {
        copy->open = false;
        copy->version++;
        copy->done = copy->version == copy->wanted;
    }
}

static void copy_make(struct copy *copy, struct world *world, uint64_t version) {
    *copy = (struct copy){.world = world, .wanted = version};
    topic_read(world, world->settings.trainer.weights, 0, copy_take, copy);
}

static void copy_free(struct copy *copy) {
    for (size_t i = 0; i < copy->count; i++)
        memory_free(copy->rows[i].values);
    memory_free(copy->rows);
}

static void copy_compare(struct copy *copy, const struct row *row, const void *values, size_t bytes,
                         const char *where) {
    if (!row)
        world_violate(copy->world, "version %" PRIu64 ": %s has what the weights log has not",
                      copy->version, where);
    else if (bytes != row->count * sizeof(float) || memcmp(row->values, values, bytes) != 0)
        world_violate(copy->world,
                      "version %" PRIu64 ": %s differs from the weights log in %s row %u/%" PRIx64,
                      copy->version, where, row->name, row->table, row->id);
    copy->matched++;
}

static void redis_row(void *self, const char *key, const unsigned char *field, size_t field_length,
                      const unsigned char *value, size_t value_length) {
    struct copy *copy = self;
    uint32_t table;
    uint64_t id;
    uint32_t bucket = (uint32_t)strtoul(strstr(key, "}:b:") + 4, NULL, 10);
    unsigned bits = (unsigned)copy->world->settings.publisher.bucket_bits;
    if (!redis_layout_field_read(field, field_length, bucket, bits, &table, &id))
        return; // the bucket's version
    copy_compare(copy, copy_row(copy, "", 0, table, id, 0, false), value, value_length, "Redis");
}

static void redis_tensor(void *self, const char *key, const unsigned char *field,
                         size_t field_length, const unsigned char *value, size_t value_length) {
    struct copy *copy = self;
    char name[64] = "", end[32];
    // Tensors of version 12 may linger where those of version 1 are asked for.
    snprintf(end, sizeof end, ":%" PRIu64, copy->version);
    if (strcmp(strrchr(key, ':'), end) != 0)
        return;
    REQUIRE(field_length < sizeof name && value_length >= 8);
    memcpy(name, field, field_length);
    copy_compare(copy, copy_row(copy, name, field_length, 0, 0, 0, false), value + 8,
                 value_length - 8, "Redis");
}

// ---- the manifest

struct place {
    uint64_t lineage, version;
    char word[32]; // "done", or chunks applied
};

static bool place_read(const char *key, struct place *ret_place) {
    size_t length;
    char text[GROUP_TEXT_MAX] = "";
    const unsigned char *value = sim_redis_value(key, "", 0, &length);
    if (!value || length >= sizeof text)
        return false;
    memcpy(text, value, length);
    return sscanf(text, "%" SCNx64 " %" SCNu64 " %31s", &ret_place->lineage, &ret_place->version,
                  ret_place->word) == 3;
}

// Every group has the manifest's version, or is past it. *ret_exact: all are at it.
static void check_groups(struct world *world, const struct place *manifest, bool *ret_exact) {
    *ret_exact = true;
    for (uint32_t g = 0; g < 1U << REDIS_LAYOUT_GROUP_BITS; g++) {
        char key[REDIS_LAYOUT_KEY_MAX];
        struct place place = {0};
        redis_layout_state_key(key, world->settings.name, g);
        bool there = place_read(key, &place), done = strcmp(place.word, "done") == 0;
        if (!there || place.lineage != manifest->lineage || place.version < manifest->version ||
            (place.version == manifest->version && !done))
            world_violate(world,
                          "the manifest names version %" PRIu64 ", and group %u stands at %" PRIu64
                          " %s",
                          manifest->version, g, place.version, place.word);
        *ret_exact = *ret_exact && done && place.version == manifest->version;
    }
}

void check_manifest(struct world *world, bool whole) {
    char key[REDIS_LAYOUT_KEY_MAX];
    struct place manifest;
    size_t length;
    bool exact;
    redis_layout_manifest_state_key(key, world->settings.name);
    if (!place_read(key, &manifest))
        return;
    check_groups(world, &manifest, &exact);
    redis_layout_manifest_key(key, world->settings.name);
    const unsigned char *json = sim_redis_value(key, "", 0, &length);
    char wanted[64];
    // Taken away while an earlier version is brought back: its place is that of no version.
    if (!json && strcmp(manifest.word, "0") == 0)
        return;
    snprintf(wanted, sizeof wanted, "\"version\":%" PRIu64 ",", manifest.version);
    if (!json || !strstr((const char *)json, wanted))
        world_violate(world, "the manifest and its state name different versions");
    if (!whole || !exact)
        return;
    struct copy copy;
    copy_make(&copy, world, manifest.version);
    snprintf(key, sizeof key, "%s:{m}:t:%016" PRIx64 ":%" PRIu64, world->settings.name,
             manifest.lineage, manifest.version);
    sim_redis_each_field(key, redis_tensor, &copy);
    sim_redis_each_field("}:b:", redis_row, &copy);
    if (copy.version != manifest.version || copy.matched != copy.count)
        world_violate(world, "version %" PRIu64 ": Redis holds %zu of %zu rows and tensors",
                      manifest.version, copy.matched, copy.count);
    copy_free(&copy);
}

// ---- the end

struct records {
    struct world *world;
    uint64_t hash;
    int64_t sequence;
    struct example_shape shape;
    bool examples;
    unsigned char *finals; // [finals_room] tasks settled, by impression
    size_t finals_room;
};

static void finals_take(struct records *records, const struct log_record *record) {
    struct example example;
    struct error err;
    if (example_decode(&records->shape, record->value, record->value_length, &example, &err) !=
        STATUS_OK) {
        world_violate(records->world, "an example cannot be decoded: %s", err.message);
        return;
    }
    if (!(example.kind & EXAMPLE_FINAL))
        return;
    size_t at = (size_t)example.impression;
    REQUIRE(at < 1U << 20);
    if (at >= records->finals_room) {
        size_t room = (at + 1) * 2;
        records->finals = memory_resize(records->finals, records->finals_room, room, 1);
        REQUIRE(records->finals);
        records->finals_room = room;
    }
    if (records->finals[at] & example.mask)
        world_violate(records->world, "impression %zu has a label twice", at);
    records->finals[at] |= (unsigned char)example.mask;
}

static void records_take(void *self, const struct log_record *record) {
    struct records *records = self;
    if (record->sequence != records->sequence++)
        world_violate(records->world, "a record with sequence %" PRId64 " stands at %" PRId64,
                      record->sequence, records->sequence - 1);
    int64_t head[2] = {record->timestamp_ms, record->end_of_stream};
    // A task that had ended and was started again may say once more that it has.
    if (record->end_of_stream)
        return;
    records->hash = hash_chain(records->hash, head, sizeof head);
    records->hash = hash_chain(records->hash, record->key, record->key_length);
    records->hash = hash_chain(records->hash, record->value, record->value_length);
    if (records->examples)
        finals_take(records, record);
}

static uint64_t topic_hash(struct world *world, const char *topic, bool examples) {
    struct records records = {
        .world = world, .examples = examples, .shape = example_shape_of(&world->settings.data)};
    for (int32_t p = 0; p < PARTITIONS; p++) {
        records.sequence = 0;
        topic_read(world, topic, p, records_take, &records);
        memory_free(records.finals);
        records.finals = NULL;
        records.finals_room = 0;
    }
    return records.hash;
}

static void accounts_take(struct world *world, const struct actor *actor, struct outcome *outcome) {
    struct account accounts[INGEST_INPUTS_MAX];
    size_t count =
        actor_operations(actor)->accounts(actor->life.state, accounts, INGEST_INPUTS_MAX);
    for (size_t i = 0; i < count; i++) {
        const struct account *account = &accounts[i];
        size_t at = strlen(outcome->accounts), room = sizeof outcome->accounts;
        if (!account_balances(account) || account->in_flight > 0)
            world_violate(world, "%s: the account of %s does not balance at the end", actor->name,
                          account->input);
        if (actor->kind == PUBLISHER)
            continue; // what it applies again counts again
        int wrote = snprintf(outcome->accounts + at, room - at, "%s %s %" PRIu64 " %" PRIu64,
                             actor->name, account->input, account->read, account->used);
        for (size_t k = 0; k < account->reason_count && (size_t)wrote < room - at; k++)
            if (account->dropped[k] > 0)
                wrote += snprintf(outcome->accounts + at + wrote, room - at - (size_t)wrote,
                                  " %s=%" PRIu64, account->reasons[k], account->dropped[k]);
        at = strlen(outcome->accounts);
        snprintf(outcome->accounts + at, room - at, "\n");
    }
}

static enum status trainer_row(void *self, size_t table, uint64_t id, const float *values,
                               struct error *err) {
    struct copy *copy = self;
    const struct row *row = copy_row(copy, "", 0, (uint32_t)table, id, 0, false);
    (void)err;
    copy_compare(copy, row, values, row ? row->count * sizeof(float) : 0, "the trainer");
    return STATUS_OK;
}

// The last version is the trainer's model, and Redis holds the last version.
static void check_model(struct world *world) {
    struct copy copy;
    struct error err;
    struct place manifest = {0};
    char key[REDIS_LAYOUT_KEY_MAX];
    copy_make(&copy, world, 0);
    redis_layout_manifest_state_key(key, world->settings.name);
    if (!place_read(key, &manifest) || manifest.version != copy.version)
        world_violate(world, "Redis is at version %" PRIu64 ", the weights log at %" PRIu64,
                      manifest.version, copy.version);
    check_manifest(world, true);
    struct learner *learner = trainer_learner(world->actors[TRAINER].life.state);
    for (uint32_t slice = 0; slice < 2; slice++)
        REQUIRE(learner_each_row_in_slice(learner, slice, 1, trainer_row, &copy, &err) ==
                STATUS_OK);
    const struct model *model = learner_model(learner);
    for (size_t i = 0; i < model_tensor_count(model); i++) {
        const struct model_tensor *tensor = model_tensor_at(model, i);
        copy_compare(&copy, copy_row(&copy, tensor->name, strlen(tensor->name), 0, 0, 0, false),
                     tensor->data, tensor->rows * tensor->columns * sizeof(float), "the trainer");
    }
    if (copy.matched != copy.count)
        world_violate(world, "the trainer holds %zu of the %zu rows and tensors published",
                      copy.matched, copy.count);
    copy_free(&copy);
}

static uint64_t trainer_state(const struct world *world) {
    return actor_operations(&world->actors[TRAINER])
        ->fingerprint(world->actors[TRAINER].life.state);
}

// The task begins again from its oldest checkpoint, or from nothing where it never took one: what
// its journal tells is the same state.
static void check_replay(struct world *world, struct actor *actor) {
    char generations[160];
    uint64_t before = actor->kind == TRAINER ? trainer_state(world) : 0;
    struct life again = world_life(world, 9000 + actor->kind, "again");
    life_end(actor, &actor->life);
    if (world->checkpoints)
        sim_disk_copy_tree(actor->life.directory, again.directory);
    snprintf(generations, sizeof generations, "%s/checkpoints", again.directory);
    sim_disk_keep_first(generations);
    actor->life = again;
    if (!actor_start(world, actor))
        world_violate(world, "%s cannot replay its journal", actor->name);
    else if (actor->kind == TRAINER && trainer_state(world) != before)
        world_violate(world, "replaying the trainer's journal gives another state");
}

void check_end(struct world *world, struct outcome *ret_outcome) {
    *ret_outcome = (struct outcome){0};
    for (int i = 0; i < ACTORS && !world->violated; i++) {
        struct runner_status status;
        runner_status(world->actors[i].life.runner, &status);
        if (status.lag_records != 0)
            world_violate(world, "%s lags by %lld records at the end", world->actors[i].name,
                          (long long)status.lag_records);
        accounts_take(world, &world->actors[i], ret_outcome);
    }
    if (world->violated)
        return;
    ret_outcome->model = learner_fingerprint(trainer_learner(world->actors[TRAINER].life.state));
    ret_outcome->examples = topic_hash(world, world->settings.ingest.examples, true);
    ret_outcome->dead_letters = topic_hash(world, world->settings.ingest.dead_letter, false);
    check_model(world);
    for (int i = 0; i <= TRAINER && !world->damaged && !world->violated; i++)
        check_replay(world, &world->actors[i]);
}

void check_equal(struct world *world, const struct outcome *found, const struct outcome *wanted) {
    if (found->examples != wanted->examples)
        world_violate(world, "the examples differ from an uninterrupted run's");
    if (found->dead_letters != wanted->dead_letters)
        world_violate(world, "the dead letters differ from an uninterrupted run's");
    if (strcmp(found->accounts, wanted->accounts) != 0)
        world_violate(world, "the accounts differ:\n%s-- wanted\n%s", found->accounts,
                      wanted->accounts);
    if (found->model != wanted->model)
        world_violate(world, "the model differs from an uninterrupted run's");
}
