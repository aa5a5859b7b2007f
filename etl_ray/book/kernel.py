"""The compiled parts of order books: net changes of rows, ranks of prices, and the ladder that replays rows.

The ladder has a quantity for each side and price rank, 0 where there is no level. Both sides lie in one array of
slots, best price first: a bid of rank r has slot R-1-r and an ask R+r, where R is a power of two of at least 64 and not
less than the number of distinct prices. A bit per slot says where levels are, a bit per word of these where words are
not empty, and a bit per word of those again. A bit behind the last slot is always set, so no search runs off the end.

Memory: functions within a loop take addresses of items of eight bytes, not arrays, since Numba hands each array on as
seven arguments and counts references to it at every call. Arrays are held by who called the kernel.

Integers are signed throughout, since Numba turns mixed ones into floats. All kernels stand in this one file because
Numba's on-disk cache notices a change only in the file of the function that it has cached.
"""

from __future__ import annotations

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

BID, ASK, CLEAR = 0, 1, 2
MAX_PRICE = 2**62 - 1
"""So that the sum of two prices, and a side beside a price, fit into 64 bits."""

SIDE_BIT = 62
HASH_FACTOR = -7046029254386353131  # 2**64 divided by the golden ratio, as a signed integer: Fibonacci hashing
BLOCK_BITS = 4
FIRST_TABLE_BITS, LARGEST_FIRST_TABLE_BITS = 8, 15
HALF = 32
LOW_HALF = 2**HALF - 1
HALF_FLOAT = float(2**HALF)
BPS = 10_000
NOWHERE = 2**62
"""A slot behind all slots."""

FLAGS = {"nogil": True, "error_model": "numpy"}
INLINE = {**FLAGS, "forceinline": True}
KERNEL = {**FLAGS, "cache": True}

INT, REAL = ir.IntType(64), ir.DoubleType()


def _pointer(builder, args, item):
    return builder.gep(builder.inttoptr(args[0], item.as_pointer()), [args[1]])


@intrinsic
def item(typing, p, i):
    """Return the i-th integer from address p on."""

    def generate(context, builder, signature, args):
        return builder.load(_pointer(builder, args, INT))

    return types.int64(types.int64, types.int64), generate


@intrinsic
def put(typing, p, i, value):
    """Store the i-th integer from address p on."""

    def generate(context, builder, signature, args):
        builder.store(args[2], _pointer(builder, args, INT))
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, types.int64), generate


@intrinsic
def real(typing, p, i):
    """Return the i-th float from address p on."""

    def generate(context, builder, signature, args):
        return builder.load(_pointer(builder, args, REAL))

    return types.float64(types.int64, types.int64), generate


@intrinsic
def put_real(typing, p, i, value):
    """Store the i-th float from address p on."""

    def generate(context, builder, signature, args):
        builder.store(args[2], _pointer(builder, args, REAL))
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, types.float64), generate


@intrinsic
def trailing_zeros(typing, bits):
    """Return the number of zeros below the lowest set bit of an int64 that is not 0."""

    def generate(context, builder, signature, args):
        return builder.cttz(args[0], ir.Constant(ir.IntType(1), 1))

    return types.int64(types.int64), generate


@intrinsic
def top_bits(typing, value, count):
    """Return the `count` highest bits of an int64, as a number."""

    def generate(context, builder, signature, args):
        return builder.lshr(args[0], builder.sub(ir.Constant(INT, 64), args[1]))

    return types.int64(types.int64, types.int64), generate


@njit(**INLINE)
def add(p, i, value):
    """Add to the i-th integer from address p on."""
    put(p, i, item(p, i) + value)


# Hash tables: 2**bits places of two integers, a key (-1: none) and what belongs to it, at most half of them taken.


@njit(**FLAGS)
def first_table_bits(rows):
    """Return how large a hash table to begin with."""
    bits = FIRST_TABLE_BITS
    while bits < LARGEST_FIRST_TABLE_BITS and (1 << bits) < 2 * rows:
        bits += 1
    return bits


@njit(**INLINE)
def find(table, bits, key):
    """Return where in the table the key is, or where it has to go."""
    # Neighbours lie together, as prices that change lie together; blocks of them are scattered.
    block = top_bits((key >> BLOCK_BITS) * HASH_FACTOR, bits - BLOCK_BITS)
    at = (block << BLOCK_BITS) | (key & ((1 << BLOCK_BITS) - 1))
    found = item(table, 2 * at)
    while found != key and found != -1:
        at = (at + 1) & ((1 << bits) - 1)
        found = item(table, 2 * at)
    return 2 * at


@njit(**FLAGS)
def empty_table(bits):
    """Return a table without keys."""
    table = np.empty(2 << bits, np.int64)
    table[::2] = -1
    return table


@njit(**FLAGS)
def larger_table(table, bits):
    """Return a table of 2**bits places with all that is in a smaller one."""
    larger = empty_table(bits)
    p = larger.ctypes.data
    for i in range(0, table.size, 2):
        if table[i] != -1:
            at = find(p, bits, table[i])
            larger[at], larger[at + 1] = table[i], table[i + 1]
    return larger


@njit(**KERNEL)
def first_wrong_row(side, price, quantity):
    """Return the first row that is no operation of a book, or -1."""
    wrong = False
    for i in range(side.size):
        wrong |= (side[i] < BID) | (side[i] > CLEAR)
        wrong |= (side[i] != CLEAR) & ((price[i] < 0) | (price[i] > MAX_PRICE) | (quantity[i] < 0))
    if wrong:
        for i in range(side.size):
            if side[i] < BID or side[i] > CLEAR:
                return i
            if side[i] != CLEAR and (price[i] < 0 or price[i] > MAX_PRICE or quantity[i] < 0):
                return i
    return -1


@njit(**FLAGS)
def note_quantities(side, price, quantity, first, table, bits, n):
    """Put rows from `first` on into a table of n levels; return the row at which it was full, and its levels then.

    The table does not grow within the loop, or Numba would count references to it for each row.
    """
    for i in range(first, side.size):
        key = (np.int64(side[i]) << SIDE_BIT) | price[i]
        at = find(table, bits, key)
        if item(table, at) == -1:
            if 2 * n == 1 << bits:
                return i, n
            put(table, at, key)
            n += 1
        put(table, at + 1, quantity[i])
    return side.size, n


@njit(**KERNEL)
def last_quantities(side, price, quantity):
    """Return whether rows clear the book, and the key and last quantity of each level that they name behind that.

    A key is the side in front of the price, so that keys sort by side, then price; they come in no order.
    """
    first = side.size
    while first > 0 and side[first - 1] != CLEAR:
        first -= 1
    bits = first_table_bits(side.size - first)
    table = empty_table(bits)
    row, n = note_quantities(side, price, quantity, first, table.ctypes.data, bits, 0)
    while row < side.size:
        bits += 2
        table = larger_table(table, bits)
        row, n = note_quantities(side, price, quantity, row, table.ctypes.data, bits, n)
    keys = np.empty(n, np.int64)
    last = np.empty(n, np.int64)
    n = 0
    for i in range(0, table.size, 2):
        if table[i] != -1:
            keys[n], last[n] = table[i], table[i + 1]
            n += 1
    return first > 0, keys, last


@njit(**KERNEL)
def sorted_levels(keys, last, order, keep_zeros):
    """Return side, price and quantity of keys in the given order."""
    side = np.empty(keys.size, np.int8)
    price = np.empty(keys.size, np.int64)
    quantity = np.empty(keys.size, np.int64)
    n = 0
    for i in order:
        if keep_zeros or last[i] != 0:
            side[n] = keys[i] >> SIDE_BIT
            price[n] = keys[i] & MAX_PRICE
            quantity[n] = last[i]
            n += 1
    return side[:n], price[:n], quantity[:n]


@njit(**KERNEL)
def merge(side_1, price_1, quantity_1, side_2, price_2, quantity_2, keep_zeros):
    """Return the union of two sorted lists of levels; where both name a level, the second counts."""
    size = side_1.size + side_2.size
    side = np.empty(size, np.int8)
    price = np.empty(size, np.int64)
    quantity = np.empty(size, np.int64)
    i = j = n = 0
    while i < side_1.size or j < side_2.size:
        order = 0
        if i < side_1.size and j < side_2.size:
            key_1 = (np.int64(side_1[i]) << SIDE_BIT) | price_1[i]
            key_2 = (np.int64(side_2[j]) << SIDE_BIT) | price_2[j]
            order = (key_1 > key_2) - (key_1 < key_2)
        else:
            order = -1 if i < side_1.size else 1
        if order < 0:
            side[n], price[n], quantity[n] = side_1[i], price_1[i], quantity_1[i]
        else:
            side[n], price[n], quantity[n] = side_2[j], price_2[j], quantity_2[j]
        i += order <= 0
        j += order >= 0
        n += keep_zeros or quantity[n] != 0
    return side[:n], price[:n], quantity[:n]


@njit(**FLAGS)
def note_prices(side, price, first, table, bits, n, ids):
    """Give numbers to prices from row `first` on with a table of n prices; otherwise as `note_quantities`."""
    for i in range(first, side.size):
        if side[i] == CLEAR:
            ids[i] = -1
            continue
        at = find(table, bits, price[i])
        if item(table, at) == -1:
            if 2 * n == 1 << bits:
                return i, n
            put(table, at, price[i])
            put(table, at + 1, n)
            n += 1
        ids[i] = item(table, at + 1)
    return side.size, n


@njit(**KERNEL)
def number_prices(side, price, table, n, ids):
    """Write the number of each row's price into ids, -1 for a CLEAR; prices are numbered from 0 as they come first.

    Takes and returns the table of the n prices so far; an empty array is one, too.
    """
    if table.size == 0:
        table = empty_table(first_table_bits(side.size))
    bits = trailing_zeros(table.size) - 1
    row, n = note_prices(side, price, 0, table.ctypes.data, bits, n, ids)
    while row < side.size:
        bits += 2
        table = larger_table(table, bits)
        row, n = note_prices(side, price, row, table.ctypes.data, bits, n, ids)
    return table, n


@njit(**KERNEL)
def numbered(table, n):
    """Return the prices in a table by their number."""
    prices = np.empty(n, np.int64)
    for i in range(0, table.size, 2):
        if table[i] != -1:
            prices[table[i + 1]] = table[i]
    return prices


@njit(**KERNEL)
def numbers_to_slots(side, ids, rank, size):
    """Replace numbers of prices by slots, with `size` slots a side; -1 stays."""
    for i in range(side.size):
        if ids[i] >= 0:
            r = rank[ids[i]]
            ids[i] = size + r if side[i] == ASK else size - 1 - r


# The ladder: q is the address of the quantities of all slots, b0, b1 and b2 those of the three levels of bits.


@njit(**INLINE)
def set_bit(b0, b1, b2, slot):
    """Mark a level."""
    word = slot >> 6
    put(b0, word, item(b0, word) | (1 << (slot & 63)))
    put(b1, word >> 6, item(b1, word >> 6) | (1 << (word & 63)))
    put(b2, word >> 12, item(b2, word >> 12) | (1 << ((word >> 6) & 63)))


@njit(**INLINE)
def clear_bit(b0, b1, b2, slot):
    """Unmark a level."""
    word = slot >> 6
    rest = item(b0, word) & ~(1 << (slot & 63))
    put(b0, word, rest)
    if rest == 0:
        rest = item(b1, word >> 6) & ~(1 << (word & 63))
        put(b1, word >> 6, rest)
        if rest == 0:
            put(b2, word >> 12, item(b2, word >> 12) & ~(1 << ((word >> 6) & 63)))


@njit(**FLAGS)
def word_behind(b1, b2, word):
    """Return the first word behind `word` that has a bit; there is one behind every slot."""
    group = (word + 1) >> 6
    found = item(b1, group) & (-1 << ((word + 1) & 63))
    if found == 0:
        group += 1
        top = group >> 6
        found = item(b2, top) & (-1 << (group & 63))
        while found == 0:
            top += 1
            found = item(b2, top)
        group = (top << 6) + trailing_zeros(found)
        found = item(b1, group)
    return (group << 6) + trailing_zeros(found)


@njit(**INLINE)
def level_from(b0, b1, b2, slot):
    """Return the first level from `slot` on; the bit behind the last slot if there is none."""
    word = slot >> 6
    found = item(b0, word) & (-1 << (slot & 63))
    if found == 0:
        word = word_behind(b1, b2, word)
        found = item(b0, word)
    return (word << 6) + trailing_zeros(found)


@njit(**FLAGS)
def remove_all(size, q, b0, b1, b2):
    """Remove every level."""
    slot = level_from(b0, b1, b2, 0)
    while slot < 2 * size:
        put(q, slot, 0)
        clear_bit(b0, b1, b2, slot)
        slot = level_from(b0, b1, b2, slot)


@njit(**FLAGS)
def write_top(best, end, mask, depth, q, b0, b1, b2, prices, price, quantity):
    """Write up to `depth` levels from slot `best` on; return the slot of the last one, `end` if they are fewer."""
    n = 0
    slot = best
    if slot < end:
        word = slot >> 6
        found = item(b0, word) & (-1 << (slot & 63))
        while word << 6 < end:
            while found != 0:
                slot = (word << 6) + trailing_zeros(found)
                put(price, n, item(prices, slot ^ mask))
                put(quantity, n, item(q, slot))
                n += 1
                if n == depth:
                    return slot
                found &= found - 1
            word = word_behind(b1, b2, word)
            found = item(b0, word)
    for k in range(n, depth):
        put(price, k, 0)
        put(quantity, k, 0)
    return end


@njit(**FLAGS)
def count_below(prices, n, bound, guess):
    """Return how many of the n sorted prices are below `bound`, searching outwards from `guess`."""
    low = high = min(guess, n)
    step = 1
    while low > 0 and item(prices, low - 1) >= bound:
        high = low - 1
        low = max(0, low - step)
        step <<= 1
    step = 1
    while high < n and item(prices, high) < bound:
        low = high + 1
        high = min(n, high + step)
        step <<= 1
    while low < high:
        middle = (low + high) >> 1
        if item(prices, middle) < bound:
            low = middle + 1
        else:
            high = middle
    return low


@njit(**FLAGS)
def move_limit(limit, sums, last, new, q, b0, b1, b2):
    """Move a limit, and what lies between from the sum behind it into that before it or back; update both.

    The sum of the levels before the limit and behind the one before it stands at `sums`, in two halves, and the next
    one behind that, unless this is the last.
    """
    old = item(limit, 0)
    put(limit, 0, new)
    high = low = 0
    slot = level_from(b0, b1, b2, min(old, new))
    while slot < max(old, new):
        high += item(q, slot) >> HALF
        low += item(q, slot) & LOW_HALF
        slot = level_from(b0, b1, b2, slot + 1)
    if new < old:
        high, low = -high, -low
    add(sums, 0, high)
    add(sums, 1, low)
    if not last:
        add(sums, 2, -high)
        add(sums, 3, -low)


@njit(**FLAGS)
def move_limits(total, bps, n_bps, size, prices, n_prices, limits, sums, q, b0, b1, b2):
    """Bring the limits of each depth to where the two best prices sum up to `total`."""
    # A bid counts if 20000 price >= total (10000 - bps); multiplied in two parts, nothing is beyond 64 bits.
    whole, rest = total // (2 * BPS), total % (2 * BPS)
    for j in range(n_bps):
        limit, sums_at = limits + 8 * j, sums + 16 * j
        k = max(BPS - item(bps, j), 0)
        bound = whole * k + (rest * k + 2 * BPS - 1) // (2 * BPS)
        new = size - count_below(prices, n_prices, bound, size - item(limit, 0))
        move_limit(limit, sums_at, j == n_bps - 1, new, q, b0, b1, b2)
        limit, sums_at = limit + 8 * n_bps, sums_at + 16 * n_bps
        k = BPS + item(bps, j)
        bound = np.int64(MAX_PRICE) + 1
        if whole <= MAX_PRICE // k:
            bound = min(bound, whole * k + rest * k // (2 * BPS) + 1)
        new = size + count_below(prices, n_prices, bound, item(limit, 0) - size)
        move_limit(limit, sums_at, j == n_bps - 1, new, q, b0, b1, b2)


@njit(**INLINE)
def write_depth(depth, sums, n_bps, unit):
    """Write the sum of all levels before each limit in base units."""
    high = low = 0
    for j in range(n_bps):
        high += item(sums, 2 * j)
        low += item(sums, 2 * j + 1)
        # Two exact floats, so the sum is correctly rounded.
        put_real(depth, j, (float(high + (low >> HALF)) * HALF_FLOAT + float(low & LOW_HALF)) / unit)


@njit(**FLAGS)
def write_sweep(best, end, mask, q, b0, b1, b2, prices, notionals, n_notionals, average):
    """Write the average price at which each notional is filled, NaN where it is not; return the last slot seen.

    Notionals are ascending and counted like price times quantity as an integer.
    """
    spent = filled = 0.0
    slot = best
    j = 0
    notional = real(notionals, 0)
    while slot < end:
        word = slot >> 6
        found = item(b0, word) & (-1 << (slot & 63))
        while found != 0:
            slot = (word << 6) + trailing_zeros(found)
            price, quantity = real(prices, slot ^ mask), float(item(q, slot))
            spent_next = spent + price * quantity
            while notional <= spent_next:
                put_real(average, j, notional / (filled + (notional - spent) / price))
                j += 1
                if j == n_notionals:
                    return slot
                notional = real(notionals, j)
            spent = spent_next
            filled += quantity
            found &= found - 1
        slot = word_behind(b1, b2, word) << 6
    for i in range(j, n_notionals):
        put_real(average, i, np.nan)
    return end


@njit(**INLINE)
def repeat(p, row, n):
    """Write the n items of the row before into the row, whose items begin at p in the first row."""
    for i in range(row * n, row * n + n):
        put(p, i, item(p, i - n))


@njit(**KERNEL)
def put_start(slots, quantity, quantities, bits_0, bits_1, bits_2, best, limits):
    """Begin with a full book; a quantity of 0 is no level."""
    size = quantities.size // 2
    quantities[:] = 0
    bits_0[:] = 0
    bits_1[:] = 0
    bits_2[:] = 0
    q, b0, b1, b2 = quantities.ctypes.data, bits_0.ctypes.data, bits_1.ctypes.data, bits_2.ctypes.data
    set_bit(b0, b1, b2, 2 * size)
    for i in range(slots.size):
        slot = np.int64(slots[i])
        if quantity[i] != 0:
            put(q, slot, quantity[i])
            set_bit(b0, b1, b2, slot)
    best[BID] = min(level_from(b0, b1, b2, 0), size)
    best[ASK] = level_from(b0, b1, b2, size)
    limits[BID, :] = 0
    limits[ASK, :] = size


@njit(**KERNEL)
def advance(
    slots,
    quantity,
    offsets,
    wanted,
    quantities,
    bits_0,
    bits_1,
    bits_2,
    best,
    total,
    limits,
    sums,
    prices,
    float_prices,
    bps,
    notionals,
    unit,
    n_levels,
    bid_price,
    bid_quantity,
    ask_price,
    ask_quantity,
    depth_bid,
    depth_ask,
    sweep_bid,
    sweep_ask,
    crossed,
):
    """Apply messages to the book and write a row of states for each wanted one.

    `best`, `total` (of the best prices when limits were moved last), `limits` and `sums` (of the levels between two
    limits, in two halves) go on from call to call. `unit` is the power of ten by which quantities are scaled.
    """
    size = quantities.size // 2
    shift = trailing_zeros(size)
    depth = bid_price.shape[1]
    n_bps, n_notionals = bps.size, notionals.size
    q, b0, b1, b2 = quantities.ctypes.data, bits_0.ctypes.data, bits_1.ctypes.data, bits_2.ctypes.data
    limit, sum_at, price_at, float_at = (
        limits.ctypes.data,
        sums.ctypes.data,
        prices.ctypes.data,
        float_prices.ctypes.data,
    )
    best_at = best.ctypes.data
    out_price = (bid_price.ctypes.data, ask_price.ctypes.data)
    out_quantity = (bid_quantity.ctypes.data, ask_quantity.ctypes.data)
    out_depth = (depth_bid.ctypes.data, depth_ask.ctypes.data)
    out_sweep = (sweep_bid.ctypes.data, sweep_ask.ctypes.data)
    touched = np.zeros(2, np.int64)  # the best slot of each side that has changed since the last row
    shown_to = np.full(2, NOWHERE)  # the slots up to which a change shows in the top
    swept_to = np.full(2, NOWHERE)
    touched_at = touched.ctypes.data
    row = 0
    for m in range(wanted.size):
        for i in range(offsets[m], offsets[m + 1]):
            slot = np.int64(slots[i])
            if slot < 0:
                remove_all(size, q, b0, b1, b2)
                best[BID], best[ASK] = size, 2 * size
                touched[:] = 0
                sums[:] = 0
                continue
            side = slot >> shift
            new, old = quantity[i], item(q, slot)
            put(q, slot, new)
            put(touched_at, side, min(item(touched_at, side), slot))
            if n_bps > 0 and slot < item(limit, side * n_bps + n_bps - 1):
                j = side * n_bps
                while slot >= item(limit, j):
                    j += 1
                add(sum_at, 2 * j, (new >> HALF) - (old >> HALF))
                add(sum_at, 2 * j + 1, (new & LOW_HALF) - (old & LOW_HALF))
            if old == 0:
                if new != 0:
                    set_bit(b0, b1, b2, slot)
                    put(best_at, side, min(item(best_at, side), slot))
            elif new == 0:
                clear_bit(b0, b1, b2, slot)
                if slot == item(best_at, side):
                    put(best_at, side, min(level_from(b0, b1, b2, slot + 1), size << side))
        if not wanted[m]:
            continue
        two_sided = best[BID] < size and best[ASK] < 2 * size
        bid = item(price_at, best[BID] ^ (size - 1)) if two_sided else 0
        ask = item(price_at, best[ASK] ^ size) if two_sided else 0
        crossed[row] = bid > ask
        if n_bps > 0 and two_sided and bid + ask != total[0]:
            total[0] = bid + ask
            move_limits(bid + ask, bps.ctypes.data, n_bps, size, price_at, prices.size, limit, sum_at, q, b0, b1, b2)
        for side in range(2):
            end = size << side
            mask = size if side == ASK else size - 1
            at = 8 * row * depth
            if touched[side] <= shown_to[side]:
                shown_to[side] = write_top(
                    best[side], end, mask, depth, q, b0, b1, b2, price_at, out_price[side] + at, out_quantity[side] + at
                )
            else:
                repeat(out_price[side], row, depth)
                repeat(out_quantity[side], row, depth)
            if n_notionals > 0:
                if touched[side] <= swept_to[side]:
                    swept_to[side] = write_sweep(
                        best[side],
                        end,
                        mask,
                        q,
                        b0,
                        b1,
                        b2,
                        float_at,
                        notionals.ctypes.data,
                        n_notionals,
                        out_sweep[side] + 8 * row * n_notionals,
                    )
                else:
                    repeat(out_sweep[side], row, n_notionals)
            if n_bps > 0 and two_sided:
                write_depth(out_depth[side] + 8 * row * n_bps, sum_at + 16 * side * n_bps, n_bps, unit)
            else:
                for j in range(n_bps):
                    put_real(out_depth[side], row * n_bps + j, np.nan)
            touched[side] = NOWHERE
        row += 1
    for row in range(n_levels.shape[0]):
        bids = asks = 0
        for k in range(depth):
            bids += bid_quantity[row, k] != 0
            asks += ask_quantity[row, k] != 0
        n_levels[row, BID], n_levels[row, ASK] = bids, asks


@njit(**KERNEL)
def levels_of(quantities, bits_0, bits_1, bits_2, prices):
    """Return side, price and quantity of all levels, sorted by side, then price."""
    size = quantities.size // 2
    b0, b1, b2 = bits_0.ctypes.data, bits_1.ctypes.data, bits_2.ctypes.data
    n = n_bids = 0
    slot = level_from(b0, b1, b2, 0)
    while slot < 2 * size:
        n += 1
        n_bids += slot < size
        slot = level_from(b0, b1, b2, slot + 1)
    side = np.empty(n, np.int8)
    price = np.empty(n, np.int64)
    quantity = np.empty(n, np.int64)
    slot = level_from(b0, b1, b2, 0)
    for i in range(n):
        bid = slot < size
        at = n_bids - 1 - i if bid else i  # bids come best first, that is in descending order
        side[at] = BID if bid else ASK
        price[at] = prices[slot ^ (size - 1 if bid else size)]
        quantity[at] = quantities[slot]
        slot = level_from(b0, b1, b2, slot + 1)
    return side, price, quantity
