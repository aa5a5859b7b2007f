"""The compiled scanner: bytes of whole lines in, integers in columns out.

It accepts a line only if it has checked every byte of it against a declared shape; whatever it does not understand, it
hands back as a slow line for the strict parser, which alone judges what is valid. So the scanner may refuse anything,
but must never accept what the strict parser rejects, nor read a value otherwise. That is why it refuses duplicate and
unknown keys, escapes, non-ASCII text, exponents and numbers of more than 18 digits instead of handling them.

Bounds: the buffer ends with zero bytes, every primitive stops at a byte that it does not expect, and no JSON text
contains a zero byte, so none runs past the padding.

Memory: `p` is the address of the bytes, `c` that of a context of int64 slots that `etl_ray.scan.plan` lays out: plan,
counters and the addresses of the output columns. Passing arrays instead costs a hundredfold, since Numba hands each on
as seven arguments and counts references to it at every use.

Positions are returned as -1 on failure. All kernels stand in this one file because Numba's on-disk cache notices a
change only in the file of the function that it has cached, `scan_block`.
"""

from __future__ import annotations

from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

from etl_ray.venues.rows import NULL

# Kinds beyond those of etl_ray.venues.shapes.Kind, which have the numbers 0 to 8.
DATA, META, EVENTS, ROWS = 20, 21, 22, 23
NUMBER, INTEGER, TIME, GO_TIME, EPOCH_SECONDS, CHOICE, PRODUCT, ANY = 0, 1, 2, 3, 4, 5, 6, 8
ENVELOPE, MESSAGE = 0, 1
"""Objects; shape s has the objects 2 + 2 s (event) and 3 + 2 s (row)."""
SYMBOL_CHARS = 64
MAX_DIGITS = 18
PLAUSIBLE_FROM_YEAR, PLAUSIBLE_TO_YEAR = 2010, 2100

# Slots of the context. First counters and single values ...
N_MESSAGES, N_SLOW, N_LINES, N_BLANK, N_SYMBOLS, CLOCK_1, CLOCK_2, CLOCK_NS = range(8)
MESSAGE_CAP, EVENT_CAP, ROW_CAP, SLOW_CAP, SYMBOL_CAP, HASH_MASK, GUESS_WIDTH, N_SHAPES = range(8, 16)
# (addresses of the words, of the output columns and of the symbols' names)
TEXT, MESSAGES_AT, SLOW_AT, NAMES_AT = range(16, 20)
# ... then, for each table, the slot where it begins. By field:
KEY_AT, KEY_LEN, KIND, NULLABLE, SIGNED, CHOICE_FROM, CHOICE_TO = range(20, 27)
# By choice, by object, by (object, position), by channel:
CHOICE_AT, CHOICE_LEN, FIRST, LAST, REQUIRED, STORED, GUESS, CHANNEL_SHAPE = range(27, 35)
# By shape; the last four hold addresses of columns:
EVENT_PRODUCT, ROW_PRODUCT, TYPE_FIELD, EMPTY_ROW, N_EVENTS, N_ROWS = range(35, 41)
EVENTS_AT, VALUES_AT, SCALES_AT, ROW_EVENT_AT = range(41, 45)
# By symbol, by hash:
SYMBOL_LEN, SYMBOL_SLOT, HASH = 45, 46, 47
N_SLOTS = 48

# Rows of the message columns, and of the event columns (the event's own fields follow).
M_LINE, M_CHANNEL, M_SERVER, M_NUMBER, M_CAPTURE, M_PRODUCT, MESSAGE_COLUMNS = range(7)
E_MESSAGE, E_INDEX, E_FIRST_ROW, E_FIELDS = range(4)

FLAGS = {"nogil": True, "error_model": "numpy"}
INLINE = {**FLAGS, "forceinline": True}


def _pointer(builder, address, offset, item):
    return builder.inttoptr(builder.add(address, offset), item.as_pointer())


def _load(builder, address, offset, item):
    value = builder.load(_pointer(builder, address, offset, item))
    value.align = 1
    return value


@intrinsic
def byte(typing, p, i):
    """Return the byte at p + i."""

    def generate(context, builder, signature, args):
        return builder.zext(_load(builder, args[0], args[1], ir.IntType(8)), ir.IntType(64))

    return types.int64(types.int64, types.int64), generate


@intrinsic
def word(typing, p, i):
    """Return the eight bytes from p + i on as a little-endian integer."""

    def generate(context, builder, signature, args):
        return _load(builder, args[0], args[1], ir.IntType(64))

    return types.int64(types.int64, types.int64), generate


@intrinsic
def put_word(typing, p, i, value):
    """Store eight bytes at p + i."""

    def generate(context, builder, signature, args):
        builder.store(args[2], _pointer(builder, args[0], args[1], ir.IntType(64))).align = 1
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, types.int64), generate


@intrinsic
def put_byte(typing, p, i, value):
    """Store one byte at p + i."""

    def generate(context, builder, signature, args):
        narrow = builder.trunc(args[2], ir.IntType(8))
        builder.store(narrow, _pointer(builder, args[0], args[1], ir.IntType(8)))
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, types.int64), generate


@njit(**INLINE)
def get(c, slot):
    """Return a single value of the context."""
    return word(c, slot << 3)


@njit(**INLINE)
def put(c, slot, value):
    """Set a single value of the context."""
    put_word(c, slot << 3, value)


@njit(**INLINE)
def look(c, table, index):
    """Return an item of a table of the context."""
    return word(c, (word(c, table << 3) + index) << 3)


@njit(**INLINE)
def note(c, table, index, value):
    """Set an item of a table of the context."""
    put_word(c, (word(c, table << 3) + index) << 3, value)


@njit(**INLINE)
def is_digit(p, i):
    """Return whether the byte is 0 to 9."""
    return 48 <= byte(p, i) <= 57


@njit(**INLINE)
def skip_space(p, i):
    """Return the first position from i on that is no space, tab or carriage return."""
    while byte(p, i) == 32 or byte(p, i) == 9 or byte(p, i) == 13:
        i += 1
    return i


@njit(**INLINE)
def matches(p, i, text, at, n):
    """Return whether the n bytes at p + i are those at text + at; both may be read seven bytes further."""
    while n >= 8:
        if word(p, i) != word(text, at):
            return False
        i += 8
        at += 8
        n -= 8
    return n == 0 or ((word(p, i) ^ word(text, at)) << (64 - 8 * n)) == 0


@njit(**INLINE)
def same_name(p, i, names, at, n):
    """Return whether the n bytes at p + i are those at names + at."""
    for k in range(n):
        if byte(p, i + k) != byte(names, at + k):
            return False
    return True


@njit(**FLAGS)
def skip_string(p, i):
    """Return the position after a plain ASCII string that starts at i."""
    if byte(p, i) != 34:
        return -1
    i += 1
    while byte(p, i) != 34:
        if byte(p, i) < 32 or byte(p, i) > 126 or byte(p, i) == 92:
            return -1
        i += 1
    return i + 1


@njit(**FLAGS)
def skip_flat(p, i):
    """Return the position after an object of strings."""
    if byte(p, i) != 123:
        return -1
    i = skip_space(p, i + 1)
    if byte(p, i) == 125:
        return i + 1
    while True:
        i = skip_string(p, i)
        if i < 0:
            return -1
        i = skip_space(p, i)
        if byte(p, i) != 58:
            return -1
        i = skip_string(p, skip_space(p, i + 1))
        if i < 0:
            return -1
        i = skip_space(p, i)
        if byte(p, i) == 125:
            return i + 1
        if byte(p, i) != 44:
            return -1
        i = skip_space(p, i + 1)


@njit(**FLAGS)
def skip_list(p, i):
    """Return the position after a list, found by its brackets; what is within is checked when it is scanned later."""
    if byte(p, i) != 91:
        return -1
    depth = 0
    quoted = False
    while True:
        b = byte(p, i)
        if b < 32 or b == 92:
            return -1
        if b == 34:
            quoted = not quoted
        elif not quoted:
            if b == 91 or b == 123:
                depth += 1
            elif b == 93 or b == 125:
                depth -= 1
                if depth == 0:
                    return i + 1
        i += 1


@njit(**FLAGS)
def scan_number(p, i, signed):
    """Return (digits as integer, how many of them are fractional, position after) of a quoted decimal."""
    if byte(p, i) != 34:
        return 0, 0, -1
    i += 1
    negative = byte(p, i) == 45
    if negative:
        if not signed:
            return 0, 0, -1
        i += 1
    value = 0
    start = i
    while is_digit(p, i):
        value = value * 10 + (byte(p, i) - 48)
        i += 1
    digits = i - start
    scale = 0
    if digits == 0:
        return 0, 0, -1
    if byte(p, i) == 46:
        i += 1
        start = i
        while is_digit(p, i):
            value = value * 10 + (byte(p, i) - 48)
            i += 1
        scale = i - start
        if scale == 0:
            return 0, 0, -1
    if digits + scale > MAX_DIGITS or byte(p, i) != 34:
        return 0, 0, -1
    return (-value if negative else value), scale, i + 1


@njit(**FLAGS)
def scan_integer(p, i):
    """Return (value, position after) of an integer, quoted or not."""
    quoted = byte(p, i) == 34
    if quoted:
        i += 1
    start = i
    value = 0
    while is_digit(p, i):
        value = value * 10 + (byte(p, i) - 48)
        i += 1
    digits = i - start
    if digits == 0 or digits > MAX_DIGITS:
        return 0, -1
    if quoted:
        return (value, i + 1) if byte(p, i) == 34 else (0, -1)
    if digits > 1 and byte(p, start) == 48:  # JSON has no numbers with leading zeros
        return 0, -1
    return value, i


@njit(**FLAGS)
def two(p, i):
    """Return two digits as a number, or -1."""
    if is_digit(p, i) and is_digit(p, i + 1):
        return (byte(p, i) - 48) * 10 + (byte(p, i + 1) - 48)
    return -1


@njit(**FLAGS)
def minute_ns(p, i, separator):
    """Return the ns of `YYYY-MM-DDTHH:MM`, NULL if implausible, -1 if it is no such time."""
    century, years = two(p, i), two(p, i + 2)
    month, day, hour, minute = two(p, i + 5), two(p, i + 8), two(p, i + 11), two(p, i + 14)
    if century < 0 or years < 0 or month < 1 or month > 12 or day < 1 or hour < 0 or hour > 23:
        return -1
    if (
        minute < 0
        or minute > 59
        or byte(p, i + 4) != 45
        or byte(p, i + 7) != 45
        or byte(p, i + 10) != separator
        or byte(p, i + 13) != 58
    ):
        return -1
    year = century * 100 + years
    leap = (year % 4 == 0 and year % 100 != 0) or year % 400 == 0
    long_month = month in (1, 3, 5, 7, 8, 10, 12)
    month_days = 31 if long_month else 30
    if month == 2:
        month_days = 29 if leap else 28
    if year == 0 or day > month_days:
        return -1
    if year < PLAUSIBLE_FROM_YEAR or year >= PLAUSIBLE_TO_YEAR:
        return NULL
    # Days since 1970 in the proleptic Gregorian calendar, with the year taken to begin in March.
    shifted = year - 1 if month <= 2 else year
    from_march = month + 9 if month <= 2 else month - 3
    days = 365 * shifted + shifted // 4 - shifted // 100 + shifted // 400 + (153 * from_march + 2) // 5 + day - 719469
    return ((days * 24 + hour) * 60 + minute) * 60_000_000_000


@njit(**FLAGS)
def scan_clock(p, i, separator, c):
    """Return (ns, position of the zone) of a time without zone; NULL if implausible. Remembers the last minute."""
    if word(p, i) != get(c, CLOCK_1) or word(p, i + 8) != get(c, CLOCK_2) or byte(p, i + 10) != separator:
        ns = minute_ns(p, i, separator)
        if ns == -1:
            return 0, -1
        put(c, CLOCK_1, word(p, i))
        put(c, CLOCK_2, word(p, i + 8))
        put(c, CLOCK_NS, ns)
    ns = get(c, CLOCK_NS)
    second = two(p, i + 17)
    if byte(p, i + 16) != 58 or second < 0 or second > 59:
        return 0, -1
    i += 19
    fraction = 0
    if byte(p, i) == 46:
        i += 1
        digits = 0
        while is_digit(p, i) and digits < 10:
            fraction = fraction * 10 + (byte(p, i) - 48)
            digits += 1
            i += 1
        if digits == 0 or digits > 9:
            return 0, -1
        for _ in range(9 - digits):
            fraction *= 10
    return (NULL if ns == NULL else ns + second * 1_000_000_000 + fraction), i


@njit(**FLAGS)
def skip_zone(p, i):
    """Return the position after `Z` or `+00:00`."""
    if byte(p, i) == 90:
        return i + 1
    if byte(p, i) == 43 and two(p, i + 1) == 0 and byte(p, i + 3) == 58 and two(p, i + 4) == 0:
        return i + 6
    return -1


@njit(**FLAGS)
def skip_go_zone(p, i):
    """Return the position after ` +0000 UTC`, optionally followed by ` m=`, a sign and a decimal number."""
    if byte(p, i) != 32 or byte(p, i + 1) != 43 or two(p, i + 2) != 0 or two(p, i + 4) != 0:
        return -1
    if byte(p, i + 6) != 32 or byte(p, i + 7) != 85 or byte(p, i + 8) != 84 or byte(p, i + 9) != 67:
        return -1
    i += 10
    if byte(p, i) != 32:
        return i
    if byte(p, i + 1) != 109 or byte(p, i + 2) != 61 or (byte(p, i + 3) != 43 and byte(p, i + 3) != 45):
        return -1
    i += 4
    start = i
    while is_digit(p, i):
        i += 1
    if i == start:
        return -1
    if byte(p, i) == 46:
        i += 1
        start = i
        while is_digit(p, i):
            i += 1
        if i == start:
            return -1
    return i


@njit(**FLAGS)
def scan_time(p, i, go, c):
    """Return (ns or NULL, position after) of a quoted time."""
    if byte(p, i) != 34:
        return 0, -1
    ns, i = scan_clock(p, i + 1, 32 if go else 84, c)
    if i >= 0:
        i = skip_go_zone(p, i) if go else skip_zone(p, i)
    if i < 0 or byte(p, i) != 34:
        return 0, -1
    return ns, i + 1


@njit(**FLAGS)
def scan_symbol(p, i, c):
    """Return (index in the symbol table, position after) of a quoted name of `[A-Z0-9._-]`."""
    if byte(p, i) != 34:
        return 0, -1
    i += 1
    start = i
    mixed = 0
    while byte(p, i) != 34:
        b = byte(p, i)
        if not (65 <= b <= 90 or 48 <= b <= 57 or b == 45 or b == 46 or b == 95):
            return 0, -1
        mixed = mixed * 31 + b
        i += 1
    n = i - start
    if n == 0 or n > SYMBOL_CHARS or byte(p, start) == 46:
        return 0, -1
    names = get(c, NAMES_AT)
    slot = (mixed ^ (mixed >> 17)) & get(c, HASH_MASK)
    while look(c, HASH, slot) >= 0:
        known = look(c, HASH, slot)
        if look(c, SYMBOL_LEN, known) == n and same_name(p, start, names, known * SYMBOL_CHARS, n):
            return known, i + 1
        slot = (slot + 1) & get(c, HASH_MASK)
    fresh = get(c, N_SYMBOLS)
    if fresh >= get(c, SYMBOL_CAP):
        return 0, -1
    for k in range(n):
        put_byte(names, fresh * SYMBOL_CHARS + k, byte(p, start + k))
    note(c, SYMBOL_LEN, fresh, n)
    note(c, SYMBOL_SLOT, fresh, slot)
    note(c, HASH, slot, fresh)
    put(c, N_SYMBOLS, fresh + 1)
    return fresh, i + 1


@njit(**FLAGS)
def scan_choice(p, i, field, c):
    """Return (position among the field's choices, position after) of a quoted word."""
    if byte(p, i) == 34:
        first = look(c, CHOICE_FROM, field)
        for choice in range(first, look(c, CHOICE_TO, field)):
            n = look(c, CHOICE_LEN, choice)
            if matches(p, i + 1, get(c, TEXT), look(c, CHOICE_AT, choice), n) and byte(p, i + 1 + n) == 34:
                return choice - first, i + n + 2
    return 0, -1


@njit(**FLAGS)
def scan_value(p, i, field, c):
    """Return (value, scale, position after) of a scalar, as the kind of its field says."""
    kind = look(c, KIND, field)
    if kind == NUMBER:
        return scan_number(p, i, look(c, SIGNED, field))
    value = 0
    if kind == CHOICE:
        value, i = scan_choice(p, i, field, c)
    elif kind == TIME or kind == GO_TIME:
        value, i = scan_time(p, i, kind == GO_TIME, c)
        if value == NULL and not look(c, NULLABLE, field):
            i = -1
    elif kind == PRODUCT:
        value, i = scan_symbol(p, i, c)
    elif kind == INTEGER:
        value, i = scan_integer(p, i)
    elif kind == EPOCH_SECONDS:
        value, i = scan_integer(p, i)
        if value < 1_262_304_000 or value >= 4_102_444_800:  # 2010 to 2099, as in etl_ray.scan.values
            i = -1
        value *= 1_000_000_000
    elif kind == ANY:
        i = skip_string(p, i)
    else:
        i = -1
    return value, 0, i


@njit(**FLAGS)
def find_key(p, i, which, position, c):
    """Return the field of object `which` whose key and closing quote stand at p + i, or -1.

    Objects of one shape mostly have one key order, so the field that stood at this position last time comes first.
    """
    text = get(c, TEXT)
    guess = which * get(c, GUESS_WIDTH) + position
    field = look(c, GUESS, guess)
    n = look(c, KEY_LEN, field)
    if matches(p, i, text, look(c, KEY_AT, field), n) and byte(p, i + n) == 34:
        return field
    for other in range(look(c, FIRST, which), look(c, LAST, which)):
        n = look(c, KEY_LEN, other)
        if matches(p, i, text, look(c, KEY_AT, other), n) and byte(p, i + n) == 34:
            note(c, GUESS, guess, other)
            return other
    return -1


@njit(**FLAGS)
def next_key(p, i, which, position, c):
    """Step to the next key of an object: (its field, position of its value); field -2 after the last, -1 on failure.

    `position` counts the keys so far.
    """
    i = skip_space(p, i)
    b = byte(p, i)
    if position == 0:
        if b != 123:
            return -1, -1
        i = skip_space(p, i + 1)
        if byte(p, i) == 125:
            return -2, i + 1
    else:
        if b == 125:
            return -2, i + 1
        if b != 44:
            return -1, -1
        i = skip_space(p, i + 1)
    if byte(p, i) != 34 or position >= get(c, GUESS_WIDTH):
        return -1, -1
    field = find_key(p, i + 1, which, position, c)
    if field < 0:
        return -1, -1
    i = skip_space(p, i + look(c, KEY_LEN, field) + 2)
    if byte(p, i) != 58:
        return -1, -1
    return field, skip_space(p, i + 1)


@njit(**FLAGS)
def complete(which, seen, c):
    """Return whether all keys that an object needs were seen."""
    required = look(c, REQUIRED, which)
    return seen & required == required


@njit(**FLAGS)
def scan_row(p, i, shape, row, c):
    """Scan a flat object into row `row` of a shape's columns; return the position after it."""
    which = 3 + 2 * shape
    first = look(c, FIRST, which)
    values, scales, cap = look(c, VALUES_AT, shape), look(c, SCALES_AT, shape), get(c, ROW_CAP)
    seen = 0
    position = 0
    while True:
        field, i = next_key(p, i, which, position, c)
        if field < 0:
            break
        k = field - first
        value, scale, i = scan_value(p, i, field, c)
        if i < 0 or seen >> k & 1:
            return -1
        put_word(values, (k * cap + row) << 3, value)
        put_byte(scales, k * cap + row, scale)
        seen |= 1 << k
        position += 1
    if field == -1 or not complete(which, seen, c):
        return -1
    absent = look(c, STORED, which) & ~seen
    if absent:
        for k in range(look(c, LAST, which) - first):
            if absent >> k & 1:
                put_word(values, (k * cap + row) << 3, NULL)
                put_byte(scales, k * cap + row, -1)
    return i


@njit(**FLAGS)
def append_row(p, i, shape, event, c):
    """Scan a row object and append it to its shape's rows, as one of `event`; return the position after it."""
    row = look(c, N_ROWS, shape)
    if row >= get(c, ROW_CAP):
        return -1
    put_word(look(c, ROW_EVENT_AT, shape), row << 3, event)
    i = scan_row(p, i, shape, row, c)
    note(c, N_ROWS, shape, row + 1)
    return i


@njit(**FLAGS)
def scan_rows(p, i, shape, event, c):
    """Scan a list of row objects of `event`; return the position after it."""
    if byte(p, i) != 91:
        return -1
    i = skip_space(p, i + 1)
    if byte(p, i) == 93:
        return i + 1
    while True:
        i = append_row(p, i, shape, event, c)
        if i < 0:
            return -1
        i = skip_space(p, i)
        if byte(p, i) == 93:
            return i + 1
        if byte(p, i) != 44:
            return -1
        i = skip_space(p, i + 1)


@njit(**FLAGS)
def scan_event(p, i, shape, event, c):
    """Scan one event with a list of rows; return the position after it."""
    which = 2 + 2 * shape
    first = look(c, FIRST, which)
    events, cap = look(c, EVENTS_AT, shape), get(c, EVENT_CAP)
    rows_before = look(c, N_ROWS, shape)
    is_snapshot = False
    seen = 0
    position = 0
    while True:
        field, i = next_key(p, i, which, position, c)
        if field < 0:
            break
        k = field - first
        if look(c, KIND, field) == ROWS:
            i = scan_rows(p, i, shape, event, c)
        else:
            value, _, i = scan_value(p, i, field, c)
            put_word(events, ((E_FIELDS + k) * cap + event) << 3, value)
            if k == look(c, TYPE_FIELD, shape):
                is_snapshot = value == 0
        if i < 0 or seen >> k & 1:
            return -1
        seen |= 1 << k
        position += 1
    if field == -1 or not complete(which, seen, c):
        return -1
    # An empty snapshot of a book is a row of its own: left to the strict parser.
    if is_snapshot and look(c, EMPTY_ROW, shape) and look(c, N_ROWS, shape) == rows_before:
        return -1
    return i


@njit(**FLAGS)
def scan_events(p, i, shape, message, c):
    """Scan the list of events of a message; return the position after it."""
    if byte(p, i) != 91:
        return -1
    i = skip_space(p, i + 1)
    if byte(p, i) == 93:
        return i + 1
    events, cap = look(c, EVENTS_AT, shape), get(c, EVENT_CAP)
    index = 0
    while True:
        event = look(c, N_EVENTS, shape)
        if event >= cap:
            return -1
        put_word(events, (E_MESSAGE * cap + event) << 3, message)
        put_word(events, (E_INDEX * cap + event) << 3, index)
        put_word(events, (E_FIRST_ROW * cap + event) << 3, look(c, N_ROWS, shape))
        if look(c, TYPE_FIELD, shape) == -2:  # the event is the row
            i = append_row(p, i, shape, event, c)
        else:
            i = scan_event(p, i, shape, event, c)
        if i < 0:
            return -1
        note(c, N_EVENTS, shape, event + 1)
        index += 1
        i = skip_space(p, i)
        if byte(p, i) == 93:
            return i + 1
        if byte(p, i) != 44:
            return -1
        i = skip_space(p, i + 1)


@njit(**FLAGS)
def first_product(shape, event, row, c):
    """Return the symbol of the product of a message whose first event and row are `event` and `row`, or -1."""
    in_event, in_row = look(c, EVENT_PRODUCT, shape), look(c, ROW_PRODUCT, shape)
    if in_event >= 0 and event < look(c, N_EVENTS, shape):
        return word(look(c, EVENTS_AT, shape), ((E_FIELDS + in_event) * get(c, EVENT_CAP) + event) << 3)
    if in_row >= 0 and row < look(c, N_ROWS, shape):
        return word(look(c, VALUES_AT, shape), (in_row * get(c, ROW_CAP) + row) << 3)
    return -1


@njit(**FLAGS)
def scan_message(p, i, message, c):
    """Scan a message into the columns of messages, but for its line; return the position after it."""
    first = look(c, FIRST, MESSAGE)
    messages, cap = get(c, MESSAGES_AT), get(c, MESSAGE_CAP)
    seen = 0
    position = 0
    shape = -1
    deferred, deferred_end = -1, -1
    event, row = 0, 0
    while True:
        field, i = next_key(p, i, MESSAGE, position, c)
        if field < 0:
            break
        k = field - first
        if look(c, KIND, field) == EVENTS:
            if shape >= 0:
                i = scan_events(p, i, shape, message, c)
            else:  # the channel is not known yet
                deferred = i
                i = skip_list(p, i)
                deferred_end = i
        else:
            value, _, i = scan_value(p, i, field, c)
            if i >= 0 and k == 0:
                shape = look(c, CHANNEL_SHAPE, value)
                if shape < 0:
                    return -1
                event, row = look(c, N_EVENTS, shape), look(c, N_ROWS, shape)
            if k < 3:
                put_word(messages, ((M_CHANNEL + k) * cap + message) << 3, value)
        if i < 0 or seen >> k & 1:
            return -1
        seen |= 1 << k
        position += 1
    if field == -1 or not complete(MESSAGE, seen, c):
        return -1
    if deferred >= 0 and scan_events(p, deferred, shape, message, c) != deferred_end:
        return -1
    put_word(messages, (M_PRODUCT * cap + message) << 3, first_product(shape, event, row, c))
    return i


@njit(**FLAGS)
def scan_line(p, i, message, c):
    """Scan an envelope or a bare message; return the position after it."""
    capture_at = (M_CAPTURE * get(c, MESSAGE_CAP) + message) << 3
    put_word(get(c, MESSAGES_AT), capture_at, NULL)
    field, _ = next_key(p, i, ENVELOPE, 0, c)
    if field < 0:
        return scan_message(p, i, message, c)
    first = look(c, FIRST, ENVELOPE)
    seen = 0
    position = 0
    while True:
        field, i = next_key(p, i, ENVELOPE, position, c)
        if field < 0:
            break
        k = field - first
        kind = look(c, KIND, field)
        if kind == DATA:
            i = scan_message(p, i, message, c)
        elif kind == META:
            i = skip_flat(p, i)
        else:
            value, _, i = scan_value(p, i, field, c)
            put_word(get(c, MESSAGES_AT), capture_at, value)
        if i < 0 or seen >> k & 1:
            return -1
        seen |= 1 << k
        position += 1
    if field == -1 or not complete(ENVELOPE, seen, c):
        return -1
    return i


@njit(**FLAGS)
def roll_back(event_counts, row_counts, symbols, c):
    """Forget the events, rows and new symbols of a line that turned out to be slow.

    A symbol must not outlive its line, which may be private. The last that came go first, so that the rest of the
    table is as if they had never been there.
    """
    for symbol in range(get(c, N_SYMBOLS) - 1, symbols - 1, -1):
        note(c, HASH, look(c, SYMBOL_SLOT, symbol), -1)
    put(c, N_SYMBOLS, symbols)
    for shape in range(get(c, N_SHAPES)):
        note(c, N_EVENTS, shape, event_counts[shape])
        note(c, N_ROWS, shape, row_counts[shape])


@njit(**FLAGS)
def line_end(p, i, size):
    """Return the position of the next line end, or size."""
    while i < size and byte(p, i) != 10:
        i += 1
    return i


@njit(cache=True, **FLAGS)  # with everything that it calls
def scan_block(p, i, size, line, c, event_counts, row_counts):
    """Scan whole lines of the `size` bytes at p from i on, where line number `line` begins.

    Returns the position of the first line that was not looked at: size, or less when the columns are full. The last
    two arguments are scratch arrays of one item per shape.
    """
    while i < size:
        message = get(c, N_MESSAGES)
        slow = get(c, N_SLOW)
        if message >= get(c, MESSAGE_CAP) or slow >= get(c, SLOW_CAP):
            break
        start = i
        i = skip_space(p, i)
        if i < size and byte(p, i) != 10:
            for shape in range(get(c, N_SHAPES)):
                event_counts[shape] = look(c, N_EVENTS, shape)
                row_counts[shape] = look(c, N_ROWS, shape)
            symbols = get(c, N_SYMBOLS)
            end = scan_line(p, i, message, c)
            if end >= 0:
                end = skip_space(p, end)
            # At the end of the data the padding stands where the line end would.
            if end == size or (0 <= end < size and byte(p, end) == 10):
                put_word(get(c, MESSAGES_AT), (M_LINE * get(c, MESSAGE_CAP) + message) << 3, line)
                put(c, N_MESSAGES, message + 1)
                i = end
            else:
                roll_back(event_counts, row_counts, symbols, c)
                i = line_end(p, i, size)
                slow_at, cap = get(c, SLOW_AT), get(c, SLOW_CAP)
                put_word(slow_at, slow << 3, line)
                put_word(slow_at, (cap + slow) << 3, start)
                put_word(slow_at, (2 * cap + slow) << 3, i)
                put(c, N_SLOW, slow + 1)
        else:
            put(c, N_BLANK, get(c, N_BLANK) + 1)
        line += 1
        put(c, N_LINES, get(c, N_LINES) + 1)
        i += 1
    return i
