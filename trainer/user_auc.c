// A ring of labels; a user's newest entry carries what is known of the user, and is the one that
// the hash table finds.
#include "trainer/user_auc.h"

#include <math.h>
#include <string.h>

#include "base/hash.h"

#define NONE UINT32_MAX

struct entry {
    uint64_t user;
    uint64_t older;      // number of the user's entry before; 0 = none
    double pairs, right; // of the user so far; meaningful in its newest entry
    uint32_t labels;     // likewise
    uint32_t chain;      // next newest entry in the bucket
    float logit;
    bool positive, newest;
};
// Sums over users of both classes; w: labels of a user, a: the share of its pairs in order.
struct sums {
    double w, wa, ww, wwa, wwaa;
    uint64_t users;
};
struct user_auc {
    struct entry *entries; // [capacity]; number n lies at n % capacity
    uint32_t *buckets;     // [bucket_count], a power of two
    size_t capacity, bucket_count;
    uint64_t count; // numbers begin at 1
    struct sums sums;
};

enum status user_auc_new(size_t entries_max, struct user_auc **ret_auc, struct error *err) {
    REQUIRE(entries_max > 0 && entries_max < NONE);
    struct user_auc *auc = memory_new(1, sizeof *auc);
    if (!auc)
        return error_no_memory(err, sizeof *auc, "AUC within users");
    auc->capacity = entries_max;
    auc->bucket_count = 16;
    while (auc->bucket_count < entries_max)
        auc->bucket_count *= 2;
    auc->entries = memory_new(auc->capacity, sizeof *auc->entries);
    auc->buckets = memory_new(auc->bucket_count, sizeof *auc->buckets);
    if (!auc->entries || !auc->buckets) {
        user_auc_free(auc);
        return error_no_memory(err, entries_max * sizeof(struct entry), "AUC within users");
    }
    memset(auc->buckets, 0xff, auc->bucket_count * sizeof *auc->buckets);
    *ret_auc = auc;
    return STATUS_OK;
}

void user_auc_free(struct user_auc *auc) {
    if (!auc)
        return;
    memory_free(auc->entries);
    memory_free(auc->buckets);
    memory_free(auc);
}

static struct entry *entry_at(const struct user_auc *auc, uint64_t number) {
    return &auc->entries[number % auc->capacity];
}

static bool kept(const struct user_auc *auc, uint64_t number) {
    return number > 0 && number + auc->capacity > auc->count;
}

static uint32_t *bucket_of(const struct user_auc *auc, uint64_t user) {
    return &auc->buckets[hash_mix(user) & (auc->bucket_count - 1)];
}

static void bucket_take(struct user_auc *auc, struct entry *entry) {
    uint32_t place = (uint32_t)(entry - auc->entries);
    uint32_t *link = bucket_of(auc, entry->user);
    while (*link != place)
        link = &auc->entries[*link].chain;
    *link = entry->chain;
    entry->newest = false;
}

static void bucket_put(struct user_auc *auc, struct entry *entry) {
    uint32_t *bucket = bucket_of(auc, entry->user);
    entry->chain = *bucket;
    entry->newest = true;
    *bucket = (uint32_t)(entry - auc->entries);
}

// Adds what an entry says of its user to the sums, or takes it out.
static void sums_move(struct sums *sums, const struct entry *entry, double sign) {
    if (entry->pairs <= 0)
        return;
    double w = entry->labels, a = entry->right / entry->pairs;
    sums->w += sign * w;
    sums->wa += sign * w * a;
    sums->ww += sign * w * w;
    sums->wwa += sign * w * w * a;
    sums->wwaa += sign * w * w * a * a;
    sums->users += sign > 0 ? 1 : UINT64_MAX;
}

static void pairs_count(const struct user_auc *auc, struct entry *entry) {
    uint64_t number = entry->older;
    for (int i = 0; i < USER_AUC_PAIRS && kept(auc, number); i++) {
        const struct entry *other = entry_at(auc, number);
        if (other->positive != entry->positive) {
            float positive = entry->positive ? entry->logit : other->logit;
            float negative = entry->positive ? other->logit : entry->logit;
            entry->pairs += 1;
            entry->right += positive > negative ? 1 : positive < negative ? 0 : .5;
        }
        number = other->older;
    }
}

void user_auc_add(struct user_auc *auc, uint64_t user, float logit, bool positive) {
    if (user == 0)
        return;
    struct entry *entry = entry_at(auc, ++auc->count);
    if (entry->newest) // the oldest leaves, and its user with it
        bucket_take(auc, entry);
    struct entry next = {.user = user, .logit = logit, .positive = positive, .labels = 1};
    uint32_t place = *bucket_of(auc, user);
    while (place != NONE && auc->entries[place].user != user)
        place = auc->entries[place].chain;
    if (place != NONE) {
        struct entry *before = &auc->entries[place];
        sums_move(&auc->sums, before, -1);
        next.pairs = before->pairs;
        next.right = before->right;
        next.labels = before->labels + 1;
        // Numbers of a place differ by multiples of the capacity; it holds the newest of them.
        uint64_t here = (uint64_t)(entry - auc->entries);
        uint64_t back = (here + auc->capacity - place) % auc->capacity;
        next.older = auc->count - back;
        bucket_take(auc, before);
    }
    *entry = next;
    pairs_count(auc, entry);
    sums_move(&auc->sums, entry, 1);
    bucket_put(auc, entry);
}

struct user_auc_measures user_auc_measure(const struct user_auc *auc) {
    const struct sums *sums = &auc->sums;
    struct user_auc_measures measures = {
        .auc = (double)NAN, .error = (double)NAN, .users = sums->users, .labels = sums->w};
    if (sums->users == 0)
        return measures;
    double mean = sums->wa / sums->w;
    double squares = sums->wwaa - 2 * mean * sums->wwa + mean * mean * sums->ww;
    measures.auc = mean;
    if (sums->users > 1)
        measures.error = sqrt(squares > 0 ? squares : 0) / sums->w;
    return measures;
}

void user_auc_save(const struct user_auc *auc, struct buffer *into) {
    const double sums[] = {auc->sums.w, auc->sums.wa, auc->sums.ww, auc->sums.wwa, auc->sums.wwaa};
    wire_put_long(into, (int64_t)auc->capacity);
    wire_put_long(into, (int64_t)auc->count);
    wire_put_long(into, (int64_t)auc->sums.users);
    for (size_t i = 0; i < sizeof sums / sizeof *sums; i++)
        wire_put_double(into, sums[i]);
    uint64_t first = auc->count > auc->capacity ? auc->count - auc->capacity : 0;
    for (uint64_t number = first + 1; number <= auc->count; number++) {
        const struct entry *entry = entry_at(auc, number);
        wire_put_fixed64(into, entry->user);
        wire_put_long(into, (int64_t)entry->older);
        wire_put_float(into, entry->logit);
        wire_put_long(into, (entry->positive ? 1 : 0) | (entry->newest ? 2 : 0));
        if (!entry->newest)
            continue;
        wire_put_double(into, entry->pairs);
        wire_put_double(into, entry->right);
        wire_put_long(into, entry->labels);
    }
}

static void entry_load(struct user_auc *auc, struct entry *entry, struct wire *in) {
    *entry = (struct entry){.user = wire_get_fixed64(in)};
    entry->older = (uint64_t)wire_get_long(in);
    entry->logit = wire_get_float(in);
    int64_t flags = wire_get_long(in);
    in->bad |= flags < 0 || flags > 3;
    entry->positive = flags & 1;
    if ((flags & 2) == 0)
        return;
    entry->pairs = wire_get_double(in);
    entry->right = wire_get_double(in);
    entry->labels = (uint32_t)wire_get_long(in);
    bucket_put(auc, entry);
}

enum status user_auc_load(struct user_auc *auc, struct wire *in, struct error *err) {
    int64_t capacity = wire_get_long(in), count = wire_get_long(in);
    if (!in->bad && capacity != (int64_t)auc->capacity)
        return error_set(err, STATUS_CHANGED,
                         "could not read AUC within users: saved with another "
                         "`trainer.measure_user_labels`");
    double sums[5];
    auc->sums.users = (uint64_t)wire_get_long(in);
    for (size_t i = 0; i < 5; i++)
        sums[i] = wire_get_double(in);
    auc->sums = (struct sums){sums[0], sums[1], sums[2], sums[3], sums[4], auc->sums.users};
    int64_t first = count > capacity ? count - capacity : 0;
    for (int64_t number = first + 1; number <= count && !in->bad; number++)
        entry_load(auc, entry_at(auc, (uint64_t)number), in);
    auc->count = (uint64_t)count;
    return in->bad || count < 0
               ? error_set(err, STATUS_CORRUPT, "could not read AUC within users: malformed")
               : STATUS_OK;
}
