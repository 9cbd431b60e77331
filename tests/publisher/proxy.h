// A way to Redis that breaks: it passes on a given number of bytes, then closes both sides for
// good.
#ifndef FRESHET_TESTS_PUBLISHER_PROXY_H
#define FRESHET_TESTS_PUBLISHER_PROXY_H

#include <stdint.h>

struct proxy;

// Listens on a free port of the loopback and passes on to 127.0.0.1:to_port until `bytes` bytes of
// all connections together have gone towards Redis.
struct proxy *proxy_open(int to_port, uint64_t bytes);
int proxy_port(const struct proxy *proxy);
// Ends its thread; returns how many bytes went towards Redis.
uint64_t proxy_close(struct proxy *proxy);

#endif
