// Writes records of any bytes to a topic, as a user's own producer would: for tests that send what
// no good producer sends.
//
//   log_put (files DIRECTORY | kafka BROKERS) TOPIC PARTITIONS < LINES
//
// A line is "PARTITION TIMESTAMP_MS KEY VALUE", key and value in hexadecimal, "." for one without
// bytes or "-" for none;
// PARTITION is a number, or the name of a partitioner that places the key (log/partitioner.h), or
// "PARTITION end" for an end of the stream. All lines are one commit; without any the topic is only
// made.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "log/log.h"
#include "log/partitioner.h"

static int fail(const char *reason) {
    fprintf(stderr, "log_put: %s\n", reason);
    return 1;
}

// Returns the number of bytes, or -1; NULL for "-".
static long hex_read(const char *text, unsigned char *into, const void **ret_bytes) {
    long count = 0;
    *ret_bytes = strcmp(text, "-") == 0 ? NULL : into;
    for (; *ret_bytes && text[0] != '.' && text[0]; text += 2, count++) {
        unsigned byte;
        if (sscanf(text, "%2x", &byte) != 1 || !text[1])
            return -1;
        into[count] = (unsigned char)byte;
    }
    return count;
}

static int32_t place(const char *text, const struct log_record *record, int32_t partitions) {
    for (int p = 0; p < PARTITIONER_COUNT; p++) // "murmur2" of "murmur2 (Java)"
        if (strncmp(text, partitioner_names[p], strcspn(partitioner_names[p], " ")) == 0)
            return partitioner_place((enum partitioner)p, record->key, record->key_length,
                                     partitions);
    return (int32_t)strtol(text, NULL, 10);
}

static enum status line_put(struct log_writer *writer, char *line, int32_t partitions,
                            struct error *err) {
    static unsigned char key[1 << 16], value[1 << 16];
    const char *words[4] = {"", "0", "-", "-"};
    char *rest = NULL, *word = strtok_r(line, " \n", &rest);
    for (int i = 0; i < 4 && word; i++, word = strtok_r(NULL, " \n", &rest))
        words[i] = word;
    struct log_record record = {.sequence = LOG_NO_SEQUENCE,
                                .end_of_stream = strcmp(words[1], "end") == 0,
                                .timestamp_ms = strtoll(words[1], NULL, 10)};
    long key_length = hex_read(words[2], key, &record.key);
    long value_length = hex_read(words[3], value, &record.value);
    if (key_length < 0 || value_length < 0)
        return error_set(err, STATUS_INVALID, "odd hexadecimal digits");
    record.key_length = (size_t)key_length;
    record.value_length = (size_t)value_length;
    return log_writer_append(writer, 0, place(words[0], &record, partitions), &record, err);
}

int main(int argc, char **argv) {
    static char line[1 << 18];
    struct error err;
    struct log *log = NULL;
    struct log_writer *writer = NULL;
    if (argc != 5)
        return fail("usage: log_put (files DIRECTORY | kafka BROKERS) TOPIC PARTITIONS");
    struct log_files_options files = {argv[2], INT64_C(1) << 28, false};
    struct log_kafka_options kafka = {argv[2], NULL, 1, 30000, "log_put"};
    int32_t partitions = (int32_t)strtol(argv[4], NULL, 10);
    const char *topic = argv[3];
    enum status status = strcmp(argv[1], "kafka") == 0 ? log_open_kafka(&kafka, &log, &err)
                                                       : log_open_files(&files, &log, &err);
    if (status == STATUS_OK)
        status = log_topic_ensure(log, topic, partitions, &err);
    if (status == STATUS_OK)
        status = log_writer_open(log, "", &topic, 1, &writer, &err);
    while (status == STATUS_OK && fgets(line, sizeof(line), stdin))
        status = line_put(writer, line, partitions, &err);
    if (status == STATUS_OK)
        status = log_writer_commit(writer, NULL, 0, &err);
    log_writer_close(writer);
    log_close(log);
    return status == STATUS_OK ? 0 : fail(err.message);
}
