// What the conformance tests share: the log under test, topics of fresh names, and short ways to
// write and read it. conformance.c opens one of the three backends and runs both groups of tests.
#ifndef FRESHET_TESTS_LOG_CONFORMANCE_H
#define FRESHET_TESTS_LOG_CONFORMANCE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "log/log.h"

#define DEADLINE_MS 20000 // for whatever must come
#define QUIET_MS 150      // for what must not come

// Status of a call that must succeed; prints the error else.
#define assert_good(call)                                                                          \
    do {                                                                                           \
        struct error *reported = &conformance_error;                                               \
        if ((call) != STATUS_OK)                                                                   \
            fail_msg("%s: %s", #call, reported->message);                                          \
    } while (0)
#define assert_status(call, wanted)                                                                \
    do {                                                                                           \
        enum status found = (call);                                                                \
        if (found != (wanted))                                                                     \
            fail_msg("%s: %s, wanted %s (%s)", #call, status_name(found), status_name(wanted),     \
                     found == STATUS_OK ? "" : conformance_error.message);                         \
    } while (0)

extern struct error conformance_error;  // give as err
extern struct log *conformance_log;     // the log under test
extern char conformance_directory[256]; // where the files backend keeps it

int64_t now_ms(void); // monotonic

// A name that no other test or run uses; a few are kept, so use it at once or copy it.
const char *fresh_name(const char *what);
// A fresh topic with this many partitions.
const char *fresh_topic(const char *what, int32_t partitions);

struct log_writer *writer_on(const char *task, const char *topic);
struct log_writer *writer_on_two(const char *task, const char *first, const char *second);
struct log_reader *reader_at(const char *topic, int32_t partition, int64_t offset);

// The end of partition 0, once it is at least this.
int64_t end_at_least(const char *topic, int64_t least);

// Texts as keys and values; NULL stays NULL.
void append_text(struct log_writer *writer, size_t output, int32_t partition, const char *key,
                 const char *value);
enum status commit_text(struct log_writer *writer, const char *entry); // entry NULL: none

// What was read, with its bytes.
struct kept {
    struct log_record *records; // key and value are the arena's
    size_t count, capacity;
    struct arena arena;
};
void kept_init(struct kept *kept);
void kept_deinit(struct kept *kept);
// Polls until `kept` holds at least `count` records.
void read_until(struct log_reader *reader, size_t count, struct kept *kept);
void assert_quiet(struct log_reader *reader); // nothing comes
void assert_value(const struct log_record *record, const char *value);

// Journal records joined with '|'.
struct journal_text {
    char text[4096];
    int64_t first, last; // places; -1 = none
    size_t count;
};
void journal_of(struct log_writer *writer, int64_t place, struct journal_text *into);
enum status journal_collect(void *self, int64_t place, const void *bytes, size_t length,
                            struct error *err);

// The tests of one file each; the number that failed.
int conformance_reader_run(CMFixtureFunction setup, CMFixtureFunction teardown);
int conformance_writer_run(CMFixtureFunction setup, CMFixtureFunction teardown);

#endif
