// The stream of deltas, read entry by entry; see deltas.h.
#include "scorer/deltas.h"

#include <inttypes.h>
#include <string.h>

#include <hiredis/hiredis.h>

#include "record/redis_layout.h"
#include "record/weights.h"

static enum status unusable(struct error *err, const char *what) {
    return error_set(err, STATUS_INVALID, "could not use the published model: %s", what);
}

static enum status put_rows(struct copy *copy, const struct weights *rows, struct error *err) {
    bool gone = rows->kind == WEIGHTS_TOMBSTONES;
    size_t width = rows->dimension;
    enum status status = STATUS_OK;
    for (uint32_t i = 0; status == STATUS_OK && i < rows->count; i++) {
        uint64_t id;
        memcpy(&id, rows->ids + (size_t)i * sizeof id, sizeof id);
        status =
            copy_floats_put(copy, rows->table, id,
                            gone ? NULL : rows->values + i * width * sizeof(float), width, err);
    }
    return status;
}

// A walk along the stream of deltas. The stream may hold a version twice (its publisher died and
// went on) and repeats of older ones (a publisher that woke up late), never a newer one that is not
// complete before: so whatever is older than the newest met is passed over, and a version counts
// once its COMMIT came after its OPEN.
struct walk {
    uint64_t until;  // version to stop at
    uint64_t newest; // met
    uint64_t whole;  // newest of which COMMIT was met, all before it as well
    bool opened;     // the entries before the next COMMIT are all there
    bool beyond;     // the next entry is of a version behind `until`
};

// One entry: ID, [v, "LINEAGE VERSION", r, record].
static enum status put_entry(struct copy *copy, const redisReply *entry, struct walk *walk,
                             struct error *err) {
    const redisReply *fields = entry->elements == 2 ? entry->element[1] : NULL;
    uint64_t lineage, version;
    if (!fields || fields->elements != 4 ||
        sscanf(fields->element[1]->str, "%" SCNx64 " %" SCNu64, &lineage, &version) != 2)
        return unusable(err, "an entry of its stream of deltas is malformed");
    if (lineage != copy->lineage || version <= copy->version || version < walk->newest)
        return STATUS_OK;
    walk->beyond = version > walk->until;
    if (walk->beyond)
        return STATUS_OK;
    struct weights weights;
    enum status status =
        weights_decode(fields->element[3]->str, (size_t)fields->element[3]->len, &weights, err);
    if (status != STATUS_OK)
        return status;
    walk->newest = version;
    if (weights.kind == WEIGHTS_OPEN)
        walk->opened = true;
    else if (weights.kind == WEIGHTS_COMMIT && walk->opened && version == walk->whole + 1)
        walk->whole = version;
    else if (weights.kind == WEIGHTS_ROWS || weights.kind == WEIGHTS_TOMBSTONES)
        return put_rows(copy, &weights, err);
    return STATUS_OK;
}

// The oldest entry's ID; "" when the stream is empty. IDs compare as two numbers.
static bool id_after(const char *left, const char *right) {
    uint64_t left_ms = 0, left_n = 0, right_ms = 0, right_n = 0;
    (void)sscanf(left, "%" SCNu64 "-%" SCNu64, &left_ms, &left_n);
    (void)sscanf(right, "%" SCNu64 "-%" SCNu64, &right_ms, &right_n);
    return left_ms != right_ms ? left_ms > right_ms : left_n > right_n;
}

static enum status stream_oldest(struct mirror *mirror, char *id, size_t size, struct error *err) {
    char key[REDIS_LAYOUT_KEY_MAX];
    redisReply *reply = NULL;
    redis_layout_deltas_key(key, mirror_name(mirror));
    const char *const words[] = {"XRANGE", key, "-", "+", "COUNT", "1"};
    enum status status = mirror_ask(mirror, words, 6, &reply, err);
    if (status != STATUS_OK)
        return status;
    bool found = reply->type == REDIS_REPLY_ARRAY && reply->elements == 1;
    snprintf(id, size, "%s", found ? reply->element[0]->element[0]->str : "");
    mirror_reply_free(reply);
    return STATUS_OK;
}

enum status deltas_newest(struct mirror *mirror, char *id, size_t size, uint64_t *ret_lineage,
                          uint64_t *ret_version, struct error *err) {
    char key[REDIS_LAYOUT_KEY_MAX];
    redisReply *reply = NULL;
    redis_layout_deltas_key(key, mirror_name(mirror));
    const char *const words[] = {"XREVRANGE", key, "+", "-", "COUNT", "1"};
    enum status status = mirror_ask(mirror, words, 6, &reply, err);
    if (status != STATUS_OK)
        return status;
    const redisReply *entry =
        reply->type == REDIS_REPLY_ARRAY && reply->elements == 1 ? reply->element[0] : NULL;
    const redisReply *fields = entry && entry->elements == 2 ? entry->element[1] : NULL;
    struct weights weights = {0};
    if (fields && fields->elements == 4)
        status =
            weights_decode(fields->element[3]->str, (size_t)fields->element[3]->len, &weights, err);
    if (status == STATUS_OK) {
        snprintf(id, size, "%s", fields ? entry->element[0]->str : "");
        *ret_lineage = weights.lineage;
        *ret_version = weights.kind == WEIGHTS_COMMIT || weights.version == 0 ? weights.version
                                                                              : weights.version - 1;
    }
    mirror_reply_free(reply);
    return status;
}

enum status deltas_apply(struct copy *copy, struct mirror *mirror, uint64_t whole, uint64_t until,
                         struct error *err) {
    char key[REDIS_LAYOUT_KEY_MAX], oldest[64], from[72];
    redis_layout_deltas_key(key, mirror_name(mirror));
    enum status status = stream_oldest(mirror, oldest, sizeof oldest, err);
    if (status != STATUS_OK)
        return status;
    // The last entry applied must still be there, or nothing can say what came behind it.
    if (copy->position[0] && (!oldest[0] || id_after(oldest, copy->position)))
        return error_set(err, STATUS_CHANGED, "the stream of deltas no longer reaches back");
    struct walk walk = {.until = until, .whole = whole, .opened = copy->position[0] != '\0'};
    while (status == STATUS_OK && !walk.beyond) {
        redisReply *reply = NULL;
        snprintf(from, sizeof from, "%s%s", copy->position[0] ? "(" : "",
                 copy->position[0] ? copy->position : "-");
        const char *const words[] = {"XRANGE", key, from, "+", "COUNT", "256"};
        status = mirror_ask(mirror, words, 6, &reply, err);
        if (status != STATUS_OK)
            return status;
        size_t count = reply->type == REDIS_REPLY_ARRAY ? reply->elements : 0;
        for (size_t i = 0; status == STATUS_OK && !walk.beyond && i < count; i++) {
            status = put_entry(copy, reply->element[i], &walk, err);
            if (status == STATUS_OK && !walk.beyond)
                snprintf(copy->position, sizeof copy->position, "%s",
                         reply->element[i]->element[0]->str);
        }
        mirror_reply_free(reply);
        if (count == 0)
            break;
    }
    if (status == STATUS_OK && walk.whole < until)
        return error_set(err, STATUS_CHANGED, "the stream of deltas does not hold version %" PRIu64,
                         walk.whole + 1);
    return status;
}
