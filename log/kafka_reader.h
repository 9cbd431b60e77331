// The Kafka backend's reader as its two files share it. Private to kafka_reader.c and
// kafka_batch.c.
#ifndef FRESHET_LOG_KAFKA_READER_H
#define FRESHET_LOG_KAFKA_READER_H

#include "log/kafka.h"

#define KAFKA_PROBE_MS 1000 // for a question asked within a poll

struct kafka_slot {
    char *topic;
    int32_t partition;
    const rd_kafka_topic_t *handle; // of this topic's messages; learnt from the first
    rd_kafka_queue_t *queue;        // the partition's own; feeds the reader's unless paused
    int64_t next;                   // offset of the next record to hand out, at least
    int64_t end;                    // last stable offset as last known
    int64_t end_ms;                 // when that was
    bool paused;
    rd_kafka_message_t **stash; // [stash_from, stash_count) came while paused, or behind that
    size_t stash_from, stash_count, stash_capacity;
};

struct kafka_reader {
    struct log_reader head;
    rd_kafka_t *consumer;
    rd_kafka_queue_t *queue;
    struct kafka_slot *slots;      // [head.slot_count]
    uint32_t slot_last;            // messages come in runs of one partition
    rd_kafka_message_t **messages; // [capacity]; [0, held) are the last poll's
    struct log_record *records;    // [capacity]
    size_t capacity, held;
    bool down;                      // no broker could be reached
    bool gone;                      // a topic was deleted
    int64_t checked_ms, missing_ms; // last look at the topics; since when one is missing, 0 = none
    char reason[KAFKA_REASON_MAX];  // what librdkafka last complained of
    enum status broken;             // a message is lost to this reader: memory ran out
    enum status late;               // found behind records that were handed out first
    struct error late_error;
    rd_kafka_t *reporter; // commits the group's offsets
    char *group;
};

// Refuses an offset out of the slot's present range; notes the end.
CHECKED enum status kafka_slot_check(struct kafka_log *log, struct kafka_slot *slot, int64_t offset,
                                     struct error *err);
void kafka_stash_drop(struct kafka_slot *slot);
void kafka_messages_release(struct kafka_reader *reader); // of the last poll

#endif
