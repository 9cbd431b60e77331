// Whether the inputs can be joined partition by partition.
//
// Ingest task i joins partition i of every input, which is right only when equal join keys lie in
// equal partitions: the topics must have the same number of partitions, be keyed by the same thing,
// and be written by producers that place keys alike. The first is asked of the log; the others show
// in a sample of records: which of the known partitioners puts every sampled key where it was
// found, and whether the record's key is the join key.
#ifndef FRESHET_INGEST_PARTITIONING_H
#define FRESHET_INGEST_PARTITIONING_H

#include "ingest/decoder.h"
#include "log/log.h"

#define PARTITIONING_SAMPLE 16 // records a partition, the newest
#define PARTITIONING_LEAST 12  // fewer sampled keys in a topic decide nothing

// STATUS_OK: nothing speaks against it (an empty topic says nothing), or one partition, or a single
// input. STATUS_INVALID naming the topics and what differs. STATUS_NOT_FOUND: a topic is missing;
// and errors of the log and of the decoder.
CHECKED enum status partitioning_check(struct log *log, const struct ingest_settings *settings,
                                       struct decoder *decoder, struct error *err);

#endif
