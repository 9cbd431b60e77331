// The life of embedding rows: which ids get a row, and when rows leave.
//
// A rule of `trainer.learner.tables` says it for one table. An id without a row reads and teaches
// the table's default row, in training as in serving, and a row starts from that. Two rules of
// admission, both of McMahan et al. (KDD 2013, table 2), may hold at once:
//
//   admit        the row comes at the id's so-manieth sighting. Sightings are counted in a
//                count-min sketch of fixed size (Cormode and Muthukrishnan 2005) with conservative
//                update (Estan and Varghese 2002): ids may share counters, so a row may come early,
//                never late. Counters halve when the sketch has seen twice as many sightings as it
//                is wide: rare ids of long ago are forgotten.
//   admit_share  each sighting admits with this probability, drawn from (seed, table, id, step,
//                occurrence): the same whenever it is drawn again.
//
// Rows leave between two steps, by event time, never by the clock:
//
//   expire_after  not learnt from for so long; looked for every sixteenth of it
//   expire_uses   its uses, minibatches that had it, halved every half_life, are below; looked for
//                 every sixteenth of the half-life
//   rows_max      the table has more rows: the least used leave (by the same uses; of equal ones
//                 those in lower slots) until it is a sixteenth below its bound
//   memory_max    of the learner: the same over the rows of all tables, by their bytes
//
// For that a row keeps two numbers behind its optimiser's state: the second of event time of its
// last use, and its uses as of then. A row that no step has used yet (imported, or learnt before
// the event time was known) begins its life when it is first looked at.
//
// Owned by the learner, one a table; used by one thread a table at a time.
#ifndef FRESHET_TRAINER_LIFE_H
#define FRESHET_TRAINER_LIFE_H

#include "model/table_cut.h"
#include "trainer/rules.h"

enum life_end { LIFE_AGE, LIFE_USES, LIFE_ROOM, LIFE_ENDS }; // why a row left
enum { LIFE_SKETCH_ROWS = 4, LIFE_NUMBERS = 2 };
struct life {
    bool ruled; // else every id gets its row at once, and nothing below is kept
    struct table_rule rule;
    uint64_t seed; // of the table
    bool expires;  // rows may leave, and keep LIFE_NUMBERS behind their optimiser's state, ...
    size_t at;     // ... from this one of the row's state on
    // State that is saved.
    unsigned char *counters; // [LIFE_SKETCH_ROWS][admit_counters]; NULL where `admit` is 1
    uint64_t counted;        // sightings since counters were last halved
    uint64_t admitted;       // rows made
    uint64_t unadmitted;     // sightings that found no row and made none
    uint64_t ended[LIFE_ENDS];
    uint64_t looked; // last look, in periods of event time
    uint64_t *gone;  // [gone_count] ids whose rows left since publishers were told, oldest first
    size_t gone_count, gone_capacity;
};

// The rules of all tables, lives[spec->table_count]; the rules' own settings are copied, their
// texts are not kept. STATUS_INVALID as rules_assign; STATUS_EXHAUSTED.
// bounded: rows of every table may leave, without a rule as well.
CHECKED enum status lives_new(const struct option_sections *rules, bool bounded,
                              const struct model_spec *spec, struct life **ret_lives,
                              struct error *err);
void lives_free(struct life *lives, size_t count); // NULL is fine

// Whether an id (not 0) without a row gets one, seen `sightings` times at the step's so-manieth
// occurrence.
bool life_admits(struct life *life, uint64_t id, size_t sightings, uint64_t step,
                 uint64_t occurrence);

// Event time in whole seconds; 0 = not known.
uint32_t life_seconds(int64_t time_ms);
// A new row has no life yet; likewise one whose values somebody else has put.
void life_begin(const struct life *life, const struct table *table, uint32_t slot);
// A step uses the row; the cut knows that it changes. Nothing where rows do not leave.
void life_use(const struct life *life, const struct table *table, uint32_t slot, uint32_t now_s);
// After a step: rows leave whose life has ended. STATUS_EXHAUSTED.
CHECKED enum status life_look(struct life *life, struct table *table, struct table_cut *cut,
                              uint32_t now_s, struct error *err);
// The least used rows of several tables leave, until those that left weigh as much; all rows
// together weigh no less. Of rows used alike those of earlier tables, then of lower slots.
// STATUS_EXHAUSTED.
struct life_room {
    struct life *life;
    struct table *table;
    struct table_cut *cut;
    uint64_t weight; // of a row
};
enum { LIFE_SPARE = 16 }; // the part of a bound that is made free when it is passed
CHECKED enum status life_make_room(const struct life_room *rooms, size_t count, uint32_t now_s,
                                   uint64_t weight, struct error *err);
// Publishers know of all that left.
void life_gone_clear(struct life *life);
CHECKED enum status life_gone_add(struct life *life, uint64_t id, struct error *err);

#endif
