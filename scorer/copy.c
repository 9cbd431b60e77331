// Reading a model out of Redis; see copy.h.
//
// A full reading takes a while, and the publisher goes on meanwhile, so buckets come from several
// versions. It is made whole by the deltas: note the version named by the manifest and the end of
// the stream of deltas first, read everything, note the newest version that any group has begun,
// wait until the manifest has reached that one, then apply all deltas since. Every row that changed
// in between is in them, so what results is exactly the manifest's version.
#include "scorer/copy.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <string.h>

#include <hiredis/hiredis.h>
#include <jansson.h>

#include "base/clock.h"
#include "model/spec_text.h"
#include "record/redis_layout.h"
#include "record/weights.h"
#include "scorer/deltas.h"

enum { GROUPS = 1 << REDIS_LAYOUT_GROUP_BITS, PIPELINE = 256, WAIT_TURNS = 200, WAIT_MS = 10 };

static atomic_uint_fast64_t generations;

struct manifest {
    json_t *root;
    uint64_t lineage, version;
    json_int_t control; // how far its publisher had followed the control log
    unsigned bucket_bits;
    enum redis_row_type row_type;
};

void copy_init(struct copy *copy) {
    *copy = (struct copy){0};
    REQUIRE(pthread_rwlock_init(&copy->lock, NULL) == 0);
    arena_init(&copy->run, 65536);
}

static void copy_clear(struct copy *copy) {
    if (copy->model && copy->leaving)
        copy->leaving(copy->self, copy->generation);
    model_free(copy->model);
    rates_free(copy->rates);
    copy->model = NULL;
    copy->rates = NULL;
    arena_reset(&copy->run);
    copy->domain_count = 0;
    copy->version = copy->lineage = 0;
}

void copy_deinit(struct copy *copy) {
    model_free(copy->model);
    rates_free(copy->rates);
    arena_deinit(&copy->run);
    pthread_rwlock_destroy(&copy->lock);
}

static enum status unusable(struct error *err, const char *what) {
    return error_set(err, STATUS_INVALID, "could not use the published model: %s", what);
}

static enum status manifest_read(struct mirror *mirror, struct manifest *manifest,
                                 struct error *err) {
    char key[REDIS_LAYOUT_KEY_MAX];
    redisReply *reply = NULL;
    redis_layout_manifest_key(key, mirror_name(mirror));
    *manifest = (struct manifest){0};
    enum status status = mirror_ask(mirror, (const char *[]){"GET", key}, 2, &reply, err);
    if (status != STATUS_OK)
        return status;
    if (reply->type != REDIS_REPLY_STRING) {
        mirror_reply_free(reply);
        return error_set(err, STATUS_UNAVAILABLE,
                         "could not find a model under %s in Redis: none has been published whole",
                         key);
    }
    manifest->root = json_loadb(reply->str, (size_t)reply->len, 0, NULL);
    mirror_reply_free(reply);
    const char *lineage = json_string_value(json_object_get(manifest->root, "lineage"));
    json_int_t bits = json_integer_value(json_object_get(manifest->root, "bucket_bits"));
    const char *row_type = json_string_value(json_object_get(manifest->root, "row_type"));
    if (!lineage || json_integer_value(json_object_get(manifest->root, "layout")) != REDIS_LAYOUT ||
        json_integer_value(json_object_get(manifest->root, "group_bits")) !=
            REDIS_LAYOUT_GROUP_BITS ||
        bits < REDIS_LAYOUT_GROUP_BITS || bits > 30 || !row_type ||
        !redis_row_type_find(row_type, &manifest->row_type)) {
        json_decref(manifest->root);
        manifest->root = NULL;
        return unusable(err, "its manifest is of another layout than this scorer reads");
    }
    manifest->lineage = strtoull(lineage, NULL, 16);
    manifest->version = (uint64_t)json_integer_value(json_object_get(manifest->root, "version"));
    manifest->control = json_integer_value(json_object_get(manifest->root, "control"));
    manifest->bucket_bits = (unsigned)bits;
    return STATUS_OK;
}

// ---- describing ---------------------------------------------------------------------------------

static enum status read_domains(struct copy *copy, const json_t *names, struct error *err) {
    size_t count = json_array_size(names);
    copy->domains = arena_get(&copy->run, count + 1, sizeof *copy->domains);
    if (!copy->domains)
        return error_no_memory(err, count * sizeof *copy->domains, "names of domains");
    for (size_t i = 0; i < count; i++) {
        const json_t *name = json_array_get(names, i);
        if (!json_is_string(name))
            return unusable(err, "a domain has no name");
        copy->domains[i] =
            arena_copy_string(&copy->run, json_string_value(name), json_string_length(name));
        if (!copy->domains[i])
            return error_no_memory(err, json_string_length(name), "names of domains");
    }
    copy->domain_count = count;
    return STATUS_OK;
}

// Rows of rates are put as they come: who wrote them has admitted them.
static enum status describe_rates(struct copy *copy, struct error *err) {
    struct rates_settings settings[SPEC_RATES_MAX];
    enum status status = rate_keys_of(&copy->spec, &copy->run, &copy->keys, err);
    for (size_t r = 0; status == STATUS_OK && r < copy->keys.count; r++) {
        const struct spec_rate *rate = spec_rate_at(&copy->spec, r);
        settings[r] = (struct rates_settings){.tasks = copy->keys.rates[r].task_count,
                                              .half_life_ms = rate->half_life_ms,
                                              .prior = rate->prior,
                                              .admit = 1,
                                              .rows_max = rate->rows_max};
    }
    size_t own = spec_kind_count(&copy->spec, SPEC_NUMERIC);
    if (status == STATUS_OK && own + copy->keys.columns != copy->shape.numeric_count)
        return unusable(err, "its rates are not those of its network");
    return status == STATUS_OK ? rates_new(settings, copy->keys.count, &copy->rates, err) : status;
}

static enum status describe(struct copy *copy, const struct manifest *manifest, struct error *err) {
    const json_t *described = json_object_get(manifest->root, "model");
    const json_t *shape = json_object_get(described, "model");
    if (!json_is_string(shape))
        return unusable(err, "its manifest does not describe it");
    enum status status = spec_text_read(json_string_value(shape), json_string_length(shape),
                                        &copy->run, &copy->shape, err);
    char *spec =
        json_dumps(json_object_get(described, "spec"), JSON_COMPACT | JSON_REAL_PRECISION(17));
    if (status == STATUS_OK)
        status = spec ? spec_from_json(spec, strlen(spec), &copy->run, &copy->spec, err)
                      : unusable(err, "its manifest has no spec");
    free(spec);
    if (status == STATUS_OK)
        status = read_domains(copy, json_object_get(described, "domains"), err);
    if (status == STATUS_OK)
        status = describe_rates(copy, err);
    if (status == STATUS_OK)
        status = model_new(&copy->shape, &copy->model, err);
    if (status == STATUS_OK)
        copy->generation = 1 + atomic_fetch_add(&generations, 1);
    if (status == STATUS_OK)
        copy->fingerprint = spec_fingerprint(&copy->spec);
    return status;
}

// A model that is described as before keeps its memory.
static enum status describe_again(struct copy *copy, const struct manifest *manifest,
                                  struct error *err) {
    return read_domains(copy, json_object_get(json_object_get(manifest->root, "model"), "domains"),
                        err);
}

// ---- tensors ------------------------------------------------------------------------------------

static enum status put_tensor(struct copy *copy, const redisReply *name, const redisReply *value,
                              struct error *err) {
    const struct model_tensor *tensor = model_tensor_find(copy->model, name->str);
    uint32_t shape[2];
    if (!tensor)
        return unusable(err, "it has a tensor that its description does not know");
    size_t elements = tensor->rows * tensor->columns;
    if ((size_t)value->len != sizeof shape + elements * sizeof(float))
        return unusable(err, "a tensor has another size than described");
    memcpy(shape, value->str, sizeof shape);
    if (shape[0] != tensor->rows || shape[1] != tensor->columns)
        return unusable(err, "a tensor has another shape than described");
    for (size_t i = 0; i < elements; i++) {
        float element;
        memcpy(&element, value->str + sizeof shape + i * sizeof element, sizeof element);
        tensor->data[i] = (real)element;
    }
    return STATUS_OK;
}

static enum status read_tensors(struct copy *copy, struct mirror *mirror,
                                const struct manifest *manifest, struct error *err) {
    char key[REDIS_LAYOUT_KEY_MAX];
    redisReply *reply = NULL;
    redis_layout_tensors_key(key, mirror_name(mirror), manifest->lineage, manifest->version);
    enum status status = mirror_ask(mirror, (const char *[]){"HGETALL", key}, 2, &reply, err);
    if (status != STATUS_OK)
        return status;
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements / 2 != model_tensor_count(copy->model))
        status = error_set(err, STATUS_UNAVAILABLE,
                           "could not read the tensors of version %" PRIu64
                           ": newer ones have taken their place; reading again",
                           manifest->version);
    for (size_t i = 0; status == STATUS_OK && i + 1 < reply->elements; i += 2)
        status = put_tensor(copy, reply->element[i], reply->element[i + 1], err);
    mirror_reply_free(reply);
    if (status == STATUS_OK)
        model_settle(copy->model);
    return status;
}

// ---- rows ---------------------------------------------------------------------------------------

// Rates are kept as they are, whatever the model's rows are rounded to.
static enum redis_row_type type_of(const struct copy *copy, uint32_t table) {
    return table >= WEIGHTS_RATES_FIRST ? REDIS_ROW_FP32 : copy->row_type;
}

enum status copy_row_put(struct copy *copy, uint32_t table, uint64_t id, const void *values,
                         size_t bytes, struct error *err) {
    float row[4096];
    bool rate = table >= WEIGHTS_RATES_FIRST;
    size_t place = rate ? table - WEIGHTS_RATES_FIRST : table;
    if (place >= (rate ? copy->keys.count : copy->shape.table_count) || id == 0)
        return unusable(err, "it has a row of a table that there is not, or of id 0");
    if (!values && rate)
        rates_row_remove(copy->rates, place, id);
    else if (!values)
        (void)model_row_remove(copy->model, table, id);
    if (!values)
        return STATUS_OK;
    size_t width = rate ? rates_width(copy->rates, place) : model_table_width(copy->model, table);
    if (width > sizeof row / sizeof *row || bytes != redis_row_bytes(type_of(copy, table), width))
        return unusable(err, "a row has another width than described");
    redis_row_read(type_of(copy, table), values, width, row);
    return rate ? rates_row_put(copy->rates, place, id, row, err)
                : model_row_put(copy->model, table, id, row, err);
}

enum status copy_floats_put(struct copy *copy, uint32_t table, uint64_t id, const void *floats,
                            size_t width, struct error *err) {
    unsigned char row[4096 * sizeof(float) + sizeof(float)];
    enum redis_row_type type = type_of(copy, table);
    if (width > 4096)
        return unusable(err, "a row has another width than described");
    if (!floats)
        return copy_row_put(copy, table, id, NULL, 0, err);
    redis_row_write(type, floats, width, row);
    return copy_row_put(copy, table, id, row, redis_row_bytes(type, width), err);
}

static enum status put_bucket(struct copy *copy, const redisReply *bucket, uint32_t number,
                              unsigned bucket_bits, struct error *err) {
    enum status status = STATUS_OK;
    for (size_t i = 0; status == STATUS_OK && i + 1 < bucket->elements; i += 2) {
        const redisReply *field = bucket->element[i], *value = bucket->element[i + 1];
        uint32_t table;
        uint64_t id;
        if (!redis_layout_field_read(field->str, (size_t)field->len, number, bucket_bits, &table,
                                     &id))
            continue; // the version of the bucket
        status = copy_row_put(copy, table, id, value->str, (size_t)value->len, err);
    }
    return status;
}

static enum status read_buckets(struct copy *copy, struct mirror *mirror, unsigned bucket_bits,
                                struct error *err) {
    enum status status = STATUS_OK;
    uint32_t count = UINT32_C(1) << bucket_bits;
    for (uint32_t first = 0; status == STATUS_OK && first < count; first += PIPELINE) {
        uint32_t last = count - first < PIPELINE ? count : first + PIPELINE;
        for (uint32_t b = first; status == STATUS_OK && b < last; b++) {
            char key[REDIS_LAYOUT_KEY_MAX];
            redis_layout_bucket_key(key, mirror_name(mirror), redis_layout_group(b, bucket_bits),
                                    b);
            status = mirror_send(mirror, (const char *[]){"HGETALL", key}, 2, err);
        }
        for (uint32_t b = first; status == STATUS_OK && b < last; b++) {
            redisReply *reply = NULL;
            status = mirror_take(mirror, &reply, err);
            if (status == STATUS_OK)
                status = put_bucket(copy, reply, b, bucket_bits, err);
            mirror_reply_free(reply);
        }
    }
    return status;
}

// The newest version that any group has begun; 0 when a group belongs to another lineage.
static enum status newest_begun(struct mirror *mirror, uint64_t lineage, uint64_t *ret_version,
                                struct error *err) {
    uint64_t newest = 1;
    bool other = false;
    for (uint32_t g = 0; g < GROUPS; g++) {
        char key[REDIS_LAYOUT_KEY_MAX];
        redisReply *reply = NULL;
        redis_layout_state_key(key, mirror_name(mirror), g);
        enum status status = mirror_ask(mirror, (const char *[]){"GET", key}, 2, &reply, err);
        if (status != STATUS_OK)
            return status;
        uint64_t group_lineage = 0, version = 0;
        if (reply->type != REDIS_REPLY_STRING ||
            sscanf(reply->str, "%" SCNx64 " %" SCNu64, &group_lineage, &version) != 2 ||
            group_lineage != lineage)
            other = true;
        newest = version > newest ? version : newest;
        mirror_reply_free(reply);
    }
    *ret_version = other ? 0 : newest;
    return STATUS_OK;
}

// ---- whole and forward --------------------------------------------------------------------------

// Waits until the manifest has reached a version that all groups have; then it is *manifest.
static enum status await_manifest(struct mirror *mirror, uint64_t lineage, uint64_t version,
                                  struct manifest *manifest, struct error *err) {
    for (int turn = 0; turn < WAIT_TURNS; turn++) {
        json_decref(manifest->root);
        enum status status = manifest_read(mirror, manifest, err);
        if (status != STATUS_OK)
            return status;
        if (manifest->lineage != lineage)
            break;
        if (manifest->version >= version)
            return STATUS_OK;
        clock_system.sleep_ms(&clock_system, WAIT_MS);
    }
    return error_set(err, STATUS_UNAVAILABLE,
                     "could not read a whole version: the publisher has "
                     "begun one that is not out yet");
}

static enum status load(struct copy *copy, struct mirror *mirror, struct manifest *manifest,
                        struct error *err) {
    uint64_t begun = 0, streamed = 0, streamed_lineage = 0;
    enum status status = deltas_newest(mirror, copy->position, sizeof copy->position,
                                       &streamed_lineage, &streamed, err);
    if (status == STATUS_OK)
        status = manifest_read(mirror, manifest, err);
    if (status == STATUS_OK && streamed_lineage != manifest->lineage)
        streamed = 0;
    if (status == STATUS_OK)
        status = describe(copy, manifest, err);
    if (status != STATUS_OK)
        return status;
    copy->lineage = manifest->lineage;
    copy->version = manifest->version;
    copy->row_type = manifest->row_type;
    json_int_t control = manifest->control;
    status = read_buckets(copy, mirror, manifest->bucket_bits, err);
    if (status == STATUS_OK)
        status = newest_begun(mirror, copy->lineage, &begun, err);
    if (status == STATUS_OK && begun == 0)
        status = error_set(err, STATUS_UNAVAILABLE,
                           "could not read a whole version: Redis is being filled again");
    if (status == STATUS_OK)
        status = await_manifest(mirror, copy->lineage, begun, manifest, err);
    // Whoever commanded something may have had rows taken back to an earlier version meanwhile.
    if (status == STATUS_OK && manifest->control != control)
        status = error_set(err, STATUS_UNAVAILABLE,
                           "could not read a whole version: another one was commanded meanwhile");
    if (status == STATUS_OK && manifest->version > copy->version)
        status = deltas_apply(copy, mirror, streamed > copy->version ? streamed : copy->version,
                              manifest->version, err);
    if (status == STATUS_CHANGED)
        return error_set(err, STATUS_UNAVAILABLE,
                         "could not read a whole version: the publisher is faster than the "
                         "reading; raise publisher.deltas_max");
    if (status == STATUS_OK)
        status = read_tensors(copy, mirror, manifest, err);
    if (status == STATUS_OK)
        status = describe_again(copy, manifest, err);
    copy->version = manifest->version;
    return status;
}

enum status copy_load(struct copy *copy, struct mirror *mirror, struct error *err) {
    struct manifest manifest = {0};
    copy_clear(copy);
    enum status status = load(copy, mirror, &manifest, err);
    json_decref(manifest.root);
    if (status != STATUS_OK)
        copy_clear(copy);
    return status;
}

enum status copy_advance(struct copy *copy, struct mirror *mirror, struct error *err) {
    struct manifest manifest = {0};
    enum status status = manifest_read(mirror, &manifest, err);
    if (status != STATUS_OK)
        return status;
    bool same = copy->model && copy->lineage == manifest.lineage;
    if (same && manifest.version == copy->version) {
        json_decref(manifest.root);
        return STATUS_OK;
    }
    status = same && manifest.version > copy->version
                 ? deltas_apply(copy, mirror, copy->version, manifest.version, err)
                 : STATUS_CHANGED;
    if (status == STATUS_OK)
        status = read_tensors(copy, mirror, &manifest, err);
    if (status == STATUS_OK)
        status = describe_again(copy, &manifest, err);
    if (status == STATUS_OK)
        copy->version = manifest.version;
    json_decref(manifest.root);
    // Half brought forward, a copy is no version: it is read anew.
    return status == STATUS_OK || status == STATUS_UNAVAILABLE ? status
                                                               : copy_load(copy, mirror, err);
}
