/* The protocol of share/queue.c for spin: putters, getters, and a death between any
 * two stores.
 *
 *     spin -a queue.pml && gcc -O2 -DSAFETY -o pan pan.c && ./pan
 *
 * Each statement is a store or a load of the code (sequentially consistent; on
 * weaker machines the code's release and acquire keep the order). A process dies
 * wherever `killed` strikes; a burial may itself be cut off and begin anew. What is
 * shown, for all interleavings:
 *
 *   - each message arrives at most once, in the order in which tail was stored, and
 *     none that was put is skipped (`order`)
 *   - nobody reads or frees a chunk or a block that is not allocated
 *   - whenever nothing is going on, what is allocated is what the queue holds
 *   - nobody waits for a bolt for ever (no invalid end state)
 *
 * Left out: what the bolts and the arena promise (they are one step here), gates
 * (waiting is a condition here), closing, and the end of the queue. */

#ifndef N
#define N 2 /* slots in a chunk */
#endif
#ifndef PUTTERS
#define PUTTERS 2
#endif
#ifndef GETTERS
#define GETTERS 1
#endif
#ifndef EACH
#define EACH 2 /* messages of a putter */
#endif
#ifndef DEATHS
#define DEATHS 1
#endif
#define MAX 2    /* what the queue holds */
#define CHUNKS 5 /* and what the arena has, more than is ever needed */
#define BLOCKS 5
#define PROCS (PUTTERS + GETTERS)

/* The queue. Chunks and blocks are numbers, 0 is none. */
byte put_bolt, get_bolt; /* the holder + 1 */
byte first, last, fresh, putting, tail;
byte here, taking, head;

/* The memory. */
byte next[CHUNKS + 1], number[CHUNKS + 1];
bool chunk_used[CHUNKS + 1], block_used[BLOCKS + 1];
byte slot_message[(CHUNKS + 1) * N], slot_block[(CHUNKS + 1) * N];

/* The hands. */
byte block[PROCS];
bool busy[PROCS], killed[PROCS];
byte deaths;

/* What only the model knows. */
byte order[PUTTERS * EACH + 1];

#define SLOT(chunk, i) ((chunk) * N + (i) % N)

inline acquire(bolt) {
    atomic { bolt == 0 -> bolt = me + 1 }
}
inline release(bolt) {
    bolt = 0
}
inline access(chunk) {
    assert(chunk_used[chunk])
}

inline alloc_chunk() {
    atomic {
        if
        :: !chunk_used[1] -> fresh = 1
        :: else ->
            if
            :: !chunk_used[2] -> fresh = 2
            :: else ->
                if
                :: !chunk_used[3] -> fresh = 3
                :: else ->
                    if
                    :: !chunk_used[4] -> fresh = 4
                    :: else ->
                        assert(!chunk_used[5]);
                        fresh = 5
                    fi
                fi
            fi
        fi;
        chunk_used[fresh] = true;
        next[fresh] = 5; /* as it happens to be */
        number[fresh] = 9
    }
}
inline free_fresh() {
    d_step {
        assert(chunk_used[fresh]);
        chunk_used[fresh] = false;
        next[fresh] = 0; /* fewer states: nobody may look any more */
        number[fresh] = 0;
        for (i : 0 .. (N - 1)) {
            slot_message[SLOT(fresh, i)] = 0;
            slot_block[SLOT(fresh, i)] = 0
        }
        i = 0;
        fresh = 0
    }
}
/* Into the hand's cell. */
inline alloc_block() {
    atomic {
        block[me] = 1;
        do
        :: block_used[block[me]] -> block[me]++
        :: else -> break
        od;
        block_used[block[me]] = true
    }
}
inline free_block(who) {
    atomic { assert(block_used[block[who]]); block_used[block[who]] = false; block[who] = 0 }
}

/* ---- chunks ---- */

inline detach_first() {
    fresh = first;
    access(first);
    first = next[first]
}

/* How many are kept is a matter of taste: any number. */
inline give_back() {
    do
    :: first != here ->
        if
        :: fresh == 0 -> detach_first()
        :: else
        fi;
        free_fresh()
    :: break
    od
}

inline extend() {
    give_back();
    if
    :: fresh == 0 ->
        if
        :: first != here -> detach_first()
        :: else -> alloc_chunk()
        fi
    :: else
    fi;
    next[fresh] = 0;
    number[fresh] = tail / N;
    access(last);
    next[last] = fresh;
    last = fresh;
    fresh = 0
}

inline settle() {
    if
    :: fresh == 0
    :: fresh != 0 && fresh == first ->
        access(first);
        first = next[first]
    :: fresh != 0 && fresh != first && next[last] == fresh ->
        last = fresh;
        cut_off();
        fresh = 0
    :: fresh != 0 && fresh != first && next[last] != fresh && last == fresh -> fresh = 0
    :: else
    fi
}

/* ---- putters ---- */

inline put(message) {
    busy[me] = true;
    if
    :: alloc_block() /* it is long */
    :: skip
    fi;
again:
end_full:
    tail - head < MAX;
    acquire(put_bolt);
    if
    :: tail - head >= MAX ->
        release(put_bolt);
        goto again
    :: else
    fi;
    access(last);
    if
    :: tail % N == 0 && number[last] != tail / N -> extend()
    :: else
    fi;
    access(last);
    assert(number[last] == tail / N);
    slot_message[SLOT(last, tail)] = message;
    if
    :: block[me] == 0 ->
        slot_block[SLOT(last, tail)] = 0;
        d_step { order[tail] = message; tail++ }
    :: else ->
        putting = tail + 1;
        slot_block[SLOT(last, tail)] = block[me];
        d_step { order[tail] = message; tail++ };
        block[me] = 0;
        putting = 0
    fi;
    release(put_bolt);
    busy[me] = false
}

proctype putter(byte me) {
    byte sent, i;
    {
        do
        :: sent < EACH ->
            sent++;
            put(me * EACH + sent)
        :: else -> break
        od
    } unless { killed[me] }
}

/* ---- getters ---- */

inline tidy() {
    if
    :: atomic { put_bolt == 0 -> put_bolt = me + 1 };
        give_back();
        release(put_bolt)
    :: skip
    fi
}

inline take() {
    crossed = false;
end_empty:
    head != tail;
    busy[me] = true;
    acquire(get_bolt);
    if
    :: head != tail ->
        access(here);
        if
        :: head % N == 0 && number[here] != head / N ->
            here = next[here];
            crossed = true
        :: else
        fi;
        access(here);
        assert(number[here] == head / N);
        got = slot_message[SLOT(here, head)];
        if
        :: slot_block[SLOT(here, head)] == 0 -> skip
        :: else ->
            taking = head + 1;
            block[me] = slot_block[SLOT(here, head)]
        fi;
        d_step { assert(got == order[head]); order[head] = 0; head++ };
        taking = 0
    :: else
    fi;
    release(get_bolt);
    got = 0;
    if
    :: crossed -> crossed = false; tidy()
    :: else
    fi;
    if
    :: block[me] != 0 -> free_block(me)
    :: else
    fi;
    busy[me] = false
}

proctype getter(byte me) {
    byte got, i;
    bool crossed;
    {
        do
        :: take()
        od
    } unless { killed[me] }
}

/* ---- death ---- */

/* The burier may die, and the next one begins at the beginning. */
inline cut_off() {
    if
    :: skip
    :: goto begin
    fi
}

proctype grave(byte who) {
begin:
    if
    :: put_bolt == who + 1 ->
        if
        :: putting != 0 ->
            if
            :: tail >= putting -> block[who] = 0
            :: else
            fi;
            cut_off();
            putting = 0
        :: else
        fi;
        cut_off();
        settle();
        cut_off();
        put_bolt = 0
    :: else
    fi;
    cut_off();
    if
    :: get_bolt == who + 1 ->
        if
        :: taking != 0 ->
            if
            :: head < taking -> block[who] = 0
            :: else
            fi;
            cut_off();
            taking = 0
        :: else
        fi;
        cut_off();
        get_bolt = 0
    :: else
    fi;
    cut_off();
    if
    :: block[who] != 0 -> free_block(who)
    :: else
    fi;
    busy[who] = false
}

proctype killer() {
    byte who;
end:
    do
    :: atomic {
            deaths < DEATHS;
            who = 0;
            do
            :: who < PROCS - 1 -> who++
            :: break
            od;
            if
            :: !killed[who] -> killed[who] = true; deaths++; run grave(who)
            :: else
            fi;
            who = 0
        }
    od
}

/* ---- memory: at any moment at which nothing is going on ---- */

#define IDLE(p) (!busy[p])
#if PUTTERS + GETTERS == 2
#define QUIET (IDLE(0) && IDLE(1))
#elif PUTTERS + GETTERS == 3
#define QUIET (IDLE(0) && IDLE(1) && IDLE(2))
#else
#define QUIET (IDLE(0) && IDLE(1) && IDLE(2) && IDLE(3))
#endif

proctype accounts() {
    byte held, at, i;
end:
    do
    :: d_step {
            QUIET;
            assert(put_bolt == 0 && get_bolt == 0 && putting == 0 && taking == 0);
            held = (fresh != 0 -> 1 : 0);
            at = first;
            do
            :: at != 0 ->
                assert(chunk_used[at]);
                held++;
                assert(at != fresh && (next[at] != 0 || at == last));
                at = next[at]
            :: else -> break
            od;
            for (i : 1 .. CHUNKS) {
                held = (chunk_used[i] -> held - 1 : held)
            }
            assert(held == 0);
            at = here;
            for (i : head .. (tail - 1)) {
                if
                :: i % N == 0 && number[at] != i / N -> at = next[at]
                :: else
                fi;
                if
                :: slot_block[SLOT(at, i)] != 0 ->
                    assert(block_used[slot_block[SLOT(at, i)]]);
                    held++
                :: else
                fi
            }
            for (i : 1 .. BLOCKS) {
                held = (block_used[i] -> held - 1 : held)
            }
            assert(held == 0);
            at = 0; /* nothing has changed: no new state */
            i = 0
        }
    od
}

init {
    byte me;
    atomic {
        alloc_chunk();
        next[fresh] = 0;
        number[fresh] = 0;
        first = fresh;
        last = fresh;
        here = fresh;
        fresh = 0;
        for (me : 0 .. (PUTTERS - 1)) {
            run putter(me)
        }
        for (me : PUTTERS .. (PROCS - 1)) {
            run getter(me)
        }
        run killer();
        run accounts()
    }
}
