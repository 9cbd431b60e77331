// Values into columns, with the ids that ingest gives them; see freshet_scorer.h.
#include "scorer/row.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "base/clock.h"

enum { DOMAIN_BYTES = 256 };

struct freshet_row {
    const struct spec *spec;
    size_t categorical, numeric, multi, lists_count; // lists: multi-valued, then sequences
    size_t *columns;  // [features] the feature's column among those of its kind
    size_t hint;      // where find() looks first: callers mostly name features in order
    uint64_t *ids;    // [categorical]
    float *numbers;   // [numeric]
    uint64_t **lists; // [lists][length_max of its feature]
    int64_t **times;  // of sequences, beside their ids: times in ms, or ages in s where `aged`
    size_t *lengths;  // [lists]
    bool aged;
    char domain[DOMAIN_BYTES];
    bool timed;
    int64_t time_ms;
};

static bool is_list(const struct spec_feature *feature) {
    return feature->kind == SPEC_MULTI || feature->kind == SPEC_SEQUENCE;
}

static bool is_timed(const struct spec_feature *feature) {
    return feature->kind == SPEC_SEQUENCE && feature->times[0] != '\0';
}

struct freshet_row *freshet_row_new(const struct freshet_scorer *scorer) {
    const struct spec *spec = scorer_spec(scorer);
    struct freshet_row *row = memory_new(1, sizeof *row);
    if (!row)
        return NULL;
    row->spec = spec;
    row->categorical = spec_kind_count(spec, SPEC_CATEGORICAL);
    row->numeric = spec_kind_count(spec, SPEC_NUMERIC);
    row->multi = spec_kind_count(spec, SPEC_MULTI);
    row->ids = memory_new(row->categorical + 1, sizeof *row->ids);
    row->numbers = memory_new(row->numeric + 1, sizeof *row->numbers);
    row->lists_count = row->multi + spec_kind_count(spec, SPEC_SEQUENCE);
    row->lists = memory_new(row->lists_count + 1, sizeof *row->lists);
    row->times = memory_new(row->lists_count + 1, sizeof *row->times);
    row->lengths = memory_new(row->lists_count + 1, sizeof *row->lengths);
    row->columns = memory_new(spec->features.count + 1, sizeof *row->columns);
    bool good =
        row->ids && row->numbers && row->lists && row->times && row->lengths && row->columns;
    size_t columns[SPEC_KINDS] = {[SPEC_SEQUENCE] = row->multi};
    for (size_t i = 0; good && i < spec->features.count; i++) {
        const struct spec_feature *feature = spec_feature_at(spec, i);
        size_t column = row->columns[i] = columns[feature->kind]++;
        if (!is_list(feature))
            continue;
        row->lists[column] = memory_new((size_t)feature->length_max, sizeof **row->lists);
        row->times[column] = memory_new((size_t)feature->length_max, sizeof **row->times);
        good = row->lists[column] && row->times[column];
    }
    if (!good) {
        freshet_row_free(row);
        return NULL;
    }
    freshet_row_reset(row);
    return row;
}

void freshet_row_free(struct freshet_row *row) {
    if (!row)
        return;
    for (size_t i = 0; row->lists && i < row->lists_count; i++)
        memory_free(row->lists[i]);
    for (size_t i = 0; row->times && i < row->lists_count; i++)
        memory_free(row->times[i]);
    memory_free(row->ids);
    memory_free(row->numbers);
    memory_free(row->lists);
    memory_free(row->times);
    memory_free(row->lengths);
    memory_free(row->columns);
    memory_free(row);
}

void freshet_row_reset(struct freshet_row *row) {
    memset(row->ids, 0, row->categorical * sizeof *row->ids);
    memset(row->lengths, 0, row->lists_count * sizeof *row->lengths);
    row->aged = false;
    for (size_t i = 0; i < row->numeric; i++)
        row->numbers[i] = NAN;
    row->domain[0] = '\0';
    row->timed = false;
}

// The feature and its column among those of its kind, or NULL.
static const struct spec_feature *find(struct freshet_row *row, const char *name,
                                       size_t *ret_column) {
    size_t count = row->spec->features.count;
    for (size_t k = 0; k < count; k++) {
        size_t i = row->hint + k < count ? row->hint + k : row->hint + k - count;
        const struct spec_feature *feature = spec_feature_at(row->spec, i);
        if (strcmp(feature->name, name) == 0) {
            *ret_column = row->columns[i];
            row->hint = is_list(feature) || i + 1 == count ? i : i + 1;
            return feature;
        }
    }
    return NULL;
}

void freshet_row_copy(struct freshet_row *row, const struct freshet_row *from) {
    memcpy(row->ids, from->ids, row->categorical * sizeof *row->ids);
    memcpy(row->numbers, from->numbers, row->numeric * sizeof *row->numbers);
    for (size_t i = 0; i < row->lists_count; i++) {
        row->lengths[i] = from->lengths[i];
        memcpy(row->lists[i], from->lists[i], from->lengths[i] * sizeof **row->lists);
        memcpy(row->times[i], from->times[i], from->lengths[i] * sizeof **row->times);
    }
    row->aged = from->aged;
    memcpy(row->domain, from->domain, strlen(from->domain) + 1);
    row->timed = from->timed;
    row->time_ms = from->time_ms;
}

// Into its place by time, behind items of the same; where the sequence is full its oldest item
// goes.
static void put_item(struct freshet_row *row, const struct spec_feature *feature, size_t column,
                     uint64_t id, int64_t time_ms) {
    uint64_t *ids = row->lists[column];
    int64_t *times = row->times[column];
    size_t at = row->lengths[column];
    while (is_timed(feature) && at > 0 && times[at - 1] > time_ms)
        at--;
    if (row->lengths[column] == (size_t)feature->length_max) {
        if (at == 0)
            return; // older than all
        at--;
        memmove(ids, ids + 1, at * sizeof *ids);
        memmove(times, times + 1, at * sizeof *times);
    } else {
        size_t behind = row->lengths[column]++ - at;
        memmove(ids + at + 1, ids + at, behind * sizeof *ids);
        memmove(times + at + 1, times + at, behind * sizeof *times);
    }
    ids[at] = id;
    times[at] = time_ms;
}

static void put_id(struct freshet_row *row, const struct spec_feature *feature, size_t column,
                   uint64_t id) {
    if (feature->kind == SPEC_SEQUENCE)
        put_item(row, feature, column, id, 0);
    else if (feature->kind == SPEC_CATEGORICAL)
        row->ids[column] = id;
    else if (row->lengths[column] < (size_t)feature->length_max)
        row->lists[column][row->lengths[column]++] = id;
}

enum freshet_scorer_status freshet_row_set_text(struct freshet_row *row, const char *name,
                                                const char *text) {
    size_t column;
    const struct spec_feature *feature = find(row, name, &column);
    if (!feature || feature->kind == SPEC_NUMERIC || is_timed(feature))
        return FRESHET_SCORER_INVALID;
    put_id(row, feature, column, spec_id(feature->vocabulary, text, strlen(text)));
    return FRESHET_SCORER_OK;
}

enum freshet_scorer_status freshet_row_add_item(struct freshet_row *row, const char *name,
                                                const char *text, int64_t time_ms) {
    size_t column;
    const struct spec_feature *feature = find(row, name, &column);
    if (!feature || feature->kind != SPEC_SEQUENCE || row->aged)
        return FRESHET_SCORER_INVALID;
    put_item(row, feature, column, spec_id(feature->vocabulary, text, strlen(text)), time_ms);
    return FRESHET_SCORER_OK;
}

int freshet_scorer_feature(const struct freshet_scorer *scorer, const char *name) {
    const struct spec *spec = scorer_spec(scorer);
    for (size_t i = 0; i < spec->features.count; i++) {
        const struct spec_feature *feature = spec_feature_at(spec, i);
        if (strcmp(feature->name, name) == 0)
            return feature->kind == SPEC_NUMERIC ? -1 : (int)i;
    }
    return -1;
}

// The feature of a number that a caller gave, or NULL.
static const struct spec_feature *numbered(const struct spec *spec, int feature) {
    if (feature < 0 || (size_t)feature >= spec->features.count)
        return NULL;
    const struct spec_feature *found = spec_feature_at(spec, (size_t)feature);
    return found->kind == SPEC_NUMERIC ? NULL : found;
}

uint64_t freshet_scorer_id(const struct freshet_scorer *scorer, int feature, const char *text) {
    const struct spec_feature *found = numbered(scorer_spec(scorer), feature);
    return found ? spec_id(found->vocabulary, text, strlen(text)) : 0;
}

enum freshet_scorer_status freshet_row_set_id(struct freshet_row *row, int feature, uint64_t id) {
    const struct spec_feature *found = numbered(row->spec, feature);
    if (!found || is_timed(found))
        return FRESHET_SCORER_INVALID;
    put_id(row, found, row->columns[feature], id);
    return FRESHET_SCORER_OK;
}

enum freshet_scorer_status freshet_row_add_item_id(struct freshet_row *row, int feature,
                                                   uint64_t id, int64_t time_ms) {
    const struct spec_feature *found = numbered(row->spec, feature);
    if (!found || found->kind != SPEC_SEQUENCE || row->aged)
        return FRESHET_SCORER_INVALID;
    put_item(row, found, row->columns[feature], id, time_ms);
    return FRESHET_SCORER_OK;
}

enum freshet_scorer_status freshet_row_set_integer(struct freshet_row *row, const char *name,
                                                   int64_t value) {
    char text[24];
    snprintf(text, sizeof text, "%" PRId64, value);
    return freshet_row_set_text(row, name, text);
}

enum freshet_scorer_status freshet_row_set_number(struct freshet_row *row, const char *name,
                                                  double value) {
    size_t column;
    const struct spec_feature *feature = find(row, name, &column);
    if (!feature || feature->kind != SPEC_NUMERIC)
        return FRESHET_SCORER_INVALID;
    row->numbers[column] = isfinite(value) ? (float)value : NAN;
    return FRESHET_SCORER_OK;
}

enum freshet_scorer_status freshet_row_set_domain(struct freshet_row *row, const char *domain) {
    if (strlen(domain) >= sizeof row->domain)
        return FRESHET_SCORER_INVALID;
    snprintf(row->domain, sizeof row->domain, "%s", domain);
    return FRESHET_SCORER_OK;
}

enum freshet_scorer_status freshet_row_set_time(struct freshet_row *row, int64_t time_ms) {
    row->timed = true;
    row->time_ms = time_ms;
    return FRESHET_SCORER_OK;
}

// Takes one list and passes it over; false: it is too long.
static bool columns_list(struct freshet_row *row, const struct spec_feature *feature, size_t column,
                         const unsigned char **at) {
    uint32_t count;
    memcpy(&count, *at, sizeof count);
    if (count > (uint64_t)feature->length_max)
        return false;
    *at += sizeof count;
    memcpy(row->lists[column], *at, count * sizeof(uint64_t));
    *at += count * sizeof(uint64_t);
    for (uint32_t i = 0; feature->kind == SPEC_SEQUENCE && i < count; i++, *at += 4) {
        uint32_t age;
        memcpy(&age, *at, sizeof age);
        row->times[column][i] = age;
    }
    row->lengths[column] = count;
    return true;
}

enum freshet_scorer_status freshet_row_set_columns(struct freshet_row *row, const void *ids,
                                                   const void *numbers, const void *lists,
                                                   const char *domain, size_t domain_length) {
    const unsigned char *at = lists;
    freshet_row_reset(row);
    if (row->categorical > 0)
        memcpy(row->ids, ids, row->categorical * sizeof *row->ids);
    if (row->numeric > 0)
        memcpy(row->numbers, numbers, row->numeric * sizeof *row->numbers);
    row->aged = true;
    for (int kind = SPEC_MULTI; kind <= SPEC_SEQUENCE; kind++)
        for (size_t i = 0; i < row->spec->features.count; i++) {
            const struct spec_feature *feature = spec_feature_at(row->spec, i);
            if (!is_list(feature) || feature->kind != kind)
                continue;
            if (!columns_list(row, feature, row->columns[i], &at))
                return FRESHET_SCORER_INVALID;
        }
    if (domain_length >= sizeof row->domain)
        domain_length = 0; // served as unknown, as in training
    if (domain_length > 0)
        memcpy(row->domain, domain, domain_length);
    row->domain[domain_length] = '\0';
    return FRESHET_SCORER_OK;
}

static uint32_t domain_index(const struct copy *copy, const char *name) {
    for (size_t i = 0; i < copy->domain_count; i++)
        if (strcmp(copy->domains[i], name) == 0)
            return (uint32_t)(i + 1);
    return MINIBATCH_DOMAIN_UNKNOWN;
}

// When the row is, as far as it says.
static int64_t row_time(const struct freshet_row *row) {
    return row->timed ? row->time_ms : clock_system.wall_ms(&clock_system);
}

// Behind the row's own numbers, as the trainer puts them.
static void rates_append(const struct freshet_row *row, const struct copy *copy,
                         struct minibatch *batch) {
    float columns[2 * SPEC_TASKS_MAX];
    int64_t time_ms = row_time(row);
    size_t column = row->numeric;
    for (size_t r = 0; r < copy->keys.count; r++) {
        const struct rate_key *key = &copy->keys.rates[r];
        uint64_t id =
            rate_key_of(key, (const unsigned char *)row->ids, row->domain, strlen(row->domain));
        rates_read(copy->rates, r, id, time_ms - copy->spec.rates_lag_ms, columns);
        for (size_t k = 0; k < 2 * key->task_count; k++)
            batch->numbers[column++ * batch->capacity + batch->rows] = columns[k];
    }
}

// Items after the row's time are left out, as ingest leaves them out.
static enum status lists_append(const struct freshet_row *row, struct minibatch *batch,
                                struct error *err) {
    int64_t now_ms = row_time(row);
    for (size_t i = 0; i < row->spec->features.count; i++) {
        const struct spec_feature *feature = spec_feature_at(row->spec, i);
        if (!is_list(feature))
            continue;
        size_t column = row->columns[i], count = row->lengths[column];
        bool aged = row->aged, timed = is_timed(feature);
        while (timed && !aged && count > 0 && row->times[column][count - 1] > now_ms)
            count--;
        enum status status = minibatch_list_reserve(batch, column, count, err);
        if (status != STATUS_OK)
            return status;
        size_t begin = batch->list_begin[column * (batch->capacity + 1) + batch->rows];
        for (size_t k = 0; k < count; k++) {
            int64_t of = row->times[column][k], age_s = aged ? of : (now_ms - of) / 1000;
            batch->list_ids[column][begin + k] = row->lists[column][k];
            batch->list_ages[column][begin + k] = !timed               ? 0
                                                  : age_s < UINT32_MAX ? (uint32_t)age_s
                                                                       : UINT32_MAX;
        }
    }
    return STATUS_OK;
}

enum status row_append(const struct freshet_row *row, const struct freshet_row *before,
                       const struct copy *copy, struct minibatch *batch, struct error *err) {
    size_t at = batch->rows;
    for (size_t i = 0; i < row->categorical; i++)
        batch->ids[i * batch->capacity + at] = row->ids[i];
    for (size_t i = 0; i < row->numeric; i++)
        batch->numbers[i * batch->capacity + at] =
            isfinite(row->numbers[i]) ? row->numbers[i] : NAN;
    enum status status = lists_append(row, batch, err);
    if (status != STATUS_OK)
        return status;
    rates_append(row, copy, batch);
    // Candidates of one request are mostly of one domain.
    bool same = before && strcmp(row->domain, before->domain) == 0;
    batch->domains[at] = same ? batch->domains[at - 1] : domain_index(copy, row->domain);
    batch->rows++;
    return STATUS_OK;
}
