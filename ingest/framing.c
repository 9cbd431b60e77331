// Takes the framing off a value.
#include "ingest/framing.h"

bool framing_open(enum ingest_framing framing, const void *value, size_t length,
                  struct framing *ret_framing) {
    const unsigned char *at = value;
    size_t header = framing == INGEST_PLAIN ? 0 : framing == INGEST_CONFLUENT ? 5 : 10;
    uint64_t schema = 0;
    if (length < header)
        return false;
    if (framing == INGEST_CONFLUENT) {
        if (at[0] != 0)
            return false;
        for (size_t i = 1; i < 5; i++)
            schema = schema << 8 | at[i];
    } else if (framing == INGEST_SINGLE_OBJECT) {
        if (at[0] != 0xc3 || at[1] != 0x01)
            return false;
        for (size_t i = 10; i > 2; i--)
            schema = schema << 8 | at[i - 1];
    }
    *ret_framing =
        (struct framing){.schema = schema, .body = at + header, .body_length = length - header};
    return true;
}
