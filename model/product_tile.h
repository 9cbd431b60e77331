// The inner loops of model/product.c, compiled once an instruction set: no include guard on
// purpose.
//
// Whoever includes it defines TILE_NAME(name), TILE_BYTES (of one vector register), TILE_ROWS (how
// many rows of sums the registers hold) and TILE_NARROW (a set for narrow rests, or NULL). A tile
// is up to TILE_ROWS rows x two registers: all its sums stay in registers while the inner dimension
// runs, each step of which loads two registers of the panel and spreads one number a row. Sums are
// fused multiply-adds where the set has them.

typedef real TILE_NAME(vector)
    __attribute__((vector_size(TILE_BYTES), aligned(sizeof(real)), may_alias));
enum { TILE_NAME(lanes) = TILE_BYTES / sizeof(real) };

// Number (r, i) of the left operand is a[r * a_row + i * a_step].
static inline __attribute__((always_inline)) void
TILE_NAME(sum)(size_t rows, const struct tile *tile, size_t a_row, size_t a_step) {
    TILE_NAME(vector) sums[TILE_ROWS][2];
    const real *a = tile->a, *b = tile->b;
#pragma GCC unroll 16
    for (size_t r = 0; r < rows; r++)
        sums[r][0] = sums[r][1] = (TILE_NAME(vector)){0};
    for (size_t i = 0; i < tile->depth; i++) {
        TILE_NAME(vector) first = *(const TILE_NAME(vector) *)b;
        TILE_NAME(vector) second = *(const TILE_NAME(vector) *)(b + TILE_NAME(lanes));
#pragma GCC unroll 16
        for (size_t r = 0; r < rows; r++) {
            real spread = a[r * a_row];
            sums[r][0] += spread * first;
            sums[r][1] += spread * second;
        }
        a += a_step;
        b += PRODUCT_PANEL;
    }
    bool whole = tile->columns == 2 * TILE_NAME(lanes);
#pragma GCC unroll 16
    for (size_t r = 0; r < rows; r++) {
        real *c = tile->c + r * tile->c_columns, narrow[2 * TILE_NAME(lanes)];
        real *into = whole ? c : narrow;
        if (!whole)
            for (size_t j = 0; j < tile->columns; j++)
                narrow[j] = c[j];
        TILE_NAME(vector) *first = (TILE_NAME(vector) *)into;
        TILE_NAME(vector) *second = (TILE_NAME(vector) *)(into + TILE_NAME(lanes));
        *first = tile->add ? *first + tile->alpha * sums[r][0] : tile->alpha * sums[r][0];
        *second = tile->add ? *second + tile->alpha * sums[r][1] : tile->alpha * sums[r][1];
        if (!whole)
            for (size_t j = 0; j < tile->columns; j++)
                c[j] = narrow[j];
    }
}

// The count of rows must be a constant for the sums to be registers.
#define TILE_CASES(a_row, a_step)                                                                  \
    switch (rows) {                                                                                \
        TILE_CASE(1, a_row, a_step)                                                                \
        TILE_CASE(2, a_row, a_step)                                                                \
        TILE_CASE(3, a_row, a_step)                                                                \
        TILE_CASE(4, a_row, a_step)                                                                \
        TILE_CASE(5, a_row, a_step)                                                                \
        TILE_CASE(6, a_row, a_step)                                                                \
        TILE_CASE(7, a_row, a_step)                                                                \
        TILE_CASE(8, a_row, a_step)                                                                \
        TILE_CASE(9, a_row, a_step)                                                                \
        TILE_CASE(10, a_row, a_step)                                                               \
        TILE_CASE(11, a_row, a_step)                                                               \
        TILE_CASE(12, a_row, a_step)                                                               \
    }
#define TILE_CASE(n, a_row, a_step)                                                                \
    case n:                                                                                        \
        if (n <= TILE_ROWS)                                                                        \
            TILE_NAME(sum)(n <= TILE_ROWS ? n : 1, tile, a_row, a_step);                           \
        break;

// The left operand's rows lie a_columns apart; or its columns do.
static void TILE_NAME(rows)(size_t rows, const struct tile *tile, size_t a_columns) {
    TILE_CASES(a_columns, 1)
}
static void TILE_NAME(columns)(size_t rows, const struct tile *tile, size_t a_columns) {
    TILE_CASES(1, a_columns)
}
static const struct product_set TILE_NAME(set) = {
    .rows = TILE_ROWS,
    .columns = 2 * TILE_NAME(lanes),
    .narrow = TILE_NARROW,
    .tile_rows = TILE_NAME(rows),
    .tile_columns = TILE_NAME(columns),
};
#undef TILE_CASE
#undef TILE_CASES
#undef TILE_NAME
#undef TILE_BYTES
#undef TILE_ROWS
#undef TILE_NARROW
