/* problem_training.c - what dropout and recomputing have to do with: every cell, option, direction and kind of mask. */
#include "problem.h"

#include <stddef.h>

/* Without dropout, for what is recomputed; with one of the masks; with both. */
#define EVERY_DROPOUT(start, end)                                                                                      \
  start end, start ":dropout=0.3" end, start ":rdropout=0.25" end, start ":dropout=0.4:rdropout=0.2" end

const char *const problem_training_table[] = {
    EVERY_DROPOUT("lstm:n3t4c5h7:h0", ""),
    EVERY_DROPOUT("lstm:n3t4c5h7:h0:norm", ""),
    EVERY_DROPOUT("lstm:n3t4c5h7:h0:peephole:proj=4", ""),
    EVERY_DROPOUT("lstm:n3t4c5h7:h0:cifg:zoneout=0.2:zoneoutc=0.3", ""),
    EVERY_DROPOUT("lstm:n4t5c3h6:bi:len:h0", ""),
    EVERY_DROPOUT("lstm:n3t3c4h5l2:bi=sum:mask=holes", ":ldropout=0.5"),
    EVERY_DROPOUT("lstm:n5t4c3h6:mask=left:h0:slots:restart", ""),
    EVERY_DROPOUT("gru:n3t4c5h7:h0", ""),
    EVERY_DROPOUT("gru:n3t4c5h7:h0:norm", ""),
    EVERY_DROPOUT("gru:n4t5c3h6:bi=ave:len:h0:zoneout=0.3", ""),
    EVERY_DROPOUT("gru:n3t3c4h5l3:mask=holes:h0", ":ldropout=0.3"),
    EVERY_DROPOUT("gru:n5t4c3h6:back:len:h0:slots:restart", ""),
    EVERY_DROPOUT("gru:n3t4c5h7:before:h0", ""),
    EVERY_DROPOUT("gru:n4t5c3h6:bi:before:mask=left:h0:zoneout=0.2", ""),
    EVERY_DROPOUT("gru:n3t3c4h5l2:before:len:h0", ":ldropout=0.4"),
    EVERY_DROPOUT("rnn:n3t4c5h7:h0", ""),
    EVERY_DROPOUT("rnn:n4t5c3h6:bi=mul:len:h0:zoneout=0.2", ""),
    EVERY_DROPOUT("rnn:n3t3c4h5l2:back:mask=holes:h0", ":ldropout=0.4"),
    "lstm:n2t3c4h9l2:bi:time:strided:h0:dropout=0.5:rdropout=0.5:ldropout=0.5:head=3=softmax", /* all together */
    "lstm:n4t3c5h6l2:bi:mask=rows:h0:peephole:norm:proj=4:dropout=0.2:rdropout=0.1:ldropout=0.1:head=2",
    "gru:n3t4c5h7:bi=separate:time:strided:mask=holes:dropout=0.1:rdropout=0.4",
    "gru:n3t4c5h7l2:back:timeorder:len:zero:h0:dropout=0.1:rdropout=0.4:ldropout=0.2",
    "lstm:n5t6c7h9:mask=left:zero", /* what else backward has to do with */
    "lstm:n5t6c7h9:back:strided:len:h0:rdropout=0.4",
    "lstm:n5t4c3h6l2:bi=mul:len:h0:slots:restart:rdropout=0.2:ldropout=0.5",
    "lstm:n4t5c3h6:h0:peephole:cifg:cellclip=0.3:clip=0.5",
    "lstm:n4t5c3h6:nobias:h0:peephole:zoneout=0.25:zoneoutc=0.5",
    "lstm:n70t3c3h5:len:head=3=softmax",
    "gru:n4t5c6h11:bi=ave:nobias:len:h0:dropout=0.3:rdropout=0.4",
    "gru:n4t5c6h11l2:back:timeorder:len:h0:norm:dropout=0.3:rdropout=0.4",
    "rnn:n6t5c3h17:mask=left:h0:act=silu:rdropout=0.4",
    "rnn:n6t5c3h17:h0:slots:restart:zoneout=0.2:dropout=0.3:rdropout=0.4",
    "dense:n4t3c5h7:act=gelu",
    "dense:n4t3c5h7:act=softmax",
    "lstm:n1t1c1h1:dropout=0.5:rdropout=0.5", /* sizes: the smallest, and across vectors, tiles and blocks */
    "gru:n1t1c1h1:h0:rdropout=0.5",
    "lstm:n9t5c17h33:len:h0:dropout=0.3:rdropout=0.3",
    "lstm:n33t3c6h16l2:len:dropout=0.9:ldropout=0.9",
    "gru:n17t3c33h31:mask=holes:h0:dropout=0.3:rdropout=0.3",
    "gru:n9t3c17h33:before:h0:dropout=0.3:rdropout=0.3",
    "rnn:n9t3c65h40:len:h0:dropout=0.3:rdropout=0.3",
    NULL,
};
