// The public face: two copies of the model, one scored from while the other is brought forward.
#include "scorer/freshet_scorer.h"

#include <math.h>
#include <stdatomic.h>
#include <string.h>

#include "base/clock.h"
#include "scorer/copy.h"
#include "scorer/row.h"

enum { BLOCK_ROWS = 256, SCRATCHES = 64 };

// What one call of score needs; given back for the next.
struct scratch {
    struct minibatch batch;
    struct model_scratch *model;
    real *logits;
    uint64_t generation;     // of the copy's model that it was made for
    struct model_spec shape; // only its counts of fields
};

struct freshet_scorer {
    struct copy copies[2];
    atomic_int active;     // the one scored from; written by the follower
    struct mirror *mirror; // the follower's, once open has returned
    struct freshet_scorer_options options;
    char texts[5][256]; // the options' own
    pthread_t follower;
    bool following;
    atomic_bool stop;
    pthread_mutex_t lock; // guards scratches and trouble
    struct scratch *scratches[SCRATCHES];
    size_t scratch_count;
    char trouble[ERROR_MESSAGE_MAX];
    struct spec spec;     // of the model first read: names that rows are built by
    uint64_t fingerprint; // of spec
    struct arena run;
};

static enum freshet_scorer_status tell(const struct error *err, char *text, size_t size) {
    if (text && size > 0)
        snprintf(text, size, "%s", err->message);
    switch (err->status) {
    case STATUS_UNAVAILABLE:
    case STATUS_TIMEOUT:
        return FRESHET_SCORER_UNAVAILABLE;
    case STATUS_EXHAUSTED:
        return FRESHET_SCORER_MEMORY;
    default:
        return FRESHET_SCORER_INVALID;
    }
}

static void scratch_free(struct scratch *scratch) {
    if (!scratch)
        return;
    minibatch_deinit(&scratch->batch, &scratch->shape);
    model_scratch_free(scratch->model);
    memory_free(scratch->logits);
    memory_free(scratch);
}

static enum status scratch_new(const struct copy *copy, struct scratch **ret_scratch,
                               struct error *err) {
    struct scratch *scratch = memory_new(1, sizeof *scratch);
    if (!scratch)
        return error_no_memory(err, sizeof *scratch, "scoring");
    scratch->generation = copy->generation;
    scratch->shape.field_count = copy->shape.field_count;
    scratch->shape.categorical_count = copy->shape.categorical_count;
    enum status status = minibatch_init(&scratch->batch, &copy->shape, BLOCK_ROWS, err);
    if (status == STATUS_OK)
        status = model_scratch_new(copy->model, BLOCK_ROWS, &scratch->model, err);
    scratch->logits = memory_new((size_t)BLOCK_ROWS * copy->shape.task_count, sizeof(real));
    if (status == STATUS_OK && !scratch->logits)
        status = error_no_memory(err, BLOCK_ROWS * sizeof(real), "scoring");
    if (status == STATUS_OK)
        *ret_scratch = scratch;
    else
        scratch_free(scratch);
    return status;
}

// One made for this copy's model, or a new one.
static enum status scratch_take(struct freshet_scorer *scorer, const struct copy *copy,
                                struct scratch **ret_scratch, struct error *err) {
    struct scratch *found = NULL;
    pthread_mutex_lock(&scorer->lock);
    for (size_t i = scorer->scratch_count; !found && i-- > 0;) {
        if (scorer->scratches[i]->generation == copy->generation) {
            found = scorer->scratches[i];
            scorer->scratches[i] = scorer->scratches[--scorer->scratch_count];
        }
    }
    pthread_mutex_unlock(&scorer->lock);
    if (!found)
        return scratch_new(copy, ret_scratch, err);
    *ret_scratch = found;
    return STATUS_OK;
}

static void scratch_give(struct freshet_scorer *scorer, struct scratch *scratch) {
    pthread_mutex_lock(&scorer->lock);
    bool kept = scorer->scratch_count < SCRATCHES;
    if (kept)
        scorer->scratches[scorer->scratch_count++] = scratch;
    pthread_mutex_unlock(&scorer->lock);
    if (!kept)
        scratch_free(scratch);
}

// Scratch memory made for a model that is leaving goes first. Nobody else holds the copy's lock.
static void scratches_forget(void *self, uint64_t generation) {
    struct freshet_scorer *scorer = self;
    pthread_mutex_lock(&scorer->lock);
    for (size_t i = scorer->scratch_count; i-- > 0;) {
        if (scorer->scratches[i]->generation != generation)
            continue;
        scratch_free(scorer->scratches[i]);
        scorer->scratches[i] = scorer->scratches[--scorer->scratch_count];
    }
    pthread_mutex_unlock(&scorer->lock);
}

static void note_trouble(struct freshet_scorer *scorer, const char *text) {
    pthread_mutex_lock(&scorer->lock);
    snprintf(scorer->trouble, sizeof scorer->trouble, "%s", text);
    pthread_mutex_unlock(&scorer->lock);
}

static enum status follow_once(struct freshet_scorer *scorer, struct error *err) {
    enum status status =
        scorer->mirror ? STATUS_OK : mirror_open(&scorer->options, &scorer->mirror, err);
    if (status != STATUS_OK)
        return status;
    int active = atomic_load(&scorer->active);
    struct copy *next = &scorer->copies[1 - active];
    pthread_rwlock_wrlock(&next->lock);
    status = copy_advance(next, scorer->mirror, err);
    bool newer = status == STATUS_OK && (next->version != scorer->copies[active].version ||
                                         next->lineage != scorer->copies[active].lineage);
    pthread_rwlock_unlock(&next->lock);
    if (newer)
        atomic_store(&scorer->active, 1 - active);
    if (status == STATUS_UNAVAILABLE) {
        mirror_close(scorer->mirror);
        scorer->mirror = NULL;
    }
    return status;
}

static void *follow(void *self) {
    struct freshet_scorer *scorer = self;
    int poll_ms = scorer->options.poll_ms > 0 ? scorer->options.poll_ms : 100;
    while (!atomic_load(&scorer->stop)) {
        struct error err;
        note_trouble(scorer, follow_once(scorer, &err) == STATUS_OK ? "" : err.message);
        for (int waited = 0; waited < poll_ms && !atomic_load(&scorer->stop); waited += 10)
            clock_system.sleep_ms(&clock_system, poll_ms - waited < 10 ? poll_ms - waited : 10);
    }
    return NULL;
}

static void keep_options(struct freshet_scorer *scorer,
                         const struct freshet_scorer_options *options) {
    const char *given[5] = {options->host, options->socket, options->user, options->password,
                            options->name};
    const char **kept[5] = {&scorer->options.host, &scorer->options.socket, &scorer->options.user,
                            &scorer->options.password, &scorer->options.name};
    scorer->options = *options;
    for (size_t i = 0; i < 5; i++) {
        if (!given[i])
            continue;
        snprintf(scorer->texts[i], sizeof scorer->texts[i], "%s", given[i]);
        *kept[i] = scorer->texts[i];
    }
}

// Tries until a model is whole or the time is over.
static enum status first_load(struct freshet_scorer *scorer, struct error *err) {
    int timeout_ms = scorer->options.timeout_ms > 0 ? scorer->options.timeout_ms : 5000;
    int64_t end_us = clock_system.monotonic_us(&clock_system) + (int64_t)timeout_ms * 1000;
    for (;;) {
        enum status status =
            scorer->mirror ? STATUS_OK : mirror_open(&scorer->options, &scorer->mirror, err);
        if (status == STATUS_OK)
            status = copy_load(&scorer->copies[0], scorer->mirror, err);
        if (status != STATUS_UNAVAILABLE || clock_system.monotonic_us(&clock_system) > end_us)
            return status;
        mirror_close(scorer->mirror);
        scorer->mirror = NULL;
        clock_system.sleep_ms(&clock_system, 50);
    }
}

// Names outlive the copy that they came from.
static enum status keep_spec(struct freshet_scorer *scorer, struct error *err) {
    struct buffer json;
    buffer_init(&json);
    enum status status = spec_to_json(&scorer->copies[0].spec, &json, err);
    if (status == STATUS_OK)
        status =
            spec_from_json((const char *)json.data, json.length, &scorer->run, &scorer->spec, err);
    buffer_deinit(&json);
    return status;
}

enum freshet_scorer_status freshet_scorer_open(const struct freshet_scorer_options *options,
                                               struct freshet_scorer **ret_scorer, char *error,
                                               size_t error_size) {
    struct error err;
    if (!options->name || !options->name[0] || strlen(options->name) > 127) {
        error_set(&err, STATUS_INVALID, "could not open a scorer: `name` must have 1 to 127 bytes");
        return tell(&err, error, error_size);
    }
    struct freshet_scorer *scorer = memory_new(1, sizeof *scorer);
    if (!scorer) {
        error_no_memory(&err, sizeof *scorer, "a scorer");
        return tell(&err, error, error_size);
    }
    keep_options(scorer, options);
    arena_init(&scorer->run, 16384);
    for (int i = 0; i < 2; i++) {
        copy_init(&scorer->copies[i]);
        scorer->copies[i].leaving = scratches_forget;
        scorer->copies[i].self = scorer;
    }
    REQUIRE(pthread_mutex_init(&scorer->lock, NULL) == 0);
    enum status status = first_load(scorer, &err);
    if (status == STATUS_OK)
        status = keep_spec(scorer, &err);
    if (status == STATUS_OK)
        scorer->fingerprint = spec_fingerprint(&scorer->spec);
    if (status == STATUS_OK && options->poll_ms >= 0) {
        int code = pthread_create(&scorer->follower, NULL, follow, scorer);
        scorer->following = code == 0;
        if (code != 0)
            status =
                error_set(&err, STATUS_EXHAUSTED, "could not start a thread: %s", strerror(code));
    }
    if (status != STATUS_OK) {
        freshet_scorer_close(scorer);
        return tell(&err, error, error_size);
    }
    *ret_scorer = scorer;
    return FRESHET_SCORER_OK;
}

void freshet_scorer_close(struct freshet_scorer *scorer) {
    if (!scorer)
        return;
    atomic_store(&scorer->stop, true);
    if (scorer->following)
        REQUIRE(pthread_join(scorer->follower, NULL) == 0);
    mirror_close(scorer->mirror);
    for (size_t i = 0; i < scorer->scratch_count; i++)
        scratch_free(scorer->scratches[i]);
    copy_deinit(&scorer->copies[0]);
    copy_deinit(&scorer->copies[1]);
    arena_deinit(&scorer->run);
    pthread_mutex_destroy(&scorer->lock);
    memory_free(scorer);
}

size_t freshet_scorer_tasks(const struct freshet_scorer *scorer) {
    return scorer->spec.tasks.count;
}

const char *freshet_scorer_task(const struct freshet_scorer *scorer, size_t task) {
    return task < scorer->spec.tasks.count ? spec_task_at(&scorer->spec, task)->name : NULL;
}

void freshet_scorer_trouble(struct freshet_scorer *scorer, char *text, size_t size) {
    pthread_mutex_lock(&scorer->lock);
    snprintf(text, size, "%s", scorer->trouble);
    pthread_mutex_unlock(&scorer->lock);
}

const struct spec *scorer_spec(const struct freshet_scorer *scorer) {
    return &scorer->spec;
}

// The active copy, locked for reading. A swap between the look and the lock is harmless: the lock
// then waits for the follower, and the copy is newer than before.
static struct copy *copy_take(struct freshet_scorer *scorer) {
    for (;;) {
        int active = atomic_load(&scorer->active);
        struct copy *copy = &scorer->copies[active];
        pthread_rwlock_rdlock(&copy->lock);
        if (copy->model && atomic_load(&scorer->active) == active)
            return copy;
        pthread_rwlock_unlock(&copy->lock);
    }
}

uint64_t freshet_scorer_version(struct freshet_scorer *scorer) {
    struct copy *copy = copy_take(scorer);
    uint64_t version = copy->version;
    pthread_rwlock_unlock(&copy->lock);
    return version;
}

static enum status score_block(const struct copy *copy, struct scratch *scratch,
                               struct freshet_row *const *rows, size_t count, float *probabilities,
                               struct error *err) {
    size_t tasks = copy->shape.task_count;
    enum status status = STATUS_OK;
    minibatch_reset(&scratch->batch);
    for (size_t i = 0; status == STATUS_OK && i < count; i++)
        status = row_append(rows[i], i > 0 ? rows[i - 1] : NULL, copy, &scratch->batch, err);
    if (status != STATUS_OK)
        return status;
    model_predict(copy->model, scratch->model, &scratch->batch, 0, count, scratch->logits);
    for (size_t i = 0; i < count; i++)
        for (size_t k = 0; k < tasks; k++)
            probabilities[i * tasks + k] =
                (float)(1 / (1 + exp(-(double)scratch->logits[k * count + i])));
    return STATUS_OK;
}

enum freshet_scorer_status freshet_scorer_score(struct freshet_scorer *scorer,
                                                struct freshet_row *const *rows, size_t count,
                                                float *probabilities, uint64_t *ret_version,
                                                char *error, size_t error_size) {
    struct error err;
    struct scratch *scratch = NULL;
    struct copy *copy = copy_take(scorer);
    enum status status = STATUS_OK;
    if (copy->fingerprint != scorer->fingerprint)
        status = error_set(&err, STATUS_INVALID,
                           "could not score: another set of features or tasks has been published; "
                           "open the scorer anew");
    if (status == STATUS_OK)
        status = scratch_take(scorer, copy, &scratch, &err);
    for (size_t first = 0; status == STATUS_OK && first < count; first += BLOCK_ROWS) {
        size_t block = count - first < BLOCK_ROWS ? count - first : BLOCK_ROWS;
        status = score_block(copy, scratch, rows + first, block,
                             probabilities + first * copy->shape.task_count, &err);
    }
    if (status == STATUS_OK && ret_version)
        *ret_version = copy->version;
    if (scratch)
        scratch_give(scorer, scratch);
    pthread_rwlock_unlock(&copy->lock);
    return status == STATUS_OK ? FRESHET_SCORER_OK : tell(&err, error, error_size);
}
