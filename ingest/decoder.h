// The decoder: a record of one of the inputs in, its events out.
//
// For each writer schema (the input's own, or the one that the record's framing names) the mapped
// paths are resolved once into a plan; then a record is one walk over its bytes that picks up the
// mapped values and skips all others. It works from the record and the settings alone and keeps no
// state between records but what the schema registry answered.
//
// It never changes, re-encodes or logs a record; bad ones come back as counts and a reason.
#ifndef FRESHET_INGEST_DECODER_H
#define FRESHET_INGEST_DECODER_H

#include "base/stream.h"
#include "ingest/event.h"
#include "ingest/settings.h"

struct decoder; // one owner thread

// Loads and checks the schemas against every mapped path. settings and spec are borrowed until
// decoder_free. STATUS_INVALID naming input, path and what is available there; STATUS_NOT_FOUND or
// STATUS_IO for a schema file.
CHECKED enum status decoder_new(const struct ingest_settings *settings, const struct spec *spec,
                                const struct clock *clock, struct decoder **ret_decoder,
                                struct error *err);
void decoder_free(struct decoder *decoder); // NULL is fine

// Makes sure that every schema that these records name is known, or known to be unknown: the only
// call that may use the network. input_of_slot gives each record's input. STATUS_UNAVAILABLE while
// the registry cannot be reached: nothing has changed, call again. To be called on a batch before
// any of it is folded; does nothing without confluent framing.
CHECKED enum status decoder_prepare(struct decoder *decoder, const uint32_t *input_of_slot,
                                    const struct log_record *records, size_t count,
                                    struct error *err);

struct decoder_result {
    uint64_t dropped[EVENT_DROPS]; // events, or 1 for a record that is bad as a whole
    enum event_drop letter;        // reason for the dead-letter log, or EVENT_USED
    const char *message;           // what and where, for people; valid until the next call
};
// Calls `each` for every usable event of the record, in order; the event and all it points to are
// valid only within that call, and its error ends the decoding and is returned. A record with
// `each` may have good and bad items: the good are used, the bad counted, the first bad one's
// reason names the letter. So events = calls of `each` + sum of dropped. A record that is
// end_of_stream has none. A schema that decoder_prepare has not seen is asked for here
// (STATUS_UNAVAILABLE as there).
CHECKED enum status
decoder_decode(struct decoder *decoder, uint32_t input, const struct log_record *record,
               enum status (*each)(void *self, const struct event *event, struct error *err),
               void *self, struct decoder_result *ret_result, struct error *err);

// The record's event time for the canonical merge, without making events: of the first item where
// it has many. The record's own timestamp when it cannot be decoded, is negative or absurdly late.
// A schema that is not known is asked for; where that fails the timestamp is given and the next
// decoder_prepare or decoder_decode returns STATUS_UNAVAILABLE, so that no step is built on it.
int64_t decoder_event_time(struct decoder *decoder, uint32_t input,
                           const struct log_record *record);

// What was left out of lists and sequences so far, the rest of their impressions being used.
struct decoder_counts {
    uint64_t values_cut;       // beyond a feature's length_max
    uint64_t items_null;       // items of sequences whose id or time is null
    uint64_t items_future;     // after the impression
    uint64_t sequences_sorted; // nothing left out: their items were out of order
};
struct decoder_counts decoder_counts(const struct decoder *decoder);

// The registry's answers, which are inputs of the fold: they go with its checkpoint.
CHECKED enum status decoder_save(const struct decoder *decoder, const struct sink *sink,
                                 struct error *err);
CHECKED enum status decoder_load(struct decoder *decoder, const struct source *source,
                                 struct error *err);

#endif
