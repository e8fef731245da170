/* The encoder for vectors of LANES floats, by matrices with products in 8 bits or bfloat16 (BFLOAT), by vectors in 8 bits.
 * Included by encoder.c, once for each set of instructions. */

#if MATRICES
#define ROWS 32 /* of a block of the sums, which fills half of the tiles */
#else
#define ROWS 6 /* of a tile; with VECTORS vectors of columns, its sums fill most of the registers */
#endif
#define COLUMNS (LANES * VECTORS)
#define QUERIES (LANES / 2) /* read together: sums enough to keep both multipliers busy, and registers for them */
#define vf NAME(vf)
#define vi NAME(vi)
#define load NAME(load)
#define splat NAME(splat)
#define larger NAME(larger)
#define whole NAME(whole)
#define number NAME(number)
#define to_numbers NAME(to_numbers)
#define as_floats NAME(as_floats)
#define power_of_two NAME(power_of_two)
#define wide NAME(wide)
#define multiply_add NAME(multiply_add)

typedef float vf __attribute__((vector_size(4 * LANES), aligned(4), may_alias));
typedef int32_t vi __attribute__((vector_size(4 * LANES), aligned(4), may_alias));
/* What goes into products. */
#if BFLOAT
typedef uint16_t number;
#else
typedef uint8_t number;
#endif

INLINE vf load(const float *p) { return *(const vf *)p; }
INLINE void NAME(store)(float *p, vf x) { *(vf *)p = x; }
INLINE vf splat(float x) { return x - (vf){0}; }

#if LANES == 16
INLINE vf larger(vf a, vf b) { return (vf)_mm512_max_ps((__m512)a, (__m512)b); }
INLINE vf NAME(smaller)(vf a, vf b) { return (vf)_mm512_min_ps((__m512)a, (__m512)b); }
INLINE vf whole(vf x) { return (vf)_mm512_roundscale_ps((__m512)x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
INLINE vf power_of_two(vf n) { return (vf)_mm512_scalef_ps(_mm512_set1_ps(1), (__m512)n); }
INLINE vf wide(const uint16_t *p) { return (vf)_mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)p)); }
INLINE float NAME(sum)(vf x) { return _mm512_reduce_add_ps((__m512)x); }
INLINE float NAME(most)(vf x) { return _mm512_reduce_max_ps((__m512)x); }
#if BFLOAT
INLINE void to_numbers(number *to, vf x) { _mm256_storeu_si256((__m256i *)to, (__m256i)_mm512_cvtneps_pbh((__m512)x)); }
#else
INLINE void to_numbers(number *to, vf x) {
    const __m512i n = _mm512_max_epi32(_mm512_cvtps_epi32((__m512)x), _mm512_setzero_si512());
    _mm_storeu_si128((__m128i *)to, _mm512_cvtusepi32_epi8(n));
}
#endif
INLINE void multiply_add(vi *sums, vi bytes, vi weights) {
    /* The intrinsic makes GCC 12 copy the sums to and fro. */
    __asm__("vpdpbusd %2, %1, %0" : "+v"(*sums) : "v"(bytes), "v"(weights));
}
#else
INLINE vf larger(vf a, vf b) { return (vf)_mm256_max_ps((__m256)a, (__m256)b); }
INLINE vf NAME(smaller)(vf a, vf b) { return (vf)_mm256_min_ps((__m256)a, (__m256)b); }
INLINE vf whole(vf x) { return (vf)_mm256_round_ps((__m256)x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
INLINE vf power_of_two(vf n) {
    return (vf)_mm256_slli_epi32(_mm256_add_epi32(_mm256_cvtps_epi32((__m256)n), _mm256_set1_epi32(127)), 23);
}
INLINE vf wide(const uint16_t *p) { return (vf)_mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)p)); }
INLINE float NAME(sum)(vf x) {
    float s = 0;
    for (int i = 0; i < LANES; i++) s += x[i];
    return s;
}
INLINE float NAME(most)(vf x) {
    float s = x[0];
    for (int i = 1; i < LANES; i++) s = x[i] > s ? x[i] : s;
    return s;
}
INLINE void to_numbers(number *to, vf x) {
    const __m256i n = _mm256_cvtps_epi32((__m256)x);
    const __m128i w = _mm_packs_epi32(_mm256_castsi256_si128(n), _mm256_extracti128_si256(n, 1));
    _mm_storel_epi64((__m128i *)to, _mm_packus_epi16(w, w));
}
INLINE void multiply_add(vi *sums, vi bytes, vi weights) {
    /* Two neighbours are added in 16 bits. The weights of a bundle were rounded so that this fits (training.rounding). */
    const __m256i pairs = _mm256_maddubs_epi16((__m256i)bytes, (__m256i)weights);
    *sums += (vi)_mm256_madd_epi16(pairs, _mm256_set1_epi16(1));
}
#endif

/* Sums of products are whole numbers of 8 bits, and floats of bfloat16, which lie in the same place. */
INLINE vf as_floats(vi sums) {
#if BFLOAT
    return (vf)sums;
#else
    return __builtin_convertvector(sums, vf);
#endif
}

/* e to the power of x, for x <= 0 (polynomial of Cephes, expf). */
INLINE vf NAME(exponential)(vf x) {
    x = larger(x, splat(-87.0f));
    const vf n = whole(x * 1.44269504f);
    const vf r = x - n * 0.693359375f + n * 2.12194440e-4f;
    vf p = r * 1.9875691500e-4f + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 0.5f;
    return (p * r * r + r + 1.0f) * power_of_two(n);
}

/* x times the normal distribution up to x: an odd polynomial, fitted so that the largest error of the result is least. */
INLINE vf NAME(gelu)(vf x) {
    const vf u = larger(NAME(smaller)(x, splat(4.25f)), splat(-4.25f));
    const vf s = u * u;
    vf p = s * 4.54707799e-11f - 4.51530768e-9f;
    p = p * s + 1.98616021e-7f;
    p = p * s - 5.14751582e-6f;
    p = p * s + 8.84891633e-5f;
    p = p * s - 1.07907807e-3f;
    p = p * s + 9.71877947e-3f;
    p = p * s - 6.619028e-2f;
    p = p * s + 3.98819208e-1f;
    return x * (p * u + 0.5f);
}

/* What attention reads: with matrices it multiplies in bfloat16. */
#if MATRICES
typedef uint16_t NAME(part);
INLINE void NAME(store_part)(NAME(part) *to, vf x) {
    _mm256_storeu_si256((__m256i *)to, (__m256i)_mm512_cvtneps_pbh((__m512)x));
}
#else
typedef float NAME(part);
INLINE void NAME(store_part)(NAME(part) *to, vf x) { NAME(store)(to, x); }
#endif

/* What goes into a product and what its results (rows, outputs) become. x: (rows, inputs). parts: the results. to: floats that
 * they are added to. small: their GELU times factor, and zero, for the next product. */
typedef struct {
    const number *x;
    NAME(part) *parts;
    float *to;
    number *small;
    const float *factor;
    float zero;
} NAME(Flow);

/* What follows sums of the same LANES outputs: of `rows` rows from `row` on, `wide` numbers apart. */
INLINE void NAME(finish)(const Product *p, const NAME(Flow) *f, int row, int column, const int rows, const vi *sums,
                         const int wide, const int kind) {
    const size_t outputs = p->outputs;
    size_t at = row * outputs + column;
    const vf scale = load(p->scale + column), bias = load(p->bias + column);
    const vf factor = kind == GELU ? load(f->factor + column) : scale, zero = splat(f->zero);
    float *to = f->to;
    number *small = f->small;
    for (int r = 0; r < rows; r++, at += outputs) {
        vf y = as_floats(sums[r * wide]) * scale + bias;
        if (kind == ADDED) y += load(to + at);
        if (kind == GELU)
            to_numbers(small + at, NAME(gelu)(y) * factor + zero);
        else if (kind == PLAIN)
            NAME(store_part)(f->parts + at, y);
        else
            NAME(store)(to + at, y);
    }
}

#if MATRICES
#if BFLOAT
#define MULTIPLY_ADD _tile_dpbf16ps
#else
#define MULTIPLY_ADD _tile_dpbusd
#endif
/* Sums of ROWS rows from x on by as many outputs, through eight tiles of 16 rows by 64 bytes: four of sums, two of rows,
 * two of weights. Between the steps, `rows` rows of the sums that were made before (`done`) go on to what follows: the
 * products of tiles and the arithmetic of vectors don't wait for one another. */
INLINE void NAME(block)(const Product *p, const NAME(Flow) *f, const number *rows_from, const int8_t *w,
                        const int32_t *start, int32_t *sums, const int32_t *done, int row, int column, int rows,
                        const int kind) {
    const size_t bytes = p->inputs * sizeof(number);
    const char *x = (const char *)rows_from;
    const int share = (ROWS * 64 + bytes - 1) / bytes;
    _tile_loadd(0, start, 0);
    _tile_loadd(1, start + 16, 0);
    _tile_loadd(2, start, 0);
    _tile_loadd(3, start + 16, 0);
    for (size_t k = 0; k < bytes; k += 64, w += 64 * COLUMNS) {
        _tile_loadd(4, x + k, bytes);
        _tile_loadd(6, w, 4 * COLUMNS);
        MULTIPLY_ADD(0, 4, 6);
        _tile_loadd(7, w + 64, 4 * COLUMNS);
        MULTIPLY_ADD(1, 4, 7);
        _tile_loadd(5, x + 16 * bytes + k, bytes);
        MULTIPLY_ADD(2, 5, 6);
        MULTIPLY_ADD(3, 5, 7);
        const int now = rows < share ? rows : share;
        for (int c = 0; c < 2; c++)
            NAME(finish)(p, f, row, column + 16 * c, now, (const vi *)done + c, VECTORS, kind);
        row += now, rows -= now, done += now * COLUMNS;
    }
    _tile_stored(0, sums, 4 * COLUMNS);
    _tile_stored(1, sums + 16, 4 * COLUMNS);
    _tile_stored(2, sums + 16 * COLUMNS, 4 * COLUMNS);
    _tile_stored(3, sums + 16 * COLUMNS + 16, 4 * COLUMNS);
}

/* Reads, and makes nothing of, rows up to the next multiple of ROWS. These stay in the cache while all weights pass them. */
INLINE void NAME(all)(const Product *p, const NAME(Flow) *f, int rows, const int kind) {
    int32_t sums[2][ROWS * COLUMNS] __attribute__((aligned(64)));
    int row = 0, column = 0, made = 0, turn = 0;
    for (int next = 0; next < rows; next += ROWS)
        for (int first = 0; first < p->outputs; first += COLUMNS, turn ^= 1) {
            NAME(block)(p, f, f->x + (size_t)next * p->inputs,
                        p->weight + first * p->inputs * sizeof(number), p->start + first,
                        sums[turn], sums[turn ^ 1], row, column, made, kind);
            row = next, column = first, made = rows - next < ROWS ? rows - next : ROWS;
        }
    for (int c = 0; c < 2; c++)
        NAME(finish)(p, f, row, column + 16 * c, made, (const vi *)sums[turn ^ 1] + c, VECTORS, kind);
}
#define ALL(kind) \
    APART void NAME(all_##kind)(const Product *p, const NAME(Flow) *f, int rows) { NAME(all)(p, f, rows, kind); }
ALL(PLAIN) ALL(ADDED) ALL(GELU)
#undef ALL

static void NAME(product)(const Product *p, NAME(Flow) f, int rows, int kind) {
    (kind == PLAIN ? NAME(all_PLAIN) : kind == ADDED ? NAME(all_ADDED) : NAME(all_GELU))(p, &f, rows);
}
#else
/* `rows` rows from `row` on, times one strip of the weights. rows and kind are known where this is inlined. */
INLINE void NAME(tile)(const Product *p, const NAME(Flow) *f, int row, int strip, const int rows, const int kind) {
    const size_t inputs = p->inputs;
    const int8_t *w = p->weight + strip * inputs * COLUMNS;
    const uint8_t *x = f->x + row * inputs;
    const int first = strip * COLUMNS;
    vi sums[ROWS][VECTORS];
    UNROLL for (int r = 0; r < rows; r++)
        UNROLL for (int v = 0; v < VECTORS; v++) sums[r][v] = *(const vi *)(p->start + first + v * LANES);
    for (size_t k = 0; k < inputs; k += 4, w += 4 * COLUMNS) {
        vi weights[VECTORS];
        UNROLL for (int v = 0; v < VECTORS; v++) weights[v] = *(const vi *)(w + 4 * LANES * v);
        UNROLL for (int r = 0; r < rows; r++) {
            int32_t four;
            memcpy(&four, x + r * inputs + k, 4);
            const vi bytes = four - (vi){0};
            UNROLL for (int v = 0; v < VECTORS; v++) multiply_add(&sums[r][v], bytes, weights[v]);
        }
    }
    UNROLL for (int v = 0; v < VECTORS; v++)
        NAME(finish)(p, f, row, first + v * LANES, rows, &sums[0][v], VECTORS, kind);
}

#define TILE(rows, kind)                                                                                     \
    APART void NAME(tile_##rows##_##kind)(const Product *p, const NAME(Flow) *f, int row, int strip) {       \
        NAME(tile)(p, f, row, strip, rows, kind);                                                            \
    }
#define TILES(rows) TILE(rows, PLAIN) TILE(rows, ADDED) TILE(rows, GELU)
TILES(1) TILES(2) TILES(3) TILES(4) TILES(5) TILES(6)
#define OF(rows) {NAME(tile_##rows##_PLAIN), NAME(tile_##rows##_ADDED), NAME(tile_##rows##_GELU)}
static void (*const NAME(tiles)[ROWS][3])(const Product *, const NAME(Flow) *, int, int) = {
    OF(1), OF(2), OF(3), OF(4), OF(5), OF(6)};
#undef TILE
#undef TILES
#undef OF

/* A strip of the weights stays in the cache while all rows pass it. */
static void NAME(product)(const Product *p, NAME(Flow) f, int rows, int kind) {
    for (int strip = 0; strip < p->outputs / COLUMNS; strip++)
        for (int row = 0; row < rows; row += ROWS)
            NAME(tiles)[(rows - row < ROWS ? rows - row : ROWS) - 1][kind](p, &f, row, strip);
}
#endif

/* Layer norm of each row (rows, width), in floats, and for a product where `small` is given. */
APART void NAME(norms)(const float *x, int rows, int width, float epsilon, const Norm *kept, float *to,
                       const Norm *rounded, number *small) {
    for (; rows; rows--, x += width, to += width) {
        vf total = {0}, squares = {0};
        for (int i = 0; i < width; i += LANES) {
            const vf v = load(x + i);
            total += v;
            squares += v * v;
        }
        const float mean = NAME(sum)(total) / width;
        const float scale = 1 / sqrtf(NAME(sum)(squares) / width - mean * mean + epsilon);
        for (int i = 0; i < width; i += LANES) {
            const vf v = (load(x + i) - mean) * scale;
            NAME(store)(to + i, v * load(kept->weight + i) + load(kept->bias + i));
            if (small) to_numbers(small + i, v * load(rounded->weight + i) + load(rounded->bias + i));
        }
        if (small) small += width;
    }
}

#if MATRICES
/* Rows of sixteen numbers of 32 bits become columns. */
INLINE void NAME(turn)(const __m512i *x, __m512i *to) {
    __m512i t[16], u[16];
    UNROLL for (int i = 0; i < 16; i += 2) {
        t[i] = _mm512_unpacklo_epi32(x[i], x[i + 1]);
        t[i + 1] = _mm512_unpackhi_epi32(x[i], x[i + 1]);
    }
    UNROLL for (int i = 0; i < 16; i += 4)
        UNROLL for (int j = 0; j < 2; j++) {
            u[i + 2 * j] = _mm512_unpacklo_epi64(t[i + j], t[i + j + 2]);
            u[i + 2 * j + 1] = _mm512_unpackhi_epi64(t[i + j], t[i + j + 2]);
        }
    UNROLL for (int k = 0; k < 4; k++) {
        const __m512i even = _mm512_shuffle_i32x4(u[k], u[k + 4], 0x88), odd = _mm512_shuffle_i32x4(u[k], u[k + 4], 0xdd);
        const __m512i more = _mm512_shuffle_i32x4(u[k + 8], u[k + 12], 0x88);
        const __m512i last = _mm512_shuffle_i32x4(u[k + 8], u[k + 12], 0xdd);
        to[k] = _mm512_shuffle_i32x4(even, more, 0x88);
        to[k + 4] = _mm512_shuffle_i32x4(odd, last, 0x88);
        to[k + 8] = _mm512_shuffle_i32x4(even, more, 0xdd);
        to[k + 12] = _mm512_shuffle_i32x4(odd, last, 0xdd);
    }
}

/* The largest number of each of sixteen rows, in their order. */
INLINE vf NAME(most_of_rows)(const vf *x) {
    __m512 two[8], four[4], both[2];
    UNROLL for (int i = 0; i < 8; i++) {
        const __m512 a = (__m512)x[2 * i], b = (__m512)x[2 * i + 1];
        two[i] = _mm512_max_ps(_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b));
    }
    UNROLL for (int i = 0; i < 4; i++) {
        const __m512d a = (__m512d)two[2 * i], b = (__m512d)two[2 * i + 1];
        four[i] = _mm512_max_ps((__m512)_mm512_unpacklo_pd(a, b), (__m512)_mm512_unpackhi_pd(a, b));
    }
    UNROLL for (int i = 0; i < 2; i++) {
        const __m512 a = four[2 * i], b = four[2 * i + 1];
        both[i] = _mm512_max_ps(_mm512_shuffle_f32x4(a, b, 0x88), _mm512_shuffle_f32x4(a, b, 0xdd));
    }
    const __m512 a = both[0], b = both[1];
    return (vf)_mm512_max_ps(_mm512_shuffle_f32x4(a, b, 0x88), _mm512_shuffle_f32x4(a, b, 0xdd));
}

/* 2 to the power of x, within 3e-6 of it: a polynomial of what is behind the point, fitted so that the largest error is
 * least. */
INLINE vf NAME(power)(vf x) {
    const vf r = (vf)_mm512_reduce_ps((__m512)x, _MM_FROUND_TO_NEG_INF);
    vf p = r * 0.0135341671f + 0.0520114622f;
    p = p * r + 0.241442756f;
    p = p * r + 0.693003835f;
    p = p * r + 1.00000259f;
    return (vf)_mm512_scalef_ps((__m512)p, (__m512)x);
}

/* One head of one text of n tokens, with products in bfloat16. x: queries of the head, with keys and values `width` and
 * 2 * width numbers behind, in rows of 3 * width. to: rows of width. room: of attention_room(n) bytes. */
APART void NAME(attend)(const NAME(part) *x, int n, int width, number *to, float factor, float zero, float *room) {
    enum { TILE = 1024, SIDE = 16, LINE = 64, ONE = 0x3f80 };
    const float LOG2_E = 1.44269504f;
    const int padded = (n + 31) / 32 * 32, blocks = (n + SIDE - 1) / SIDE;
    const size_t stride = 3 * width;
    char *keys = (char *)room, *values = keys + LINE * padded, *ones = values + LINE * padded;
    float *out = (float *)(ones + TILE), *scores = out + 3 * TILE / 4;
    uint16_t *shares = (uint16_t *)(scores + SIDE * padded);
    /* The second tile of a product holds pairs, one pair in a line: here of what is in a key, below of values. */
    for (int b = 0; b < blocks; b++) {
        __m512i rows[SIDE];
        for (int j = 0; j < SIDE; j++)
            rows[j] = _mm512_loadu_si512(x + (SIDE * b + j < n ? SIDE * b + j : n - 1) * stride + width);
        NAME(turn)(rows, (__m512i *)(keys + TILE * b));
    }
    uint16_t words[2][32]; /* of one, of the other, ... */
    for (int j = 0; j < 32; j++)
        for (int c = 0; c < 2; c++) words[c][j] = j % 2 * 32 + j / 2 + 16 * c;
    for (int p = 0; p < padded / 2; p++) {
        const uint16_t *value = x + 2 * p * stride + 2 * width;
        const __m512i one = 2 * p < n ? _mm512_loadu_si512(value) : _mm512_setzero_si512();
        const __m512i other = 2 * p + 1 < n ? _mm512_loadu_si512(value + stride) : _mm512_setzero_si512();
        for (int c = 0; c < 2; c++)
            _mm512_store_si512(values + TILE * (p / SIDE * 2 + c) + LINE * (p % SIDE),
                               _mm512_permutex2var_epi16(one, _mm512_loadu_si512(words[c]), other));
    }
    vf beyond = {0};
    for (int j = n - (blocks - 1) * SIDE; j < LANES; j++) beyond[j] = -1e30f;
    for (int i = 0; i < SIDE; i++) _mm512_store_si512(ones + LINE * i, _mm512_set1_epi16(ONE));
    for (int first = 0; first < n; first += SIDE) {
        written();
        /* Queries beyond the last one belong to nobody. */
        _tile_loadd(4, x + first * stride, 2 * stride);
        for (int b = 0; b < padded / SIDE; b += 2) {
            _tile_zero(0);
            _tile_zero(1);
            _tile_loadd(6, keys + TILE * b, LINE);
            _tile_loadd(7, keys + TILE * (b + 1), LINE);
            _tile_dpbf16ps(0, 4, 6);
            _tile_dpbf16ps(1, 4, 7);
            _tile_stored(0, scores + SIDE * b, 4 * padded);
            _tile_stored(1, scores + SIDE * (b + 1), 4 * padded);
        }
        vf top[SIDE];
        for (int i = 0; i < SIDE; i++) {
            float *row = scores + i * padded;
            top[i] = load(row + (blocks - 1) * SIDE) + beyond;
            NAME(store)(row + (blocks - 1) * SIDE, top[i]);
            for (int b = 0; b < blocks - 1; b++) top[i] = larger(top[i], load(row + b * SIDE));
        }
        const vf most = NAME(most_of_rows)(top) * LOG2_E;
        for (int i = 0; i < SIDE; i++) {
            const float *row = scores + i * padded;
            uint16_t *to_row = shares + i * padded;
            for (int b = 0; b < blocks; b++) {
                const vf e = NAME(power)(load(row + b * SIDE) * LOG2_E - splat(most[i]));
                _mm256_store_si256((__m256i *)(to_row + b * SIDE), (__m256i)_mm512_cvtneps_pbh((__m512)e));
            }
            if (blocks % 2) _mm256_store_si256((__m256i *)(to_row + blocks * SIDE), _mm256_setzero_si256());
        }
        _tile_zero(0);
        _tile_zero(1);
        _tile_zero(2);
        written();
        _tile_loadd(5, ones, LINE);
        for (int k = 0; k < padded; k += 32) {
            _tile_loadd(4, shares + k, 2 * padded);
            _tile_loadd(6, values + LINE * k, LINE);
            _tile_loadd(7, values + LINE * k + TILE, LINE);
            _tile_dpbf16ps(0, 4, 6);
            _tile_dpbf16ps(1, 4, 7);
            _tile_dpbf16ps(2, 4, 5);
        }
        /* Times values, and times ones: the sum of the shares in all columns. */
        _tile_stored(0, out, LINE);
        _tile_stored(1, out + TILE / 4, LINE);
        _tile_stored(2, out + 2 * TILE / 4, LINE);
        for (int i = 0; i < SIDE && first + i < n; i++) {
            const vf share = factor / load(out + 2 * TILE / 4 + i * SIDE);
            UNROLL for (int c = 0; c < HEAD / LANES; c++)
                to_numbers(to + (size_t)(first + i) * width + c * LANES, load(out + c * TILE / 4 + i * SIDE) * share + zero);
        }
    }
}
#else
/* One head of one text of n tokens. x: queries of the head, with keys and values `width` and 2 * width numbers behind,
 * in rows of 3 * width. to: rows of width. room: of (HEAD + QUERIES) * n floats, n rounded up to whole vectors. */
APART void NAME(attend)(const NAME(part) *x, int n, int width, number *to, float factor, float zero, float *room) {
    const int padded = (n + LANES - 1) / LANES * LANES;
    const size_t stride = 3 * width;
    float *keys = room, *scores = room + HEAD * padded;
    for (int d = 0; d < HEAD; d++) {
        for (int j = 0; j < n; j++) keys[d * padded + j] = x[j * stride + width + d];
        for (int j = n; j < padded; j++) keys[d * padded + j] = 0;
    }
    vf beyond = {0};
    for (int j = n - (padded - LANES); j < LANES; j++) beyond[j] = -1e30f;
    for (int i = 0; i < n; i += QUERIES) {
        const float *query[QUERIES];
        vf top[QUERIES];
        float share[QUERIES];
        UNROLL for (int r = 0; r < QUERIES; r++) {
            query[r] = x + (i + r < n ? i + r : n - 1) * stride;
            top[r] = splat(-1e30f);
        }
        for (int j = 0; j < padded; j += LANES) {
            vf score[QUERIES] = {0};
            UNROLL for (int d = 0; d < HEAD; d++) {
                const vf key = load(keys + d * padded + j);
                UNROLL for (int r = 0; r < QUERIES; r++) score[r] += query[r][d] * key;
            }
            UNROLL for (int r = 0; r < QUERIES; r++) {
                if (j + LANES == padded) score[r] += beyond;
                top[r] = larger(top[r], score[r]);
                NAME(store)(scores + r * padded + j, score[r]);
            }
        }
        UNROLL for (int r = 0; r < QUERIES; r++) {
            const float most = NAME(most)(top[r]);
            vf total = {0};
            for (int j = 0; j < padded; j += LANES) {
                const vf e = NAME(exponential)(load(scores + r * padded + j) - most);
                total += e;
                NAME(store)(scores + r * padded + j, e);
            }
            share[r] = factor / NAME(sum)(total);
        }
        vf seen[QUERIES][HEAD / LANES] = {0};
        for (int j = 0; j < n; j++)
            UNROLL for (int c = 0; c < HEAD / LANES; c++) {
                const vf value = load(x + j * stride + 2 * width + c * LANES);
                UNROLL for (int r = 0; r < QUERIES; r++) seen[r][c] += scores[r * padded + j] * value;
            }
        UNROLL for (int r = 0; r < QUERIES; r++)
            UNROLL for (int c = 0; c < HEAD / LANES; c++)
                if (i + r < n) to_numbers(to + (size_t)(i + r) * width + c * LANES, seen[r][c] * share[r] + zero);
    }
}
#endif

/* See amends_encode. */
static void NAME(encode)(const Model *m, const int32_t *ids, const int32_t *lengths, int texts, float *states, char *room,
                         uint64_t *ticks) {
    const int width = m->width;
    size_t n = 0;
    for (int t = 0; t < texts; t++) n += lengths[t];
    const size_t rows = whole_blocks(n);
    float *x = (float *)room;
    NAME(part) *parts = (NAME(part) *)(x + n * width);
    number *small = (number *)(parts + 3 * rows * width), *inner = small + rows * width;
    float *heads = (float *)(((uintptr_t)(inner + rows * m->inner) + 63) & ~(uintptr_t)63);
    uint64_t then = __rdtsc(), now;
#define SPENT(part) (now = __rdtsc(), ticks[part] += now - then, then = now)
    for (size_t t = 0, at = 0; t < (size_t)texts; t++)
        for (int i = 0; i < lengths[t]; i++, at++)
            for (int j = 0; j < width; j += LANES)
                NAME(store)(x + at * width + j,
                            wide(m->words + (size_t)ids[at] * width + j) + load(m->places + (size_t)i * width + j));
    SPENT(WORDS);
    for (int l = 0; l < m->n_layers; l++) {
        const Layer *y = m->layers + l;
        NAME(norms)(x, n, width, m->epsilon, &y->kept[0], x, &y->rounded[0], small);
        SPENT(NORMS);
        NAME(product)(&y->attention, (NAME(Flow)){.x = small, .parts = parts}, n, PLAIN);
        SPENT(PRODUCTS);
        for (size_t t = 0, at = 0; t < (size_t)texts; at += lengths[t++])
            for (int h = 0; h < m->heads; h++)
                NAME(attend)(parts + at * 3 * width + h * HEAD, lengths[t], width, small + at * width + h * HEAD,
                             y->seen_factor, y->seen_zero, heads);
        SPENT(ATTENTION);
        NAME(product)(&y->output, (NAME(Flow)){.x = small, .to = x}, n, ADDED);
        SPENT(PRODUCTS);
        NAME(norms)(x, n, width, m->epsilon, &y->kept[1], x, &y->rounded[1], small);
        SPENT(NORMS);
        NAME(product)(&y->inner, (NAME(Flow)){.x = small, .small = inner, .factor = y->factor, .zero = y->inner_zero}, n,
                      GELU);
        NAME(product)(&y->outer, (NAME(Flow)){.x = inner, .to = x}, n, ADDED);
        SPENT(PRODUCTS);
    }
    NAME(norms)(x, n, width, m->epsilon, &m->last, states, 0, 0);
    SPENT(NORMS);
#undef SPENT
}

#undef MULTIPLY_ADD
#undef ROWS
#undef COLUMNS
#undef QUERIES
#undef vf
#undef vi
#undef load
#undef splat
#undef larger
#undef whole
#undef number
#undef to_numbers
#undef as_floats
#undef power_of_two
#undef wide
#undef multiply_add
