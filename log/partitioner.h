// How producers place keys in partitions: the rules of Kafka's Java client and of librdkafka.
//
// Sources: Apache Kafka, Utils.murmur2 and BuiltInPartitioner; librdkafka's partitioner setting.
#ifndef FRESHET_LOG_PARTITIONER_H
#define FRESHET_LOG_PARTITIONER_H

#include <stddef.h>
#include <stdint.h>

enum partitioner {
    PARTITIONER_MURMUR2, // Java's default; librdkafka's murmur2
    PARTITIONER_CRC32,   // librdkafka's default (consistent_random) and consistent
    PARTITIONER_FNV1A,   // Sarama's default; librdkafka's fnv1a
    PARTITIONER_COUNT
};
extern const char *const partitioner_names[PARTITIONER_COUNT];

// partitions > 0.
int32_t partitioner_place(enum partitioner partitioner, const void *key, size_t length,
                          int32_t partitions);
uint32_t partitioner_murmur2(const void *key, size_t length); // the hash, before its sign is cut

#endif
