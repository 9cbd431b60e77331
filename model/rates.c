// Rows in tables; one optimiser number a row marks that the row is among the changes.
#include "model/rates.h"

#include <math.h>
#include <string.h>

#include "base/hash.h"
#include "model/table.h"

enum {
    FILTER_COUNTERS = 1 << 18,
    EXPIRE_LABELS = 1024, // at least, between looks for rows to let go of
    WIDTH_MAX = 2 + 2 * 32
};

struct rate {
    struct rates_settings settings;
    struct table table;
    unsigned char
        *filter;       // [FILTER_COUNTERS] sightings of keys without a row; NULL when admit is 1
    uint64_t filtered; // added since the counters were last halved
    uint64_t unswept;  // labels since rows were last looked through for expiry
    uint64_t *changes; // keys, each once
    size_t change_count, change_capacity;
};
struct rates {
    struct rate *rates;
    size_t count, columns;
    uint64_t refused;
};

// ---- a row --------------------------------------------------------------------------------------

// Milliseconds in two floats that hold them exactly: multiples of 2^20, and the rest.
static void time_put(real *row, int64_t time_ms) {
    row[0] = (real)(time_ms >> 20);
    row[1] = (real)(time_ms & 0xfffff);
}

static int64_t time_get(const real *row) {
    return (int64_t)row[0] * (1 << 20) + (int64_t)row[1];
}

// What is left after so long; 1 for a time that has not come.
static double decay(const struct rates_settings *settings, int64_t from_ms, int64_t to_ms) {
    if (settings->half_life_ms == 0 || to_ms <= from_ms)
        return 1;
    return exp2(-((double)to_ms - (double)from_ms) / (double)settings->half_life_ms);
}

// The numbers of a row as of a time; a missing row has none.
static void row_read(const struct rate *rate, uint64_t key, size_t task, int64_t time_ms,
                     double *ret_positives, double *ret_count) {
    uint32_t slot = table_find(&rate->table, key);
    *ret_positives = *ret_count = 0;
    if (slot == TABLE_DEFAULT_SLOT)
        return;
    const real *row = table_values(&rate->table, slot);
    double left = decay(&rate->settings, time_get(row), time_ms);
    *ret_positives = left * (double)row[2 + 2 * task];
    *ret_count = left * (double)row[3 + 2 * task];
}

// A late label counts for what has become of it by the row's time.
static void row_add(const struct rate *rate, real *row, size_t task, int64_t time_ms, double label,
                    double weight) {
    int64_t row_ms = time_get(row);
    double left = decay(&rate->settings, row_ms, time_ms);
    double share = weight * decay(&rate->settings, time_ms, row_ms);
    for (size_t c = 2; left < 1 && c < rate->table.width; c++)
        row[c] = (real)(left * (double)row[c]);
    row[2 + 2 * task] = (real)((double)row[2 + 2 * task] + share * label);
    row[3 + 2 * task] = (real)((double)row[3 + 2 * task] + share);
    if (time_ms > row_ms)
        time_put(row, time_ms);
}

// ---- life ---------------------------------------------------------------------------------------

enum status rates_new(const struct rates_settings *settings, size_t count, struct rates **ret_rates,
                      struct error *err) {
    struct rates *rates = memory_new(1, sizeof *rates);
    if (!rates)
        return error_no_memory(err, sizeof *rates, "rates");
    enum status status = STATUS_OK;
    rates->rates = memory_new(count + 1, sizeof *rates->rates);
    if (!rates->rates)
        status = error_no_memory(err, count * sizeof *rates->rates, "rates");
    for (size_t r = 0; status == STATUS_OK && r < count; r++) {
        struct rate *rate = &rates->rates[r];
        REQUIRE(settings[r].tasks > 0 && 2 + 2 * settings[r].tasks <= WIDTH_MAX);
        rate->settings = settings[r];
        rates->count++;
        rates->columns += 2 * settings[r].tasks;
        status = table_init(&rate->table, 2 + 2 * settings[r].tasks, 1, 0, err);
        if (status == STATUS_OK && settings[r].admit > 1) {
            rate->filter = memory_new(FILTER_COUNTERS, 1);
            if (!rate->filter)
                status = error_no_memory(err, FILTER_COUNTERS, "a filter of keys");
        }
    }
    if (status == STATUS_OK)
        *ret_rates = rates;
    else
        rates_free(rates);
    return status;
}

void rates_free(struct rates *rates) {
    if (!rates)
        return;
    for (size_t r = 0; r < rates->count; r++) {
        table_deinit(&rates->rates[r].table);
        memory_free(rates->rates[r].filter);
        memory_free(rates->rates[r].changes);
    }
    memory_free(rates->rates);
    memory_free(rates);
}

size_t rates_count(const struct rates *rates) {
    return rates->count;
}

size_t rates_columns(const struct rates *rates) {
    return rates->columns;
}

size_t rates_width(const struct rates *rates, size_t r) {
    REQUIRE(r < rates->count);
    return rates->rates[r].table.width;
}

size_t rates_rows(const struct rates *rates, size_t r) {
    REQUIRE(r < rates->count);
    return table_rows(&rates->rates[r].table);
}

uint64_t rates_refused(const struct rates *rates) {
    return rates->refused;
}

// ---- reading and labelling ----------------------------------------------------------------------

void rates_read(const struct rates *rates, size_t r, uint64_t key, int64_t time_ms,
                float *columns) {
    REQUIRE(r < rates->count);
    const struct rate *rate = &rates->rates[r];
    for (size_t task = 0; task < rate->settings.tasks; task++) {
        double positives, count, total_positives, total;
        row_read(rate, key, task, time_ms, &positives, &count);
        row_read(rate, RATES_TOTAL, task, time_ms, &total_positives, &total);
        double base = (total_positives + .5) / (total + 1);
        double share = (positives + rate->settings.prior * base) / (count + rate->settings.prior);
        // Late labels and rounding can bring a share to an end of its range.
        share = share < 1e-6 ? 1e-6 : share > 1 - 1e-6 ? 1 - 1e-6 : share;
        double odds = log(share / (1 - share));
        columns[2 * task] = key ? (float)copysign(expm1(fabs(odds)), odds) : (float)NAN;
        columns[2 * task + 1] = key ? (float)count : (float)NAN;
    }
}

static enum status change_add(struct rate *rate, uint64_t key, struct error *err) {
    if (rate->change_count == rate->change_capacity) {
        size_t capacity = rate->change_capacity ? 2 * rate->change_capacity : 256;
        uint64_t *changes =
            memory_resize(rate->changes, rate->change_capacity, capacity, sizeof *changes);
        if (!changes)
            return error_no_memory(err, capacity * sizeof *changes, "changed rates");
        rate->changes = changes;
        rate->change_capacity = capacity;
    }
    rate->changes[rate->change_count++] = key;
    return STATUS_OK;
}

// Marks a row as changed; a row that is among the changes already stays where it is.
static enum status row_changed(struct rate *rate, uint32_t slot, struct error *err) {
    real *mark = table_state(&rate->table, slot);
    if (*mark > 0)
        return STATUS_OK;
    *mark = 1;
    return change_add(rate, table_id(&rate->table, slot), err);
}

// Whether a key without a row gets one now.
static bool admitted(struct rates *rates, struct rate *rate, uint64_t key) {
    if (key != RATES_TOTAL && rate->filter) {
        unsigned char *seen = &rate->filter[hash_mix(key) % FILTER_COUNTERS];
        if (*seen < 255)
            ++*seen;
        // Old sightings fade, or every key would be admitted one day.
        if (++rate->filtered >= 2 * (uint64_t)FILTER_COUNTERS) {
            for (size_t i = 0; i < FILTER_COUNTERS; i++)
                rate->filter[i] /= 2;
            rate->filtered = 0;
        }
        if (*seen < rate->settings.admit)
            return false;
    }
    bool room = (int64_t)table_rows(&rate->table) < rate->settings.rows_max || key == RATES_TOTAL;
    rates->refused += room ? 0 : 1;
    return room;
}

static enum status label_one(struct rates *rates, struct rate *rate, uint64_t key, size_t task,
                             int64_t time_ms, double label, double weight, struct error *err) {
    uint32_t slot = table_find(&rate->table, key);
    enum status status = STATUS_OK;
    if (slot == TABLE_DEFAULT_SLOT) {
        if (!admitted(rates, rate, key))
            return STATUS_OK;
        status = table_insert(&rate->table, key, &slot, err);
        if (status == STATUS_OK)
            time_put(table_values(&rate->table, slot), time_ms);
    }
    if (status != STATUS_OK)
        return status;
    row_add(rate, table_values(&rate->table, slot), task, time_ms, label, weight);
    return row_changed(rate, slot, err);
}

static double row_newest(const struct rate *rate, const real *row, int64_t time_ms) {
    double left = decay(&rate->settings, time_get(row), time_ms), most = 0;
    for (size_t task = 0; task < rate->settings.tasks; task++)
        if (left * (double)row[3 + 2 * task] > most)
            most = left * (double)row[3 + 2 * task];
    return most;
}

// Once there were as many labels as rows, lets go of the rows whose counts have faded, in the order
// of insertion: whether and when depends on neither the table's holes nor its index.
static enum status expire(struct rate *rate, int64_t time_ms, struct error *err) {
    if (rate->settings.expire <= 0 || ++rate->unswept < EXPIRE_LABELS ||
        rate->unswept < table_rows(&rate->table))
        return STATUS_OK;
    rate->unswept = 0;
    size_t first = rate->change_count;
    for (uint32_t slot = 1; slot < rate->table.slots; slot++) {
        uint64_t key = table_id(&rate->table, slot);
        if (key == 0 || key == RATES_TOTAL ||
            row_newest(rate, table_values(&rate->table, slot), time_ms) >= rate->settings.expire)
            continue;
        enum status status = change_add(rate, key, err); // once more where it is there already
        if (status != STATUS_OK)
            return status;
    }
    for (size_t i = first; i < rate->change_count; i++)
        table_remove(&rate->table, rate->changes[i]);
    return STATUS_OK;
}

enum status rates_label(struct rates *rates, size_t r, uint64_t key, size_t task, int64_t time_ms,
                        double label, double weight, struct error *err) {
    REQUIRE(r < rates->count && task < rates->rates[r].settings.tasks);
    struct rate *rate = &rates->rates[r];
    if (key == 0)
        return STATUS_OK;
    enum status status = label_one(rates, rate, RATES_TOTAL, task, time_ms, label, weight, err);
    if (status == STATUS_OK && key != RATES_TOTAL)
        status = label_one(rates, rate, key, task, time_ms, label, weight, err);
    return status == STATUS_OK ? expire(rate, time_ms, err) : status;
}

// ---- rows ---------------------------------------------------------------------------------------

enum status rates_row_put(struct rates *rates, size_t r, uint64_t key, const float *values,
                          struct error *err) {
    REQUIRE(r < rates->count && key != 0);
    struct table *table = &rates->rates[r].table;
    uint32_t slot = table_find(table, key);
    enum status status =
        slot == TABLE_DEFAULT_SLOT ? table_insert(table, key, &slot, err) : STATUS_OK;
    for (size_t c = 0; status == STATUS_OK && c < table->width; c++)
        table_values(table, slot)[c] = (real)values[c];
    return status;
}

static void row_copy(const struct table *table, uint32_t slot, float *values) {
    for (size_t c = 0; c < table->width; c++)
        values[c] = (float)table_values(table, slot)[c];
}

bool rates_row_get(const struct rates *rates, size_t r, uint64_t key, float *ret_values) {
    REQUIRE(r < rates->count);
    const struct table *table = &rates->rates[r].table;
    uint32_t slot = table_find(table, key);
    if (slot != TABLE_DEFAULT_SLOT)
        row_copy(table, slot, ret_values);
    return slot != TABLE_DEFAULT_SLOT;
}

void rates_row_remove(struct rates *rates, size_t r, uint64_t key) {
    REQUIRE(r < rates->count);
    table_remove(&rates->rates[r].table, key);
}

enum status rates_each_changed(const struct rates *rates, rates_visitor *each, void *self,
                               struct error *err) {
    float values[WIDTH_MAX];
    enum status status = STATUS_OK;
    for (size_t r = 0; r < rates->count; r++) {
        const struct rate *rate = &rates->rates[r];
        for (size_t i = 0; i < rate->change_count && status == STATUS_OK; i++) {
            bool there = rates_row_get(rates, r, rate->changes[i], values);
            status = each(self, r, rate->changes[i], there ? values : NULL, err);
        }
    }
    return status;
}

enum status rates_each_in_slice(const struct rates *rates, uint32_t slice, uint32_t bits,
                                rates_visitor *each, void *self, struct error *err) {
    float values[WIDTH_MAX];
    enum status status = STATUS_OK;
    for (size_t r = 0; r < rates->count; r++) {
        const struct table *table = &rates->rates[r].table;
        for (uint32_t slot = 1; slot < table->slots && status == STATUS_OK; slot++) {
            uint64_t key = table_id(table, slot);
            if (key == 0 || (bits > 0 && hash_mix(key) >> (64 - bits) != slice))
                continue;
            row_copy(table, slot, values);
            status = each(self, r, key, values, err);
        }
    }
    return status;
}

enum status rates_touch(struct rates *rates, size_t r, uint64_t key, struct error *err) {
    REQUIRE(r < rates->count && key != 0);
    struct rate *rate = &rates->rates[r];
    uint32_t slot = table_find(&rate->table, key);
    return slot == TABLE_DEFAULT_SLOT ? change_add(rate, key, err) : row_changed(rate, slot, err);
}

void rates_changes_clear(struct rates *rates) {
    for (size_t r = 0; r < rates->count; r++) {
        struct rate *rate = &rates->rates[r];
        for (size_t i = 0; i < rate->change_count; i++) {
            uint32_t slot = table_find(&rate->table, rate->changes[i]);
            if (slot != TABLE_DEFAULT_SLOT)
                *table_state(&rate->table, slot) = 0;
        }
        rate->change_count = 0;
    }
}

// ---- saving -------------------------------------------------------------------------------------

// Rows by slot; a hole is key 0 without values.
static void rate_save(const struct rate *rate, struct buffer *into) {
    wire_put_long(into, (int64_t)rate->table.slots - 1);
    for (uint32_t slot = 1; slot < rate->table.slots; slot++) {
        wire_put_fixed64(into, table_id(&rate->table, slot));
        for (size_t c = 0; table_id(&rate->table, slot) != 0 && c < rate->table.width; c++)
            wire_put_float(into, (float)table_values(&rate->table, slot)[c]);
    }
    wire_put_long(into, (int64_t)rate->unswept);
    wire_put_long(into, (int64_t)rate->change_count);
    for (size_t i = 0; i < rate->change_count; i++)
        wire_put_fixed64(into, rate->changes[i]);
    wire_put_long(into, (int64_t)rate->filtered);
    wire_put_bytes(into, rate->filter, rate->filter ? FILTER_COUNTERS : 0);
}

void rates_save(const struct rates *rates, struct buffer *into) {
    wire_put_long(into, (int64_t)rates->refused);
    for (size_t r = 0; r < rates->count; r++)
        rate_save(&rates->rates[r], into);
}

static enum status rate_load(struct rates *rates, size_t r, struct wire *in, struct error *err) {
    struct rate *rate = &rates->rates[r];
    int64_t slots = wire_get_long(in);
    enum status status = STATUS_OK;
    for (int64_t i = 0; i < slots && !in->bad && status == STATUS_OK; i++) {
        uint32_t slot;
        uint64_t key = wire_get_fixed64(in);
        in->bad |= table_find(&rate->table, key) != TABLE_DEFAULT_SLOT;
        if (!in->bad)
            status = table_append(&rate->table, key, &slot, err);
        for (size_t c = 0; status == STATUS_OK && !in->bad && key && c < rate->table.width; c++)
            table_values(&rate->table, slot)[c] = (real)wire_get_float(in);
    }
    rate->unswept = (uint64_t)wire_get_long(in);
    int64_t changes = wire_get_long(in);
    for (int64_t i = 0; i < changes && !in->bad && status == STATUS_OK; i++) {
        uint64_t key = wire_get_fixed64(in);
        uint32_t slot = table_find(&rate->table, key);
        if (slot != TABLE_DEFAULT_SLOT)
            *table_state(&rate->table, slot) = 1;
        status = change_add(rate, key, err);
    }
    rate->filtered = (uint64_t)wire_get_long(in);
    size_t length;
    const unsigned char *filter = wire_get_bytes(in, &length);
    in->bad |= length != (rate->filter ? FILTER_COUNTERS : 0);
    if (!in->bad && length > 0)
        memcpy(rate->filter, filter, length);
    return status;
}

enum status rates_load(struct rates *rates, struct wire *in, struct error *err) {
    rates->refused = (uint64_t)wire_get_long(in);
    for (size_t r = 0; r < rates->count && !in->bad; r++) {
        enum status status = rate_load(rates, r, in, err);
        if (status != STATUS_OK)
            return status;
    }
    if (in->bad)
        return error_set(err, STATUS_CORRUPT, "could not read the rates: malformed");
    return STATUS_OK;
}
