// Values into columns, with the ids that ingest gives them; see freshet_scorer.h.
#include "scorer/row.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "base/clock.h"

enum { DOMAIN_BYTES = 256 };

struct freshet_row {
    const struct spec *spec;
    size_t categorical, numeric, multi;
    size_t *columns;  // [features] the feature's column among those of its kind
    size_t hint;      // where find() looks first: callers mostly name features in order
    uint64_t *ids;    // [categorical]
    float *numbers;   // [numeric]
    uint64_t **lists; // [multi][length_max of its feature]
    size_t *lengths;  // [multi]
    char domain[DOMAIN_BYTES];
    bool timed;
    int64_t time_ms;
};

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
    row->lists = memory_new(row->multi + 1, sizeof *row->lists);
    row->lengths = memory_new(row->multi + 1, sizeof *row->lengths);
    row->columns = memory_new(spec->features.count + 1, sizeof *row->columns);
    bool good = row->ids && row->numbers && row->lists && row->lengths && row->columns;
    size_t columns[3] = {0};
    for (size_t i = 0; good && i < spec->features.count; i++)
        row->columns[i] = columns[spec_feature_at(spec, i)->kind]++;
    for (size_t i = 0, list = 0; good && i < spec->features.count; i++) {
        const struct spec_feature *feature = spec_feature_at(spec, i);
        if (feature->kind != SPEC_MULTI)
            continue;
        row->lists[list] = memory_new((size_t)feature->length_max, sizeof **row->lists);
        good = row->lists[list++] != NULL;
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
    for (size_t i = 0; row->lists && i < row->multi; i++)
        memory_free(row->lists[i]);
    memory_free(row->ids);
    memory_free(row->numbers);
    memory_free(row->lists);
    memory_free(row->lengths);
    memory_free(row->columns);
    memory_free(row);
}

void freshet_row_reset(struct freshet_row *row) {
    memset(row->ids, 0, row->categorical * sizeof *row->ids);
    memset(row->lengths, 0, row->multi * sizeof *row->lengths);
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
            row->hint = feature->kind == SPEC_MULTI || i + 1 == count ? i : i + 1;
            return feature;
        }
    }
    return NULL;
}

void freshet_row_copy(struct freshet_row *row, const struct freshet_row *from) {
    memcpy(row->ids, from->ids, row->categorical * sizeof *row->ids);
    memcpy(row->numbers, from->numbers, row->numeric * sizeof *row->numbers);
    for (size_t i = 0; i < row->multi; i++) {
        row->lengths[i] = from->lengths[i];
        memcpy(row->lists[i], from->lists[i], from->lengths[i] * sizeof **row->lists);
    }
    memcpy(row->domain, from->domain, strlen(from->domain) + 1);
    row->timed = from->timed;
    row->time_ms = from->time_ms;
}

static void put_id(struct freshet_row *row, const struct spec_feature *feature, size_t column,
                   uint64_t id) {
    if (feature->kind == SPEC_CATEGORICAL)
        row->ids[column] = id;
    else if (row->lengths[column] < (size_t)feature->length_max)
        row->lists[column][row->lengths[column]++] = id;
}

enum freshet_scorer_status freshet_row_set_text(struct freshet_row *row, const char *name,
                                                const char *text) {
    size_t column;
    const struct spec_feature *feature = find(row, name, &column);
    if (!feature || feature->kind == SPEC_NUMERIC)
        return FRESHET_SCORER_INVALID;
    put_id(row, feature, column, spec_id(feature->vocabulary, text, strlen(text)));
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
    if (!found)
        return FRESHET_SCORER_INVALID;
    put_id(row, found, row->columns[feature], id);
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

enum freshet_scorer_status freshet_row_set_columns(struct freshet_row *row, const void *ids,
                                                   const void *numbers, const void *lists,
                                                   const char *domain, size_t domain_length) {
    const unsigned char *at = lists;
    freshet_row_reset(row);
    if (row->categorical > 0)
        memcpy(row->ids, ids, row->categorical * sizeof *row->ids);
    if (row->numeric > 0)
        memcpy(row->numbers, numbers, row->numeric * sizeof *row->numbers);
    for (size_t i = 0, list = 0; i < row->spec->features.count; i++) {
        const struct spec_feature *feature = spec_feature_at(row->spec, i);
        uint32_t count;
        if (feature->kind != SPEC_MULTI)
            continue;
        memcpy(&count, at, sizeof count);
        if (count > (uint64_t)feature->length_max)
            return FRESHET_SCORER_INVALID;
        memcpy(row->lists[list], at + sizeof count, count * sizeof(uint64_t));
        row->lengths[list++] = count;
        at += sizeof count + count * sizeof(uint64_t);
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

// Behind the row's own numbers, as the trainer puts them.
static void rates_append(const struct freshet_row *row, const struct copy *copy,
                         struct minibatch *batch) {
    float columns[2 * SPEC_TASKS_MAX];
    int64_t time_ms = row->timed ? row->time_ms : clock_system.wall_ms(&clock_system);
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

enum status row_append(const struct freshet_row *row, const struct freshet_row *before,
                       const struct copy *copy, struct minibatch *batch, struct error *err) {
    size_t at = batch->rows;
    for (size_t i = 0; i < row->categorical; i++)
        batch->ids[i * batch->capacity + at] = row->ids[i];
    for (size_t i = 0; i < row->numeric; i++)
        batch->numbers[i * batch->capacity + at] =
            isfinite(row->numbers[i]) ? row->numbers[i] : NAN;
    for (size_t i = 0; i < row->multi; i++) {
        enum status status = minibatch_list_append(batch, i, row->lists[i], row->lengths[i], err);
        if (status != STATUS_OK)
            return status;
    }
    rates_append(row, copy, batch);
    // Candidates of one request are mostly of one domain.
    bool same = before && strcmp(row->domain, before->domain) == 0;
    batch->domains[at] = same ? batch->domains[at - 1] : domain_index(copy, row->domain);
    batch->rows++;
    return STATUS_OK;
}
