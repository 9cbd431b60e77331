// Streaming rates in the trainer: which labels a prediction's rates may know.
//
// What it owns: the rates (model/rates.h) and the labels that are known but may not count yet. A
// label of impression time t counts from t + its task's window on, positive or negative, however
// early it came; rates are read as of the impression's event time less `data.rates_lag`. So what is
// read never knows more than serving could have known, and flipping a label changes no prediction
// before its window has closed. Labels count in order of that time, then of arrival. Event time
// that goes back does not take labels out again.
#ifndef FRESHET_TRAINER_COUNTING_H
#define FRESHET_TRAINER_COUNTING_H

#include "model/rates.h"
#include "record/example.h"

struct counting;

// spec: checked, borrowed. At most labels_max labels wait; further ones do not count.
CHECKED enum status counting_new(const struct spec *spec, size_t labels_max,
                                 struct counting **ret_counting, struct error *err);
void counting_free(struct counting *counting);            // NULL is fine
size_t counting_columns(const struct counting *counting); // 0 without rates
// The rates of an example's keys at its event time: [columns].
CHECKED enum status counting_read(struct counting *counting, const struct example *example,
                                  float *columns, struct error *err);
// Lets all labels count whose windows have closed by now_ms, as what is published does.
CHECKED enum status counting_catch_up(struct counting *counting, int64_t now_ms, struct error *err);
// The same by the rates as they are, without letting labels in that count by now.
void counting_peek(const struct counting *counting, const struct example *example, float *columns);
// A final label of an example, whose impression was at event_time_ms. To be told once each.
CHECKED enum status counting_label(struct counting *counting, const struct example *example,
                                   size_t task, int64_t event_time_ms, double label, double weight,
                                   struct error *err);
// What is published: rows as they will be once all labels whose windows have closed by now_ms
// count, though the trainer may not read them yet (`data.rates_lag`, or nothing was read since). A
// reader of Redis whose copy is no older than the lag so knows all that training knew. New rates,
// the caller's to free, with the rows that differ from the trainer's own, which are taken among its
// changes.
CHECKED enum status counting_ahead(struct counting *counting, int64_t now_ms,
                                   struct rates **ret_ahead, struct error *err);
struct rates *counting_rates(struct counting *counting);
size_t counting_waiting(const struct counting *counting);   // labels that may not count yet
uint64_t counting_dropped(const struct counting *counting); // for want of room
void counting_save(const struct counting *counting, struct buffer *into);
// Into a new one of the same spec. STATUS_CORRUPT, STATUS_EXHAUSTED.
CHECKED enum status counting_load(struct counting *counting, struct wire *in, struct error *err);

#endif
