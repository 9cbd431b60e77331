// Products by tiles of sums kept in registers; owns nothing but the choice of instruction set.
#include "model/product.h"

#include <stdatomic.h>

#include "model/blas.h"
#include "model/vector.h"

struct tile {
    const real *a, *b; // b: rows PRODUCT_PANEL apart
    size_t depth;
    real alpha;
    bool add;
    real *c;
    size_t c_columns, columns; // columns: of c that are there
};
struct product_set {
    size_t rows, columns;             // of a tile
    size_t blas_sums;                 // gradients of this many weights are OpenBLAS's
    const struct product_set *narrow; // or NULL
    void (*tile_rows)(size_t rows, const struct tile *tile, size_t a_columns);
    void (*tile_columns)(size_t rows, const struct tile *tile, size_t a_columns);
    void (*pick)(const real *rows, size_t columns, const uint32_t *index, size_t count, real *sum);
    void (*pack)(const real *rows, size_t columns, size_t count, real *panel);
};

#define TILE_NAME(name) plain_##name
#define TILE_BYTES 16
#define TILE_ROWS 6
#define TILE_BLAS (64 * 64)
#define TILE_NARROW NULL
#include "model/product_tile.inc"
// Other compilers have the plain set alone.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && defined(__OPTIMIZE__)
#define PRODUCT_SETS
#pragma GCC push_options
#pragma GCC target("arch=x86-64-v3")
#define TILE_NAME(name) v3_##name
#define TILE_BYTES 32
#define TILE_ROWS 6
#define TILE_BLAS (512 * 512)
#define TILE_NARROW NULL
#include "model/product_tile.inc"
#pragma GCC pop_options
#pragma GCC push_options
#pragma GCC target("arch=x86-64-v4,prefer-vector-width=512")
#define TILE_NAME(name) v4_##name
#define TILE_BYTES 64
#define TILE_ROWS 12
#define TILE_BLAS (512 * 512)
#define TILE_NARROW &v3_set
#include "model/product_tile.inc"
#pragma GCC pop_options
#endif

#ifdef __FP_FAST_FMA // the compiler's own target has them
#define PLAIN_BUILD "fused"
#else
#define PLAIN_BUILD "plain"
#endif
static const struct {
    const char *build;
    const struct product_set *set;
} sets[] = {
#ifdef PRODUCT_SETS
    {"fused", &v4_set},
    {"fused", &v3_set},
#endif
    {PLAIN_BUILD, &plain_set},
};
enum { SETS = sizeof sets / sizeof sets[0], BLAS_ROWS = 128 };
static atomic_size_t chosen = SETS; // SETS: nobody has asked yet

static bool usable(size_t i) {
#ifdef PRODUCT_SETS
    __builtin_cpu_init();
    if (i == 0)
        return __builtin_cpu_supports("x86-64-v4");
    if (i == 1)
        return __builtin_cpu_supports("x86-64-v3");
#endif
    return i + 1 == SETS;
}

bool product_choose(size_t i) {
    for (size_t at = 0; at < SETS; at++)
        if (usable(at) && i-- == 0) {
            atomic_store_explicit(&chosen, at, memory_order_relaxed);
            return true;
        }
    return false;
}

static size_t choice(void) {
    size_t at = atomic_load_explicit(&chosen, memory_order_relaxed);
    if (at < SETS)
        return at;
    return product_choose(0) ? atomic_load_explicit(&chosen, memory_order_relaxed) : SETS - 1;
}

const char *product_build(void) {
    return sets[choice()].build;
}

static size_t least(size_t a, size_t b) {
    return a < b ? a : b;
}

VECTOR_CLONES
static void pack_rest(const real *restrict w, const real *restrict by, size_t w_columns,
                      size_t rows, size_t count, real *restrict panel) {
    for (size_t r = 0; r < rows; r++)
        for (size_t i = 0; i < PRODUCT_PANEL; i++) {
            real value = i < count ? w[r * w_columns + i] : 0;
            panel[r * PRODUCT_PANEL + i] = by && i < count ? value * by[r * w_columns + i] : value;
        }
}

VECTOR_CLONES
static void pack_product(const real *restrict w, const real *restrict by, size_t w_columns,
                         size_t rows, real *restrict panel) {
    for (size_t r = 0; r < rows; r++)
        for (size_t i = 0; i < PRODUCT_PANEL; i++)
            panel[r * PRODUCT_PANEL + i] = w[r * w_columns + i] * by[r * w_columns + i];
}

void product_pack(const real *w, const real *by, size_t w_columns, size_t first, size_t rows,
                  size_t depth, size_t columns, real *packed) {
    const struct product_set *set = sets[choice()].set;
    for (size_t c = 0; c < columns; c += PRODUCT_PANEL) {
        real *panel = packed + c * depth + first * PRODUCT_PANEL;
        const real *from = w + first * w_columns + c;
        const real *factor = by ? by + first * w_columns + c : NULL;
        if (columns - c < PRODUCT_PANEL)
            pack_rest(from, factor, w_columns, rows, columns - c, panel);
        else if (factor)
            pack_product(from, factor, w_columns, rows, panel);
        else
            set->pack(from, w_columns, rows, panel);
    }
}

VECTOR_CLONES
void product_pack_turned(const real *w, const real *by, size_t w_columns, size_t first, size_t rows,
                         size_t columns, real *packed) {
    for (size_t r = first; r < first + rows; r += PRODUCT_PANEL) {
        size_t count = least(first + rows - r, PRODUCT_PANEL);
        for (size_t c = 0; c < columns; c++) {
            real *into = packed + r * columns + c * PRODUCT_PANEL;
            for (size_t i = 0; i < count; i++)
                into[i] = w[(r + i) * w_columns + c];
            for (size_t i = 0; by && i < count; i++)
                into[i] *= by[(r + i) * w_columns + c];
            for (size_t i = count; i < PRODUCT_PANEL; i++)
                into[i] = 0;
        }
    }
}

// Tiles of a narrow rest are taken from a set of narrower registers, which sums the same way.
static const struct product_set *narrowed(const struct product_set *set, size_t columns) {
    return set->narrow && columns <= set->narrow->columns ? set->narrow : set;
}

void product_rows(const real *a, size_t a_columns, size_t rows, const real *packed, size_t depth,
                  size_t columns, bool add, real *c, size_t c_columns) {
    product_rows_part(a, a_columns, rows, packed, depth, 0, depth, columns, add, c, c_columns);
}

void product_rows_part(const real *a, size_t a_columns, size_t rows, const real *packed,
                       size_t packed_depth, size_t first, size_t depth, size_t columns, bool add,
                       real *c, size_t c_columns) {
    for (size_t j = 0; j < columns;) {
        const struct product_set *set = narrowed(sets[choice()].set, columns - j);
        size_t panel = j / PRODUCT_PANEL * PRODUCT_PANEL;
        for (size_t r = 0; r < rows; r += set->rows) {
            struct tile tile = {.a = a + r * a_columns,
                                .b = packed + panel * packed_depth + first * PRODUCT_PANEL + j -
                                     panel,
                                .depth = depth,
                                .alpha = 1,
                                .add = add,
                                .c = c + r * c_columns + j,
                                .c_columns = c_columns,
                                .columns = least(columns - j, set->columns)};
            set->tile_rows(least(rows - r, set->rows), &tile, a_columns);
        }
        j += set->columns;
    }
}

void product_panel_sums(const real *a, size_t a_columns, size_t m, const real *panel,
                        size_t columns, size_t rows, real alpha, bool add, real *c,
                        size_t c_columns) {
    for (size_t j = 0; j < columns;) {
        const struct product_set *set = narrowed(sets[choice()].set, columns - j);
        for (size_t r = 0; r < m; r += set->rows) {
            struct tile tile = {.a = a + r,
                                .b = panel + j,
                                .depth = rows,
                                .alpha = alpha,
                                .add = add,
                                .c = c + r * c_columns + j,
                                .c_columns = c_columns,
                                .columns = least(columns - j, set->columns)};
            set->tile_columns(least(m - r, set->rows), &tile, a_columns);
        }
        j += set->columns;
    }
}

void product_pick(const real *rows, size_t columns, const uint32_t *index, size_t count,
                  real *sum) {
    sets[choice()].set->pick(rows, columns, index, count, sum);
}

void product_sums(const real *a, size_t a_columns, size_t m, const real *b, size_t b_columns,
                  size_t n, size_t rows, real alpha, bool add, real *c, size_t c_columns,
                  real *scratch) {
    if (rows >= BLAS_ROWS && m * n >= sets[choice()].set->blas_sums) {
        blas_sums(a, a_columns, m, b, b_columns, n, rows, alpha, add, c, c_columns);
        return;
    }
    for (size_t j = 0; j < n; j += PRODUCT_PANEL)
        for (size_t first = 0; first < rows; first += PRODUCT_SLAB) {
            size_t count = least(n - j, PRODUCT_PANEL), depth = least(rows - first, PRODUCT_SLAB);
            // A panel's rows lie far apart in b, and m / tile rows of them are read again.
            product_pack(b + first * b_columns + j, NULL, b_columns, 0, depth, depth, count,
                         scratch);
            product_panel_sums(a + first * a_columns, a_columns, m, scratch, count, depth, alpha,
                               add || first > 0, c + j, c_columns);
        }
}
