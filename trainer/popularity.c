// Two arrays of intervals, and a histogram of their logarithms over impressions.
#include "trainer/popularity.h"

#include <math.h>

#include "base/hash.h"

enum { ARRAYS = 2, BINS = 512, BINS_AN_OCTAVE = 8 };

#define FIELD(name) offsetof(struct popularity_settings, name)
static const struct option options[] = {
    {.key = "feature",
     .type = OPTION_TEXT,
     .offset = FIELD(feature),
     .default_text = "",
     .help = "The categorical feature whose popularity measures are kept by, such as the item; "
             "empty = none."},
    {.key = "head",
     .type = OPTION_REAL,
     .offset = FIELD(head),
     .default_text = "0.333",
     .minimum = 0,
     .maximum = 1,
     .help = "The most frequent ids that made up this share of the impressions so far are the "
             "head."},
    {.key = "tail",
     .type = OPTION_REAL,
     .offset = FIELD(tail),
     .default_text = "0.333",
     .minimum = 0,
     .maximum = 1,
     .help = "The rarest ids that made up this share are the tail, with ids never seen before; the "
             "rest is the torso."},
    {.key = "rate",
     .type = OPTION_REAL,
     .offset = FIELD(rate),
     .default_text = "0.05",
     .minimum = 0.0001,
     .maximum = 1,
     .help = "Rate of the moving average of the interval between two impressions of an id."},
    {.key = "slots",
     .type = OPTION_INT,
     .offset = FIELD(slots),
     .default_text = "65536",
     .minimum = 16,
     .maximum = 100000000,
     .help = "Slots of each of two arrays of estimates, 12 bytes each; several times the ids that "
             "matter."},
};
const struct option_table popularity_options = {
    .title = "trainer.popularity",
    .help = "Measures by how frequent what was shown is: head, torso and tail.",
    .struct_bytes = sizeof(struct popularity_settings),
    .options = options,
    .count = sizeof options / sizeof *options,
};

struct popularity {
    struct popularity_settings settings;
    uint64_t *last;      // [ARRAYS][slots] number of the impression that came last; 0 = none
    float *interval;     // [ARRAYS][slots]
    uint64_t seen[BINS]; // impressions by log2 of the interval, as estimated when they came
    uint64_t unseen, count;
};

enum status popularity_new(const struct popularity_settings *settings,
                           struct popularity **ret_popularity, struct error *err) {
    struct popularity *popularity = memory_new(1, sizeof *popularity);
    if (!popularity)
        return error_no_memory(err, sizeof *popularity, "popularity");
    size_t slots = ARRAYS * (size_t)settings->slots;
    popularity->settings = *settings;
    popularity->last = memory_new(slots, sizeof *popularity->last);
    popularity->interval = memory_new(slots, sizeof *popularity->interval);
    if (!popularity->last || !popularity->interval) {
        popularity_free(popularity);
        return error_no_memory(err, slots * (sizeof(uint64_t) + sizeof(float)), "popularity");
    }
    *ret_popularity = popularity;
    return STATUS_OK;
}

void popularity_free(struct popularity *popularity) {
    if (!popularity)
        return;
    memory_free(popularity->last);
    memory_free(popularity->interval);
    memory_free(popularity);
}

static size_t slot_of(const struct popularity *popularity, uint64_t id, size_t array) {
    size_t slots = (size_t)popularity->settings.slots;
    return array * slots + (size_t)(hash_mix(id + 0x9e3779b97f4a7c15u * (array + 1)) % slots);
}

// The estimated interval in impressions; 0 = never seen.
static double interval_of(const struct popularity *popularity, uint64_t id) {
    double longest = 0;
    for (size_t array = 0; array < ARRAYS; array++) {
        size_t slot = slot_of(popularity, id, array);
        if (popularity->last[slot] == 0)
            return 0;
        if ((double)popularity->interval[slot] > longest)
            longest = (double)popularity->interval[slot];
    }
    return longest;
}

double popularity_share(const struct popularity *popularity, uint64_t id) {
    double interval = interval_of(popularity, id);
    return interval > 0 ? 1 / interval : 0;
}

static size_t bin_of(double interval) {
    double at = interval > 1 ? log2(interval) * BINS_AN_OCTAVE : 0;
    return at < BINS - 1 ? (size_t)at : BINS - 1;
}

static enum evaluate_bucket bucket_of(const struct popularity *popularity, double interval) {
    if (interval <= 0)
        return EVALUATE_TAIL;
    size_t bin = bin_of(interval);
    uint64_t before = 0; // impressions of more frequent ids, and half of those as frequent
    for (size_t i = 0; i < bin; i++)
        before += popularity->seen[i];
    double place = ((double)before + (double)popularity->seen[bin] / 2) /
                   (double)(popularity->count > 0 ? popularity->count : 1);
    if (place < popularity->settings.head)
        return EVALUATE_HEAD;
    return place > 1 - popularity->settings.tail ? EVALUATE_TAIL : EVALUATE_TORSO;
}

enum evaluate_bucket popularity_see(struct popularity *popularity, uint64_t id) {
    if (id == 0)
        return EVALUATE_ANY;
    double interval = interval_of(popularity, id);
    enum evaluate_bucket bucket = bucket_of(popularity, interval);
    if (interval > 0)
        popularity->seen[bin_of(interval)]++;
    else
        popularity->unseen++;
    uint64_t now = ++popularity->count;
    double rate = popularity->settings.rate;
    for (size_t array = 0; array < ARRAYS; array++) {
        size_t slot = slot_of(popularity, id, array);
        double since = (double)(now - popularity->last[slot]);
        double old = (double)popularity->interval[slot];
        // What has not come for so long is as rare as that says, not as a start at 0 would.
        popularity->interval[slot] =
            (float)(popularity->last[slot] == 0 ? since : (1 - rate) * old + rate * since);
        popularity->last[slot] = now;
    }
    return bucket;
}

void popularity_save(const struct popularity *popularity, struct buffer *into) {
    size_t slots = ARRAYS * (size_t)popularity->settings.slots;
    wire_put_long(into, popularity->settings.slots);
    wire_put_long(into, (int64_t)popularity->count);
    wire_put_long(into, (int64_t)popularity->unseen);
    for (size_t i = 0; i < BINS; i++)
        wire_put_long(into, (int64_t)popularity->seen[i]);
    size_t used = 0;
    for (size_t slot = 0; slot < slots; slot++)
        used += popularity->last[slot] != 0;
    wire_put_long(into, (int64_t)used);
    for (size_t slot = 0; slot < slots; slot++) {
        if (popularity->last[slot] == 0)
            continue;
        wire_put_long(into, (int64_t)slot);
        wire_put_long(into, (int64_t)popularity->last[slot]);
        wire_put_float(into, popularity->interval[slot]);
    }
}

enum status popularity_load(struct popularity *popularity, struct wire *in, struct error *err) {
    int64_t slots = wire_get_long(in);
    if (!in->bad && slots != popularity->settings.slots)
        return error_set(err, STATUS_CHANGED,
                         "could not read popularity: saved with other `trainer.popularity.slots`");
    popularity->count = (uint64_t)wire_get_long(in);
    popularity->unseen = (uint64_t)wire_get_long(in);
    for (size_t i = 0; i < BINS; i++)
        popularity->seen[i] = (uint64_t)wire_get_long(in);
    int64_t used = wire_get_long(in);
    for (int64_t i = 0; i < used && !in->bad; i++) {
        int64_t slot = wire_get_long(in);
        int64_t last = wire_get_long(in);
        float interval = wire_get_float(in);
        in->bad |= slot < 0 || slot >= ARRAYS * slots;
        if (in->bad)
            break;
        popularity->last[slot] = (uint64_t)last;
        popularity->interval[slot] = interval;
    }
    return in->bad ? error_set(err, STATUS_CORRUPT, "could not read popularity: malformed")
                   : STATUS_OK;
}
