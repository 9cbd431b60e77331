// A model, published version by version through a memory log into a real Redis, and the model
// itself at hand to compare with.
#ifndef FRESHET_TESTS_SCORER_BED_H
#define FRESHET_TESTS_SCORER_BED_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <hiredis/hiredis.h>

#include "base/rng.h"
#include "model/model.h"
#include "publisher/publisher.h"
#include "record/spec.h"
#include "scorer/freshet_scorer.h"

enum { TASKS = 2, ITEMS = 60, USERS = 40 };

struct bed {
    struct arena run;
    struct spec spec;
    struct model_spec shape;
    struct model *model; // as of `version`
    struct rng rng;
    uint64_t version;
    struct log *log;
    struct log_writer *writer, *commands;
    struct publisher_settings settings;
    struct publisher *publisher;
    struct runner *runner;
    redisContext *redis;
    char name[64], host[64], directory[128];
    struct freshet_scorer_options options;
};
extern struct bed bed;
extern struct error err;

// What a test may want another way: *state points to one, or is NULL.
struct bed_variant {
    int64_t deltas_max;
    int row_type; // enum redis_row_type
    int domains;  // enum model_domains; none = star
};
int bed_begin(void **state);
int bed_end(void **state);
void must(enum status status);
redisReply *ask(const char *format, ...);

// Changes every tensor and `rows` random rows of the model: a new version, into the log.
void bed_version(unsigned rows);
void bed_publish(void);                // steps the publisher until Redis names bed.version
void bed_pin(uint64_t version);        // onto the control log; 0 = unpin
void bed_step_until(uint64_t version); // of Redis's manifest
// A row by its number, always the same one; sets the scorer's row and the batch's next.
void bed_row(uint64_t number, struct freshet_row *row, struct minibatch *batch);
// probabilities[row][task] of rows first..first+count-1 by bed.model.
void bed_expect(uint64_t first, size_t count, float *probabilities);
// The same by the scorer; returns the version.
uint64_t bed_score(struct freshet_scorer *scorer, uint64_t first, size_t count,
                   float *probabilities);
void bed_await(struct freshet_scorer *scorer, uint64_t version); // until it serves that version

#endif
